"""The settings, and the example of them that operators copy."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from taskwell.core.config import Settings

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
        assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)

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
            ("host", "::1", "::1"),
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
        "text", ["app.example.com", "https://", "https://a.example/app", "//a.example", "a"]
    )
    def test_what_no_browser_sends_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError, match="must be origins like"):
            Settings(cors_origins=text)  # type: ignore[arg-type]


class TestMigrationDatabase:
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
