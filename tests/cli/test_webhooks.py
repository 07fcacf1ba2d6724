"""A copy of a database delivers nothing, unless it is to go on for the original."""

from pathlib import Path

import httpx2
import pytest

from harness.servers import local_server
from taskwell.core.settings import Settings
from tests.cli.commands import done, taskwell


def hooks(url: str) -> list[tuple[bool, str | None]]:
    with local_server(Settings(database_url=url)) as server, httpx2.Client(base_url=server.url) as client:
        return [(one["active"], one["disabled_reason"]) for one in client.get("/api/webhooks").json()]


@pytest.mark.parametrize("option", [(), ("--with-webhooks",)], ids=["copy", "successor"])
def test_moves_and_restores(database_url: str, tmp_path: Path, option: tuple[str, ...]) -> None:
    with (
        local_server(Settings(database_url=database_url)) as server,
        httpx2.Client(base_url=server.url) as client,
    ):
        new = {"url": "https://hooks.invalid/", "events": ["*"]}
        client.post("/api/webhooks", json=new).raise_for_status()
    file = tmp_path / "hooks.bak"
    done(database_url, "backup", str(file))
    moved, restored = (f"sqlite:///{tmp_path}/{name}.db" for name in ("moved", "restored"))
    told = [
        taskwell(database_url, "move", database_url, moved, *option),
        taskwell(restored, "restore", str(file), *option),
    ]
    for url, result in zip((moved, restored), told, strict=True):
        assert result.exit_code == 0, result.stderr
        assert ("1 webhooks are inactive here" in result.stderr) == (not option)
        assert hooks(url) == [(True, None) if option else (False, "copied")]
    assert hooks(database_url) == [(True, None)]
    assert taskwell(database_url, "move", database_url, moved, *option).exit_code == 0  # it is there already
