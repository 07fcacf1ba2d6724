"""The settings, and the example of them that operators copy."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from taskwell.core.settings import Settings
from taskwell.core.settings_warnings import remarks

EXAMPLE = Path(__file__).parents[2] / ".env.example"
WITHOUT_PREFIX = {
    "forwarded_allow_ips": "FORWARDED_ALLOW_IPS",
    "database_url": "DATABASE_URL",
    "migration_database_url": "MIGRATION_DATABASE_URL",
    "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "otel_service_name": "OTEL_SERVICE_NAME",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, in which a test may put a `.env`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def variable(name: str) -> str:
    return WITHOUT_PREFIX.get(name, f"TASKWELL_{name.upper()}")


def as_text(name: str) -> str:
    """A setting's default as an operator would write it."""
    value = getattr(Settings(), name)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def entry(name: str, field: FieldInfo) -> str:
    return f"# {field.description}\n# {variable(name)}={as_text(name)}\n"


class TestDefaults:
    def test_a_file_in_the_working_directory_on_loopback(self) -> None:
        settings = Settings()
        assert str(settings.database) == "sqlite:///taskwell.db"
        assert (settings.host, settings.port, settings.workers) == (("127.0.0.1",), 8000, 1)

    def test_nobody_is_asked_for_credentials_but_only_on_this_machine(self) -> None:
        settings = Settings()
        assert settings.auth == "stub"
        assert not settings.allow_stub_auth_on_public_address

    def test_it_works_at_the_first_start(self) -> None:
        settings = Settings()
        assert settings.migrate_at_start
        assert settings.create_users


class TestEnvironment:
    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("host", "::1", ("::1",)),
            ("host", "127.0.0.1, [::1]", ("127.0.0.1", "::1")),
            ("root_path", "/tasks/", "/tasks"),
            ("port", "9000", 9000),
            ("workers", "4", 4),
            ("auth", "stub", "stub"),
            ("allow_stub_auth_on_public_address", "true", True),
            ("create_users", "false", False),
            ("migrate_at_start", "0", False),
            ("max_body_bytes", "20000", 20_000),
            ("db_pool_size", "5", 5),
            ("db_max_overflow", "0", 0),
            ("db_pool_timeout_seconds", "0.5", 0.5),
            ("db_pooler", "transaction", "transaction"),
            ("allow_network_file_system", "true", True),
            ("log_level", "debug", "debug"),
            ("time_zone", "Europe/Berlin", "Europe/Berlin"),
        ],
    )
    def test_a_setting_has_the_products_name_before_it(
        self, name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable(name), text)
        assert getattr(Settings(), name) == value

    def test_the_databases_have_the_name_that_providers_give_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://user:S3cr3t@pool/app")
        monkeypatch.setenv("MIGRATION_DATABASE_URL", "postgresql://user:S3cr3t@direct/app")
        settings = Settings()
        assert str(settings.database) == "postgresql://user:***@pool/app"
        assert str(settings.migration_database) == "postgresql://user:***@direct/app"

    def test_an_empty_variable_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "")
        monkeypatch.setenv("TASKWELL_PORT", "")
        assert Settings() == Settings(database_url="sqlite:///taskwell.db", port=8000)

    def test_a_file_is_read_too(self, folder: Path) -> None:
        (folder / ".env").write_text("TASKWELL_PORT=9000\nDATABASE_URL=sqlite:///of-the-file.db\n")
        assert Settings().port == 9000
        assert str(Settings().database) == "sqlite:///of-the-file.db"

    def test_the_environment_wins_over_the_file(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / ".env").write_text("TASKWELL_PORT=9000\n")
        monkeypatch.setenv("TASKWELL_PORT", "9001")
        assert Settings().port == 9001

    def test_what_belongs_to_others_is_left_to_them(self, folder: Path) -> None:
        (folder / ".env").write_text("PORT=9000\nVITE_API_URL=http://localhost:9000\n")
        assert Settings().port == 8000

    def test_settings_do_not_change(self) -> None:
        with pytest.raises(ValidationError):
            Settings().port = 9000  # type: ignore[misc]  # the point of the test


