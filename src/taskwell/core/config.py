"""The settings: the only reader of the environment."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from taskwell.core.database_url import DatabaseUrl, parse_database_url


class Settings(BaseSettings):
    """Read from the environment, then from `.env`. `.env.example` lists them all; a test holds it to this."""

    model_config = SettingsConfigDict(
        env_prefix="TASKWELL_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///taskwell.db"),
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="Where the data is: the URL as your provider prints it, or sqlite:///a/file.",
    )
    migration_database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("MIGRATION_DATABASE_URL", "migration_database_url"),
        description="A direct URL for migrations, when DATABASE_URL leads through a pooler.",
    )
    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="The port to listen on.")
    workers: int = Field(default=1, ge=1, le=256, description="How many server processes to run.")
    auth: Literal["stub"] = Field(
        default="stub", description="Who is asking. stub: nobody is asked for credentials."
    )
    allow_stub_auth_on_public_address: bool = Field(
        default=False, description="Serve without credentials on an address others can reach."
    )
    create_users: bool = Field(
        default=True,
        description="Create a user at their first write; otherwise that write is a 404.",
    )
    require_if_match: bool = Field(
        default=False, description="Refuse changes of a task without If-Match (428)."
    )
    trash_days: int = Field(default=30, ge=1, le=3650, description="How long a deleted task can be restored.")
    migrate_at_start: bool = Field(
        default=True, description="Apply migrations when the server starts; otherwise wait for them."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Web origins that may call, comma-separated. In stub mode this machine's always may.",
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=16_384, description="The largest request body, in bytes."
    )
    db_pool_size: int = Field(
        default=10, ge=1, le=1000, description="PostgreSQL connections kept open by a process."
    )
    db_max_overflow: int = Field(
        default=10, ge=0, le=1000, description="PostgreSQL connections beyond those, when busy."
    )
    db_pool_timeout_seconds: float = Field(
        default=2.0, gt=0, le=60, description="How long a request waits for a free connection."
    )
    db_pooler: Literal["auto", "transaction", "none"] = Field(
        default="auto",
        description="transaction: PgBouncer or the like is in between. auto: if the host has -pooler.",
    )
    allow_network_file_system: bool = Field(
        default=False, description="Keep the SQLite file on a network file system, at its risk."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much is logged."
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def must_be_understood(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_database_url(value.get_secret_value())
        return value

    @property
    def database(self) -> DatabaseUrl:
        return parse_database_url(self.database_url.get_secret_value(), pooler=self.db_pooler)

    @property
    def migration_database(self) -> DatabaseUrl:
        """The URL that migrations take: the direct one where there is one."""
        if self.migration_database_url is None:
            return self.database.direct()
        return parse_database_url(self.migration_database_url.get_secret_value(), pooler="none")
