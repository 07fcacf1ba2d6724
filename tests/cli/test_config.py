"""`taskwell config` as an operator runs it."""

import json
from pathlib import Path

import pytest

from taskwell.core.config import Settings, variable
from tests.cli.commands import done, taskwell

SECRETS = {
    "TASKWELL_AUTH": "jwt",
    "TASKWELL_JWT_SECRET": "S3cr3t that is known to these tests alone, 32 bytes",
    "MIGRATION_DATABASE_URL": "postgresql://user:S3cr3t@db/app",
    "TASKWELL_RATE_LIMIT_STORAGE": "redis://:S3cr3t@redis",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:S3cr3t@traces.example.com",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shows_every_setting_once() -> None:
    told = json.loads(done("sqlite:///a.db", "config", "--json"))
    assert list(told) == [variable(name) for name in Settings.model_fields]
    lines = done("sqlite:///a.db", "config").splitlines()
    assert [line.split()[0] for line in lines] == list(told)
    assert lines[0].split() == ["DATABASE_URL", "environment", "sqlite:///a.db"]


def test_says_where_each_comes_from(folder: Path) -> None:
    (folder / ".env").write_text("TASKWELL_PORT=9000\nTASKWELL_WORKERS=2\nTASKWELL_HOST=\n")
    told = json.loads(done("sqlite:///a.db", "config", "--json", TASKWELL_WORKERS="3"))
    assert told["DATABASE_URL"] == {"value": "sqlite:///a.db", "from": "environment"}
    assert told["TASKWELL_PORT"] == {"value": "9000", "from": ".env"}
    assert told["TASKWELL_WORKERS"] == {"value": "3", "from": "environment"}
    assert told["TASKWELL_HOST"] == {"value": "127.0.0.1", "from": "default"}


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_hides_secrets(option: list[str]) -> None:
    text = done("postgresql://user:S3cr3t@db/app", "config", *option, **SECRETS)
    assert "S3cr3t" not in text
    assert "postgresql://user:***@db/app" in text
    assert "https://***@traces.example.com" in text


def test_settings_that_are_wrong_are_told_of() -> None:
    result = taskwell("sqlite:///a.db", "config", TASKWELL_PORT="many")
    assert result.exit_code == 2
    assert "TASKWELL_PORT" in result.stderr