class TestCorsOrigins:
    @pytest.mark.parametrize(
        ("text", "origins"),
        [
            ("https://a.example", ("https://a.example",)),
            ("https://a.example,http://b.example:3000", ("https://a.example", "http://b.example:3000")),
            (" https://a.example/ , , https://b.example ", ("https://a.example", "https://b.example")),
            (",", ()),
        ],
    )
    def test_are_separated_by_commas(
        self, text: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TASKWELL_CORS_ORIGINS", text)
        assert Settings().cors_origins == origins

    @pytest.mark.parametrize("text", ["*", "null://x", "capacitor://localhost", "https://[::1]:8080"])
    def test_any_scheme_will_do(self, text: str) -> None:
        assert Settings(cors_origins=text).cors_origins == (text,)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("text", "origin"),
        [
            ("HTTPS://App.Example.COM", "https://app.example.com"),
            ("https://app.example.com:443/", "https://app.example.com"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("http://app.example.com:0443", "http://app.example.com:443"),
            ("https://app.example.com:80", "https://app.example.com:80"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://BÜCHER.example", "https://xn--bcher-kva.example"),
            ("https://faß.example", "https://xn--fa-hia.example"),
            ("https://*.Bücher.example", "https://*.xn--bcher-kva.example"),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
            ("http://192.168.1.5:3000", "http://192.168.1.5:3000"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
            ("http://*.localhost:3000", "http://*.localhost:3000"),
        ],
    )
    def test_are_written_as_browsers_do(self, text: str, origin: str) -> None:
        assert Settings(cors_origins=text).cors_origins == (origin,)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("null", "null is the origin of every sandboxed page"),
            ("https://app.*.com", "the whole first label"),
            ("https://app-*.example.com", "the whole first label"),
            ("https://*.*.example.com", "the whole first label"),
            ("https://*", "the whole first label"),
            ("https://*.com", "below a domain of yours"),
            ("https://*.0.0.1", "must be origins like"),
            ("*,https://app.example.com", "means every origin: remove"),
            ("http://localhost:*", "must be origins like"),
            ("http://127.1", "must be origins like"),
            ("http://[::1", "must be origins like"),
            ("https://user@app.example.com", "must be origins like"),
            ("https://app.example.com:0", "must be origins like"),
            ("https://app.example.com:70000", "must be origins like"),
            ("https://app.example.com?x", "must be origins like"),
            ("wss://app.example.com", "must be origins like"),
            ("file:///app", "must be origins like"),
        ],
    )
    def test_that_can_have_no_effect_or_too_much_are_refused(self, text: str, reason: str) -> None:
        with pytest.raises(ValidationError, match=re.escape(reason)):
            Settings(cors_origins=text)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "text", ["app.example.com", "https://", "https://a.example/app", "//a.example", "a", "localhost:3000"]
    )
    def test_what_no_browser_sends_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError, match="must be origins like"):
            Settings(cors_origins=text)  # type: ignore[arg-type]


class TestForms:
    """The same setting as it arrives by shells, files, consoles and `docker --env-file`."""

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("auth", " stub ", "stub"), ("auth", '"stub"', "stub"), ("auth", "'Stub'", "stub"),
            ("port", '"9000"', 9000), ("port", " 9000\n", 9000), ("port", "9_000", 9000),
            ("log_level", "INFO", "info"), ("log_level", "Warning ", "warning"),
            ("log_format", "JSON", "json"), ("metrics", "Nobody", "nobody"),
            ("row_level_security", "OFF", "off"),
            ("create_users", "off", False), ("create_users", "No", False), ("create_users", '"on"', True),
            ("rate_limit", "20/Minute", "20/minute"), ("rate_limit", " 20 / minute ", "20/minute"),
            ("rate_limit", "NONE", "none"), ("port", " ", 8000), ("auth", '""', "stub"),
            ("forwarded_allow_ips", "10.0.0.0/8, ::1", "10.0.0.0/8,::1"), ("forwarded_allow_ips", "*", "*"),
            ("allowed_hosts", "API.Example.com., *.Example.com", ("api.example.com", "*.example.com")),
            ("allowed_hosts", "[0:0:0:0:0:0:0:1]", ("::1",)),
            ("jwt_user_claim", " https://example.com/id ", "https://example.com/id"),
            ("otlp_endpoint", "http://collector:4318/", "http://collector:4318/"),
        ],
    )  # fmt: skip
    def test_are_taken_for_what_is_meant(
        self, name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable(name), text)
        assert getattr(Settings(), name) == value

    def test_a_secret_is_what_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = f'"{"x" * 32}" '
        monkeypatch.setenv("TASKWELL_JWT_SECRET", secret)
        settings = Settings()
        assert settings.jwt_secret is not None
        assert settings.jwt_secret.get_secret_value() == secret
        assert any("TASKWELL_JWT_SECRET begins or ends" in says for says in remarks(settings))


JWT: dict[str, Any] = {"auth": "jwt", "jwt_secret": "x" * 32}
PG = {"database_url": "postgresql://user@db/app"}
TOKENS: dict[str, Any] = {
    "jwt_secret": "x" * 32, "jwt_issuer": "https://a.example", "jwt_jwks_url": "https://a.example/jwks",
    "jwt_audience": "a", "jwt_audience_claim": "azp", "jwt_user_claim": "id",
}  # fmt: skip


