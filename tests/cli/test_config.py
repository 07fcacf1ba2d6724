"""`taskwell config` as an operator runs it."""

import json
import os
from pathlib import Path

import pytest

from taskwell.core.settings import Settings, variable
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


class TestEnvFile:
    LINES = '# where the tasks are\r\nexport DATABASE_URL="sqlite:///ä.db"\r\nTASKWELL_PORT=9000\r\n'

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    def test_is_read_in_what_editors_and_shells_write(self, folder: Path, encoding: str) -> None:
        (folder / ".env").write_bytes(self.LINES.encode(encoding))
        told = json.loads(done("", "config", "--json"))
        assert told["DATABASE_URL"] == {"value": "sqlite:///%C3%A4.db", "from": ".env"}
        assert told["TASKWELL_PORT"] == {"value": "9000", "from": ".env"}

    def test_with_what_a_provider_prints(self, folder: Path) -> None:
        (folder / ".env").write_text("DATABASE_URL=psql 'postgresql://user:S3cr3t@db/app?sslmode=require'\n")
        told = json.loads(done("", "config", "--json"))
        assert told["DATABASE_URL"] == {"value": "postgresql://user:***@db/app", "from": ".env"}

    @pytest.mark.parametrize("content", [b"\xff\xfeD", b"TASKWELL_PORT=9000 # \xe4", b"a\0\0\0b\0\0\0"])
    @pytest.mark.parametrize("command", [["config"], ["serve"], ["backup", "x"], ["db", "upgrade"]])
    def test_what_is_no_text_is_told_of(self, folder: Path, command: list[str], content: bytes) -> None:
        (folder / ".env").write_bytes(content)
        result = taskwell("", *command)
        assert result.exit_code == 2
        assert result.stderr == ".env is not text in UTF-8: save it as UTF-8\n"

    def test_what_is_no_text_is_told_of_by_doctor_too(self, folder: Path) -> None:
        (folder / ".env").write_bytes(b"\xff\xfeD")
        result = taskwell("", "doctor")
        assert result.exit_code == 1
        assert result.stdout == "wrong  settings: .env is not text in UTF-8: save it as UTF-8\n"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_one_that_may_not_be_read(self, folder: Path) -> None:
        (folder / ".env").write_text("TASKWELL_PORT=9000")
        (folder / ".env").chmod(0)
        result = taskwell("", "config")
        assert result.exit_code == 2
        assert result.stderr == ".env cannot be read: permission denied\n"

    def test_a_folder_of_that_name_is_none(self, folder: Path) -> None:
        """It may be a virtual environment."""
        (folder / ".env").mkdir()
        assert json.loads(done("", "config", "--json"))["TASKWELL_PORT"]["from"] == "default"
