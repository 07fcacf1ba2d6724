"""The files that operators deploy by, held to the application and to the schemas of what reads them."""

import re
from collections.abc import Mapping
from pathlib import Path

from taskwell.core.config import Settings
from taskwell.main import create_app

ROOT = Path(__file__).parents[2]
PORT = Settings.model_fields["port"].default


def settings_named_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:TASKWELL_[A-Z_]*[A-Z]|(?:MIGRATION_)?DATABASE_URL)\b", text))


def known_settings() -> set[str]:
    names = {f"TASKWELL_{name.upper()}" for name in Settings.model_fields}
    return names | {"DATABASE_URL", "MIGRATION_DATABASE_URL"}


def settings_from(environment: Mapping[str, str]) -> Settings:
    """What the server makes of it; a value that it would refuse is an error."""
    names = {name.removeprefix("TASKWELL_").lower(): value for name, value in environment.items()}
    return Settings.model_validate(names)


def paths_served() -> set[str]:
    return set(create_app(Settings(database_url="sqlite:///unused.db")).openapi()["paths"])