class TestRemarks:
    @pytest.mark.parametrize(
        ("given", "named"),
        [
            ({}, ()),
            (JWT, ()),
            (TOKENS, tuple(TOKENS)),
            (
                {"rate_limit": "1/day", "rate_limit_storage": "redis://db"},
                ("rate_limit", "rate_limit_storage"),
            ),
            (JWT | {"rate_limit": "none", "rate_limit_storage": "redis://db"}, ()),
            (JWT | {"workers": 2}, ("rate_limit_storage",)),
            (JWT | {"workers": 2, "rate_limit": "none"}, ()),
            (JWT | {"allow_stub_auth_on_public_address": True}, ("allow_stub_auth_on_public_address",)),
            ({"row_level_security": "on"}, ("row_level_security",)),
            (PG | {"row_level_security": "on", "db_pool_size": 5, "db_pooler": "none"}, ()),
            (
                {"db_pool_size": 5, "db_max_overflow": 5, "db_pool_timeout_seconds": 5, "db_pooler": "none"},
                ("db_pool_size", "db_max_overflow", "db_pool_timeout_seconds", "db_pooler"),
            ),
            ({"migration_database_url": "sqlite:///taskwell.db"}, ("migration_database_url",)),
            (PG | {"allow_network_file_system": True}, ("allow_network_file_system",)),
            ({"allow_network_file_system": True}, ()),
            ({"allowed_hosts": "*,api.example.com"}, ("allowed_hosts",)),
            ({"metrics_folder": "missing"}, ("metrics_folder",)),
            ({"metrics_folder": ".", "metrics": "nobody"}, ("metrics_folder",)),
            ({"metrics_folder": "."}, ()),
            ({"drain_seconds": 20}, ()),
            ({"drain_seconds": 21}, ("drain_seconds",)),
        ],
    )
    def test_name_what_has_no_effect(self, given: dict[str, Any], named: tuple[str, ...]) -> None:
        says = list(remarks(Settings(**given)))
        assert [text for name in named for text in says if f"{variable(name)} " in text] == says
        assert len(says) == len(named)
        assert "x" * 32 not in str(says)

    def test_name_what_is_spelt_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TASKWELL_ATUH", "S3cr3t")
        (says,) = remarks(Settings())
        assert says.startswith("TASKWELL_ATUH is not a setting of taskwell")


