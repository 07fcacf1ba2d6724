"""What docs/deployment shows is what the server takes."""

import re
import tomllib
from typing import Any

import yaml

from tests.deploy import PORT, ROOT, paths_served, settings_from

FOLDER = ROOT / "docs" / "deployment"


def block(page: str, language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", (FOLDER / page).read_text(), flags=re.DOTALL)
    return str(found)


def ours(environment: dict[str, str]) -> dict[str, str]:
    others = {"PORT", "FORWARDED_ALLOW_IPS", "POSTGRES_PASSWORD"}
    return {name: value for name, value in environment.items() if name not in others}


def test_of_fly() -> None:
    fly: dict[str, Any] = tomllib.loads(block("platforms.md", "toml"))
    assert settings_from(ours(fly["env"])).migrate_at_start is False
    assert fly["http_service"]["internal_port"] == PORT
    (check,) = fly["http_service"]["checks"]
    assert check["path"] in paths_served()


def test_of_render() -> None:
    (service,) = yaml.safe_load(block("platforms.md", "yaml"))["services"]
    environment = {item["key"]: item["value"] for item in service["envVars"] if "value" in item}
    assert settings_from(ours(environment)).migrate_at_start is False
    assert environment["PORT"] == str(PORT)
    assert service["healthCheckPath"] in paths_served()


def test_of_compose() -> None:
    lines = block("containers.md", "ini").splitlines()
    environment = dict(line.split("=", 1) for line in lines)
    assert settings_from(ours(environment) | {"TASKWELL_JWT_SECRET": "x" * 32}).auth == "jwt"


def test_of_neon() -> None:
    name, _, value = block("neon.md", "ini").strip().partition("=")
    settings = settings_from({name: value})
    assert settings.database.pooled
    assert not settings.migration_database.pooled
    assert "-pooler" not in str(settings.migration_database)


def test_the_files_that_are_named_are_there() -> None:
    for page in FOLDER.glob("*.md"):
        for name in re.findall(r"\b(deploy/[\w./-]+\w)", page.read_text()):
            assert (ROOT / name).exists(), (page.name, name)
