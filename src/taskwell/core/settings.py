"""The settings. Only this package reads the environment."""

import ipaddress
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from taskwell.core.database_url import DatabaseUrl, Pooler, is_private, parse_database_url
from taskwell.core.env_file import EnvFile
from taskwell.core.origins import parse_origins
from taskwell.core.rates import Rate
from taskwell.core.root_path import parse_root_path
from taskwell.core.time_zones import NAMES

Names = Annotated[tuple[str, ...], NoDecode]  # comma-separated in the environment
_LISTENED = re.compile(r"[^\s:/?#@\[\]]{1,253}")
_HOST_NAME = re.compile(r"\*|(\*\.)?[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,252}")
_CLAIM = re.compile(r"[^\s,]{1,100}")
_NOT_USER_CLAIMS = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "scope"})
_CLIENT_ID = re.compile(r"[!-~]{1,200}")
# Characters that a Content-Security-Policy could read as its own are left out.
_TOKEN_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~%/?&=-]*)?")
_TOKEN_PATH = re.compile(r"/(?!/)[A-Za-z0-9._~%/?&=-]*")
_SECRET_MIN_BYTES = 32  # RFC 7518, 3.2: the length of HS256's digest, the shortest


class Settings(BaseSettings):
    """Settings, read from the environment, then from `.env`. `.env.example` lists all; a test compares it."""

    model_config = SettingsConfigDict(
        env_prefix="TASKWELL_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///taskwell.db"),
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="The database: the URL as your provider prints it, or sqlite:///a/file.",
    )
    migration_database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("MIGRATION_DATABASE_URL", "migration_database_url"),
        description="A direct URL for migrations, when DATABASE_URL goes through a pooler.",
    )
    host: Names = Field(
        default=("127.0.0.1",),
        description="The addresses to listen on, comma-separated; :: is every address, IPv4 and IPv6.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="The port to listen on.")
    uds: Path | None = Field(
        default=None,
        description="A Unix socket to listen on instead, for the server's user and group.",
    )
    workers: int = Field(default=1, ge=1, le=256, description="How many server processes to run.")
    root_path: str = Field(
        default="",
        description="The path under which a proxy serves the API, such as /tasks. Empty: X-Forwarded-Prefix "
        "of a trusted proxy, else the root.",
    )
    public_url: str = Field(
        default="",
        description="The address under which clients reach the server, such as https://example.com/tasks. "
        "It makes Location and Link absolute; empty: relative to the request.",
    )
    forwarded_allow_ips: str = Field(
        default="127.0.0.1",
        validation_alias=AliasChoices("FORWARDED_ALLOW_IPS", "forwarded_allow_ips"),
        description="The proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Prefix are "
        "trusted: addresses or networks, comma-separated, or * if only proxies can reach the server.",
    )
    auth: Literal["stub", "jwt"] = Field(
        default="stub",
        description="Authentication. stub: none. jwt: bearer tokens are required.",
    )
    allow_stub_auth_on_public_address: bool = Field(
        default=False, description="Serve without authentication on an address that other machines can reach."
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        description="A secret shared with the issuer: at least 32 bytes for HS256, 48 for HS384, 64 for "
        "HS512.",
    )
    jwt_issuer: Names = Field(
        default=(),
        description="Accepted values of iss, comma-separated. OpenID discovery finds the issuer's keys, "
        "unless a JWKS URL or a secret is set.",
    )
    jwt_jwks_url: Names = Field(
        default=(), description="The issuers' JWKS URLs, in the order of the issuers."
    )
    jwt_audience: Names = Field(
        default=(), description="Accepted values of aud, comma-separated: a token needs one of them."
    )
    jwt_audience_claim: Literal["aud", "client_id", "azp"] = Field(
        default="aud",
        description="The claim that replaces aud in tokens without it: client_id (AWS Cognito) or azp "
        "(Clerk).",
    )
    jwt_user_claim: str = Field(default="sub", description="The claim that holds the user's id.")
    app: bool = Field(default=True, description="Serve the page at /app, and lead browsers there from /.")
    app_oidc_client_id: str = Field(
        default="",
        description="The page's client id at the first TASKWELL_JWT_ISSUER, to sign in there (OpenID "
        "Connect with PKCE).",
    )
    app_oidc_scope: str = Field(
        default="openid offline_access", description="The scopes that the page asks the issuer for."
    )
    app_token_url: str = Field(
        default="",
        description="Where the page gets a token with the cookies of your own sign-in, such as "
        "https://example.com/api/auth/token of Better Auth.",
    )
    row_level_security: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="PostgreSQL's row-level security isolates users, too. auto: in jwt mode, if the role "
        "allows it.",
    )
    allowed_hosts: Names = Field(
        default=(),
        description="Accepted host names, comma-separated; *.example.com matches every subdomain. Empty: "
        "all in jwt mode, private names and addresses in stub mode.",
    )
    rate_limit: str = Field(
        default="1200/minute",
        description="The number of requests that a caller may send in jwt mode, per second, minute, hour or "
        "day; none: unlimited.",
    )
    rate_limit_storage: SecretStr = Field(
        default=SecretStr("memory://"),
        description="Where requests are counted: in each process, or for all processes at a redis:// URL.",
    )
    create_users: bool = Field(
        default=True,
        description="Create a user on their first write; otherwise that write is a 404.",
    )
    require_if_match: bool = Field(
        default=False, description="Refuse to change a task without If-Match (428)."
    )
    claim_max_seconds: int = Field(
        default=86_400, ge=15, le=2_678_400, description="How long a claim may last, in seconds."
    )
    trash_days: int = Field(default=30, ge=1, le=3650, description="How long a deleted task can be restored.")
    history_days: int = Field(
        default=90, ge=7, le=3650, description="How long the history keeps what changed, and can undo it."
    )
    webhooks: bool = Field(
        default=True,
        description="Send the events of webhooks from this process; if not, `taskwell deliver` does.",
    )
    webhook_allow: Names = Field(
        default=(),
        description="Host names and networks that webhooks may reach beside public addresses, also by http, "
        "comma-separated, such as homeassistant.local,192.168.1.0/24.",
    )
    webhook_proxy: SecretStr | None = Field(
        default=None,
        description="An http:// proxy through which webhooks are sent, which then decides where they may "
        "go: the server does not resolve their names.",
    )
    migrate_at_start: bool = Field(
        default=True, description="Apply migrations when the server starts; otherwise wait for them."
    )
    cors_origins: Names = Field(
        default=(),
        description="Web origins that may call the API, comma-separated; https://*.example.com matches one "
        "label, * every origin, without credentials. In stub mode this machine's origins always may.",
    )
    time_zone: str = Field(
        default="UTC",
        description="The time zone of users who have not set theirs, such as Europe/Berlin.",
    )
    title_max_length: int = Field(
        default=200, ge=1, le=1_000, description="The most characters of a title in a request."
    )
    description_max_length: int = Field(
        default=2_000, ge=0, le=65_536, description="The most characters of a description in a request."
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=16_384, description="The largest request body, in bytes."
    )
    db_pool_size: int = Field(
        default=10, ge=1, le=1000, description="PostgreSQL connections that each process keeps open."
    )
    db_max_overflow: int = Field(
        default=10, ge=0, le=1000, description="PostgreSQL connections beyond the pool's size, under load."
    )
    db_pool_timeout_seconds: float = Field(
        default=2.0, gt=0, le=60, description="How long a request waits for a free connection."
    )
    db_pooler: Literal["auto", "transaction", "none"] = Field(
        default="auto",
        description="transaction: connections go through PgBouncer or the like. none: each connection has "
        "its own session. auto: the server detects it.",
    )
    allow_network_file_system: bool = Field(
        default=False,
        description="Allow the SQLite file on a network file system, where SQLite can lose data.",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="How long a server keeps serving, unready, after the signal to stop, so that proxies "
        "notice.",
    )
    metrics: Literal["auto", "everybody", "nobody"] = Field(
        default="auto",
        description="Clients that may read /metrics: everybody, nobody, or auto: all in stub mode, in jwt "
        "mode direct ones from this machine or a private network.",
    )
    metrics_folder: Path | None = Field(
        default=None,
        description="The folder in which the processes of one server share their metrics. serve sets it "
        "itself.",
    )
    otlp_endpoint: str = Field(
        default="",
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"),
        description="Where traces are sent, by OTLP over HTTP. Needs the extra: pip install "
        "'taskwell[otel]'.",
    )
    otel_service_name: str = Field(
        default="taskwell",
        validation_alias=AliasChoices("OTEL_SERVICE_NAME", "otel_service_name"),
        description="The server's name in traces.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe level that is logged: debug, info, warning or error."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto",
        description="The format of the log: text, json, or auto: text on a terminal, JSON lines elsewhere.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (EnvFile takes its place)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (there are none)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, EnvFile(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def strip_quotes_and_spaces(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Strip the quotation marks that `docker --env-file` keeps, and the spaces of a copied line.

        A secret stays unchanged: they may be part of it.
        """
        bare = {name: value if name == "jwt_secret" else _bare(value) for name, value in values.items()}
        return {name: value for name, value in bare.items() if value != ""}

    @field_validator(
        "auth", "jwt_audience_claim", "row_level_security", "rate_limit", "db_pooler", "metrics",
        "log_level", "log_format", mode="before",
    )  # fmt: skip
    @classmethod
    def ignore_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("port", mode="before")
    @classmethod
    def must_not_be_set_by_kubernetes(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith(("tcp://", "udp://")):
            raise ValueError(
                "was set by Kubernetes for a Service named taskwell: set enableServiceLinks: false"
            )
        return value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def must_be_proxies(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",") if name.strip()]
        if names != ["*"] and not all(map(_is_network, names)):
            raise ValueError(
                "must be addresses, or networks such as 10.0.0.0/8 with 0 beyond the mask; or * alone"
            )
        return ",".join(names)

    @field_validator("jwt_user_claim")
    @classmethod
    def must_name_users(cls, value: str) -> str:
        if not _CLAIM.fullmatch(value) or value in _NOT_USER_CLAIMS:
            raise ValueError("must be one claim that differs from user to user, such as sub")
        return value

    @field_validator("rate_limit")
    @classmethod
    def must_be_a_rate(cls, value: str) -> str:
        rate = "".join(value.split())
        if rate != "none":
            try:
                Rate.parse(rate)
            except ValueError as error:
                raise ValueError(f"{error}; or none") from None
        return rate

    @field_validator("time_zone")
    @classmethod
    def must_be_a_time_zone(cls, value: str) -> str:
        if value not in NAMES:
            raise ValueError("must be a name of the tz database such as Europe/Berlin, in its case")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def must_be_a_collector(cls, value: str) -> str:
        if value and not (_is_url(value) and _has_host(value)):
            raise ValueError("must be an http:// or https:// URL, such as http://collector:4318")
        if value.rstrip("/").endswith("/v1/traces"):
            raise ValueError("must not end with /v1/traces, which the exporter appends")
        return value

    @field_validator(
        "host", "cors_origins", "jwt_issuer", "jwt_jwks_url", "jwt_audience", "allowed_hosts",
        "webhook_allow", mode="before",
    )  # fmt: skip
    @classmethod
    def split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("host")
    @classmethod
    def must_be_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(dict.fromkeys(host.removeprefix("[").removesuffix("]") for host in value))
        if not hosts or not all(_is_ipv6(host) or _LISTENED.fullmatch(host) for host in hosts):
            raise ValueError("must be addresses or names like 127.0.0.1 or ::, without scheme or port")
        return hosts

    @model_validator(mode="after")
    def must_be_an_address_or_a_socket(self) -> Self:
        if self.uds is not None and self.model_fields_set & {"host", "port"}:
            raise ValueError("TASKWELL_UDS excludes TASKWELL_HOST and TASKWELL_PORT: remove one or the other")
        return self

    @field_validator("root_path")
    @classmethod
    def must_be_a_path(cls, value: str) -> str:
        return parse_root_path(value)

    @field_validator("public_url")
    @classmethod
    def must_be_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        has_more = parts.query or parts.fragment or "@" in parts.netloc or "*" in parts.netloc
        if value and (has_more or not _is_url(value)):
            raise ValueError("must be an address like https://example.com or https://example.com/tasks")
        if value:
            parse_root_path(parts.path)
            (origin,) = parse_origins((f"{parts.scheme}://{parts.netloc}",))
            return f"{origin}{parts.path.rstrip('/')}"
        return value

    @model_validator(mode="after")
    def must_agree_on_the_path(self) -> Self:
        if self.root_path and self.public_url and self.root_path != urlsplit(self.public_url).path:
            raise ValueError(
                "TASKWELL_PUBLIC_URL must end with TASKWELL_ROOT_PATH: remove TASKWELL_ROOT_PATH"
            )
        return self

    @property
    def public_origin(self) -> str:
        """Scheme and host of the public URL; empty if there is none."""
        return self.public_url.removesuffix(urlsplit(self.public_url).path)

    @property
    def served_path(self) -> str:
        """The path under which clients reach the server, from either setting."""
        return self.root_path or urlsplit(self.public_url).path

    @field_validator("cors_origins")
    @classmethod
    def must_be_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return parse_origins(value)

    @field_validator("allowed_hosts")
    @classmethod
    def must_be_host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_HOST_NAME.fullmatch(name) or _is_ipv6(name.strip("[]")) for name in value):
            raise ValueError(
                "must be names like api.example.com or *.example.com, without scheme or port; names with "
                "other letters as browsers send them (xn--)"
            )
        return tuple(map(_as_sent, value))

    @field_validator("webhook_allow")
    @classmethod
    def must_be_hosts_or_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.strip("[]").lower().removesuffix(".") for name in value)
        if not all(_is_network(name) or (_HOST_NAME.fullmatch(name) and "*" not in name) for name in names):
            raise ValueError(
                "must be names like homeassistant.local, addresses, or networks such as 192.168.1.0/24 with "
                "0 beyond the mask"
            )
        return names

    @field_validator("webhook_proxy")
    @classmethod
    def must_be_a_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (
            _is_url(value.get_secret_value()) and _has_host(value.get_secret_value())
        ):
            raise ValueError("must be an http:// or https:// URL, such as http://smokescreen:4750")
        return value

    @field_validator("rate_limit_storage")
    @classmethod
    def must_be_a_counter_store(cls, value: SecretStr) -> SecretStr:
        scheme, separator, _ = value.get_secret_value().partition("://")
        if not separator or scheme not in {"memory", "redis", "rediss"}:
            raise ValueError("must be memory://, or a redis:// or rediss:// URL")
        if scheme != "memory" and not _has_host(value.get_secret_value()):
            raise ValueError("must be a URL with a host; a port, if any, must be 1 to 65535")
        if scheme != "memory" and not (find_spec("limits") and find_spec("redis")):
            raise ValueError("needs the Redis client: pip install 'taskwell[redis]'")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def must_be_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < _SECRET_MIN_BYTES:
            raise ValueError(
                f"must have at least {_SECRET_MIN_BYTES} bytes: openssl rand -base64 32 makes one"
            )
        return value

    @field_validator("jwt_issuer", "jwt_jwks_url")
    @classmethod
    def must_be_private_or_encrypted(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Require TLS for keys: an attacker could replace them and forge tokens."""
        for url in value:
            if info.field_name == "jwt_issuer" and not _is_url(url):
                continue
            if url.rstrip("/").endswith("/.well-known/openid-configuration"):
                raise ValueError(
                    "must be the issuer, not the address of its discovery document: remove the end"
                )
            parts = urlsplit(url)
            if not _is_url(url) or not parts.hostname or parts.username is not None or " " in url:
                raise ValueError("must be an https:// URL; several are separated by commas")
            if parts.scheme == "http" and not is_private(parts.hostname):
                raise ValueError("must begin with https:// outside a private network")
        return value

    @model_validator(mode="after")
    def must_name_trusted_issuers(self) -> Self:
        if self.auth != "jwt":
            return self
        if not (self.jwt_secret or self.jwt_issuer):
            raise ValueError("TASKWELL_AUTH=jwt needs TASKWELL_JWT_SECRET or TASKWELL_JWT_ISSUER")
        if len(set(self.jwt_issuer)) < len(self.jwt_issuer):
            raise ValueError("TASKWELL_JWT_ISSUER must name each issuer once")
        if self.jwt_jwks_url and len(self.jwt_jwks_url) != len(self.jwt_issuer):
            raise ValueError("TASKWELL_JWT_JWKS_URL needs a TASKWELL_JWT_ISSUER for each URL")
        if not self.jwt_secret and not self.jwt_jwks_url and not all(map(_is_url, self.jwt_issuer)):
            raise ValueError("TASKWELL_JWT_ISSUER must be a URL, unless a JWKS URL or a secret is set")
        if (self.jwt_jwks_url or not self.jwt_secret) and not self.jwt_audience:
            raise ValueError(
                "TASKWELL_JWT_ISSUER needs TASKWELL_JWT_AUDIENCE, or tokens for other services are accepted"
            )
        if self.jwt_audience_claim != "aud" and not self.jwt_audience:
            raise ValueError("TASKWELL_JWT_AUDIENCE_CLAIM needs TASKWELL_JWT_AUDIENCE: the value to accept")
        return self

    @field_validator("app_oidc_client_id")
    @classmethod
    def must_be_a_client_id(cls, value: str) -> str:
        if value and not _CLIENT_ID.fullmatch(value):
            raise ValueError("must be a client id: up to 200 printable characters")
        return value

    @field_validator("app_token_url")
    @classmethod
    def must_be_a_token_url(cls, value: str) -> str:
        if not value or _TOKEN_PATH.fullmatch(value):
            return value
        if not (_has_host(value) and _TOKEN_URL.fullmatch(value)):
            raise ValueError("must be an https:// URL, or a path of the page's own origin")
        if value.startswith("http://") and not is_private(urlsplit(value).hostname or ""):
            raise ValueError("must begin with https:// outside a private network")
        return value

    @model_validator(mode="after")
    def must_name_the_issuer_of_the_page(self) -> Self:
        issuer = self.jwt_issuer[0] if self.jwt_issuer else ""
        if self.app_oidc_client_id and self.auth == "jwt" and not _is_url(issuer):
            raise ValueError("TASKWELL_APP_OIDC_CLIENT_ID needs a URL as TASKWELL_JWT_ISSUER")
        return self

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def must_be_understood(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_database_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def must_migrate_the_served_database(self) -> Self:
        served, migrated = self.database, self.migration_database
        same = served.is_sqlite == migrated.is_sqlite
        if same and served.is_sqlite and served.path != migrated.path:
            same = served.path.resolve() == migrated.path.resolve()
        if not same:
            raise ValueError("MIGRATION_DATABASE_URL leads to another database than DATABASE_URL: remove it")
        return self

    @property
    def database(self) -> DatabaseUrl:
        return parse_database_url(self.database_url.get_secret_value(), pooler=self.db_pooler)

    @property
    def migration_database(self) -> DatabaseUrl:
        """The URL for migrations: the direct one if there is one."""
        if self.migration_database_url is None:
            return self.database.direct()
        pooler: Pooler = "none" if self.db_pooler == "none" else "auto"
        return parse_database_url(self.migration_database_url.get_secret_value(), pooler=pooler)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"TASKWELL_{name.upper()}"


def origins() -> dict[str, Literal["environment", ".env", "default"]]:
    """The source of each setting, by the field's name."""
    environment, file = EnvSettingsSource(Settings)(), EnvFile(Settings)()

    def origin(name: str) -> Literal["environment", ".env", "default"]:
        names = {name, variable(name)}
        if names & environment.keys():
            return "environment"
        return ".env" if names & file.keys() else "default"

    return {name: origin(name) for name in Settings.model_fields}


def unknown_variables() -> list[str]:
    """Variables of the environment or `.env` that have the prefix of settings, and are none."""
    named = {*EnvSettingsSource(Settings).env_vars, *EnvFile(Settings).env_vars}
    known = {variable(name).lower() for name in Settings.model_fields}
    return sorted(name.upper() for name in named - known if name.startswith("taskwell_"))


def _bare(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:
        return False


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _as_sent(name: str) -> str:
    """A host's name as a browser sends it."""
    text = name.strip("[]").lower()
    return ipaddress.ip_address(text).compressed if _is_ipv6(text) else text.removesuffix(".")


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def open_to_all(place: str) -> str:
    """The error of stub mode at an address that other machines can reach. `place`: "on 0.0.0.0"."""
    return (
        f"{place} any client could read and change every task, since authentication is off. "
        "Set TASKWELL_AUTH=jwt, listen on 127.0.0.1, or set "
        "TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS=true if the network is yours alone."
    )