class TestMigrationDatabase:
    @pytest.mark.parametrize(
        ("served", "migrated"),
        [
            ("sqlite:///taskwell.db", "sqlite:///other.db"),
            ("sqlite:///taskwell.db", "postgresql://user@db/app"),
            ("postgresql://user@db/app", "sqlite:///taskwell.db"),
        ],
    )
    def test_of_another_database_is_refused(self, served: str, migrated: str) -> None:
        with pytest.raises(ValidationError, match="MIGRATION_DATABASE_URL leads to another database"):
            Settings(database_url=served, migration_database_url=migrated)

    NEON = "postgresql://user:S3cr3t@ep-a-1-pooler.neon.tech/app?sslmode=require"

    def test_goes_past_the_pooler_by_itself(self) -> None:
        settings = Settings(database_url=self.NEON)
        assert settings.database.pooled
        assert settings.migration_database.url.host == "ep-a-1.neon.tech"
        assert not settings.migration_database.pooled

    def test_is_taken_as_direct_when_it_is_named(self) -> None:
        settings = Settings(
            database_url=self.NEON, migration_database_url="postgresql://user@db/app", db_pooler="transaction"
        )
        assert settings.database.pooled
        assert not settings.migration_database.pooled

    def test_is_the_same_where_there_is_no_pooler(self) -> None:
        settings = Settings(database_url="postgresql://user@db/app")
        assert settings.migration_database == settings.database


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("DATABASE_URL", "mysql://user:S3cr3t@db/app"),
            ("DATABASE_URL", "postgresql://user:S3cr3t@db/app?sslmode=S3cr3t"),
            ("MIGRATION_DATABASE_URL", "S3cr3t"),
            ("TASKWELL_PORT", "S3cr3t"),
            ("TASKWELL_PORT", "65536"),
            ("TASKWELL_PORT", "-1"),
            ("TASKWELL_WORKERS", "0"),
            ("TASKWELL_WORKERS", "257"),
            ("TASKWELL_AUTH", "S3cr3t"),
            ("TASKWELL_CREATE_USERS", "S3cr3t"),
            ("TASKWELL_MAX_BODY_BYTES", "16383"),
            ("TASKWELL_DB_POOL_SIZE", "0"),
            ("TASKWELL_DB_MAX_OVERFLOW", "-1"),
            ("TASKWELL_DB_POOL_TIMEOUT_SECONDS", "0"),
            ("TASKWELL_DB_POOLER", "S3cr3t"),
            ("TASKWELL_LOG_LEVEL", "S3cr3t"),
            ("TASKWELL_WORKERS", "auto"),
            ("TASKWELL_PORT", "tcp://10.0.0.1:8000"),
            ("TASKWELL_JWT_USER_CLAIM", "user id"),
            ("TASKWELL_JWT_USER_CLAIM", "sub,email"),
            ("TASKWELL_JWT_USER_CLAIM", "iss"),
            ("TASKWELL_JWT_AUDIENCE_CLAIM", "S3cr3t"),
            ("TASKWELL_JWT_ISSUER", "https://a.example/.well-known/openid-configuration"),
            ("TASKWELL_JWT_ISSUER", "https://a.example https://b.example"),
            ("TASKWELL_RATE_LIMIT", "0/minute"),
            ("TASKWELL_RATE_LIMIT", "20"),
            ("TASKWELL_RATE_LIMIT", "20/fortnight"),
            ("TASKWELL_RATE_LIMIT_STORAGE", "S3cr3t"),
            ("TASKWELL_RATE_LIMIT_STORAGE", "redis://:S3cr3t@redis.example:port/0"),
            ("TASKWELL_RATE_LIMIT_STORAGE", "redis://:S3cr3t@[::1/0"),
            ("TASKWELL_RATE_LIMIT_STORAGE", "redis://"),
            ("TASKWELL_ALLOWED_HOSTS", "api.example.com:8000"),
            ("TASKWELL_ALLOWED_HOSTS", "https://api.example.com"),
            ("TASKWELL_ALLOWED_HOSTS", ".example.com"),
            ("TASKWELL_ALLOWED_HOSTS", "bücher.example"),
            ("TASKWELL_TRASH_DAYS", "0"),
            ("TASKWELL_TIME_ZONE", "S3cr3t"),
            ("TASKWELL_TIME_ZONE", "europe/berlin"),
            ("TASKWELL_DB_POOL_TIMEOUT_SECONDS", "nan"),
            ("TASKWELL_DRAIN_SECONDS", "inf"),
            ("FORWARDED_ALLOW_IPS", "S3cr3t"),
            ("FORWARDED_ALLOW_IPS", "proxy.example.com"),
            ("FORWARDED_ALLOW_IPS", "10.0.0.1/8"),
            ("FORWARDED_ALLOW_IPS", "10.0.0.0/33"),
            ("FORWARDED_ALLOW_IPS", "*,10.0.0.1"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:S3cr3t"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/v1/traces"),
        ],
    )
    def test_a_bad_value_is_refused_and_not_repeated(
        self, name: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, text)
        with pytest.raises(ValidationError) as refused:
            Settings()
        assert name.removeprefix("TASKWELL_").lower() in str(refused.value).lower()
        assert "S3cr3t" not in str(refused.value) + repr(refused.value)

    def test_no_text_of_the_settings_shows_a_secret(self) -> None:
        settings = Settings(
            database_url="postgresql://user:S3cr3t@db/app",
            migration_database_url="postgresql://user:S3cr3t@direct/app",
        )
        shown: list[Any] = [repr(settings), str(settings), settings.model_dump(), settings.model_dump_json()]
        assert "S3cr3t" not in repr(shown)


@pytest.mark.plan("A8")
class TestExample:
    def test_has_every_setting_with_its_default_and_its_description(self) -> None:
        introduction, *entries = EXAMPLE.read_text(encoding="utf-8").split("\n\n")
        assert introduction.startswith("# ")
        expected = "\n".join(entry(name, field) for name, field in Settings.model_fields.items())
        assert "\n\n".join(entries) == expected

    def test_changes_nothing_when_it_is_copied(self, folder: Path) -> None:
        text = EXAMPLE.read_text(encoding="utf-8")
        (folder / ".env").write_text(text)
        copied = Settings()
        (folder / ".env").unlink()
        assert copied == Settings()

    def test_its_defaults_can_be_taken_literally(self, folder: Path) -> None:
        lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
        names = tuple(f"# {variable(name)}=" for name in Settings.model_fields)
        (folder / ".env").write_text("\n".join(line[2:] for line in lines if line.startswith(names)))
        literal = Settings()
        assert len((folder / ".env").read_text().splitlines()) == len(names)
        (folder / ".env").unlink()
        assert literal == Settings()
