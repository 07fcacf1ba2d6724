"""Dockerfile, .dockerignore and compose.yaml; the steps of the image are run in a plain folder."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.postgres import free_port
from harness.servers import wait_for
from taskwell.cli import app
from tests.deploy import (
    PORT,
    ROOT,
    build_image,
    instructions,
    known_settings,
    paths_served,
    settings_from,
    settings_named_in,
)

TOOLS = Path(sys.executable).parent


def only(word: str) -> str:
    (rest,) = (rest for name, rest in instructions() if name == word)
    return rest


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage leaves."""
    path = f"{TOOLS}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PATH": path}
    root = tmp_path_factory.mktemp("image")
    build_image(root, ROOT, environment)
    return root


class TestDockerfile:
    @pytest.mark.skipif(sys.platform != "linux", reason="hadolint is for Linux here")
    def test_the_linter_finds_nothing(self) -> None:
        done = subprocess.run(
            [TOOLS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_it_runs_as_nobody_in_particular(self) -> None:
        user, group = only("USER").split(":")
        assert int(user) > 0
        assert int(group) > 0
        assert f"--uid {user}" in (ROOT / "Dockerfile").read_text()

    def test_its_settings_exist(self) -> None:
        assert settings_named_in((ROOT / "Dockerfile").read_text()) <= known_settings()
        assert only("EXPOSE") == str(PORT)

    def test_what_it_copies_is_let_through_and_nothing_else(self) -> None:
        wanted = {name for word, rest in instructions() if word == "COPY" for name in rest.split()[:-1]}
        wanted -= {"--from=build", "/opt/taskwell"}
        ignore = (ROOT / ".dockerignore").read_text().splitlines()
        assert {line[1:] for line in ignore if line.startswith("!")} == wanted
        assert next(line for line in ignore if not line.startswith("#")) == "*"
        assert all((ROOT / name).exists() for name in wanted)

    def test_what_builds_the_wheel_is_what_the_project_asks_for(self) -> None:
        asked = re.findall(r'requires = \["(.*)"\]', (ROOT / "pyproject.toml").read_text())
        lines = (ROOT / "deploy" / "requirements-build.in").read_text().splitlines()
        assert [line for line in lines if not line.startswith("#")] == asked

    @pytest.mark.plan("A13")
    def test_its_steps_make_a_server_that_is_healthy(self, image: Path, tmp_path: Path) -> None:
        """As the image has it: the command, the check of its health, and no pip."""
        programs = image / "opt" / "taskwell" / "bin"
        assert not list(programs.glob("pip*"))
        port = str(free_port())
        environment = {"PATH": f"{programs}:{os.environ['PATH']}", "TASKWELL_PORT": port}
        check = json.loads(only("HEALTHCHECK").partition("CMD ")[2])

        def is_healthy() -> bool:
            return subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 0

        assert not is_healthy()
        with (tmp_path / "log").open("wb") as log:
            server = subprocess.Popen(
                json.loads(only("CMD")), cwd=tmp_path, env=environment, stdout=log, stderr=log
            )
        try:
            wait_for(is_healthy)
        finally:
            server.terminate()
            ended = server.wait(timeout=30)
        assert ended == -signal.SIGTERM  # which a shell shows as 143


class TestCompose:
    def test_it_is_one_by_the_schema(self) -> None:
        check = [
            str(TOOLS / "check-jsonschema"),
            "--builtin-schema",
            "vendor.compose-spec",
            str(ROOT / "compose.yaml"),
        ]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_its_settings_exist_and_are_taken(self, compose: dict[str, Any]) -> None:
        assert settings_named_in((ROOT / "compose.yaml").read_text()) <= known_settings()
        environment: dict[str, str] = compose["services"]["server"]["environment"]
        settings = settings_from(
            environment | {"DATABASE_URL": "postgresql://taskwell:secret@db:5432/taskwell"}
        )
        assert settings.migrate_at_start is False
        assert compose["services"]["server"]["ports"] == [f"127.0.0.1:{settings.port}:{PORT}"]
        assert settings.port == PORT

    def test_no_secret_is_written_in_it(self, compose: dict[str, Any]) -> None:
        for service in compose["services"].values():
            for name, value in service.get("environment", {}).items():
                if "PASSWORD" in name or "SECRET" in name or "://" in value:
                    assert "${POSTGRES_PASSWORD:?" in value

    def test_the_database_is_ready_then_migrated_then_served(self, compose: dict[str, Any]) -> None:
        services = compose["services"]
        assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
        assert services["server"]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"}
        }
        program, *group, command = services["migrate"]["command"]
        assert (program, group, command) == ("taskwell", ["db"], "upgrade")
        groups = {found.name: found.typer_instance for found in app.registered_groups}
        commands = groups["db"].registered_commands if groups["db"] else []
        assert command in {found.callback.__name__ for found in commands if found.callback}

    def test_both_of_ours_can_change_nothing_but_the_database(self, compose: dict[str, Any]) -> None:
        for name in ("migrate", "server"):
            service = compose["services"][name]
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_paths_of_health_are_the_servers() -> None:
    named = set(re.findall(r"/health/\w+", (ROOT / "Dockerfile").read_text()))
    assert named == {"/health/live"}
    assert named <= paths_served()
