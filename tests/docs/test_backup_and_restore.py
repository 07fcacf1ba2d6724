"""The commands of docs/backup-and-restore.md, in their order, where no server is in the way of a move."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2

from harness.databases import new_postgres_database
from harness.responses import create
from harness.servers import server_process
from tests.cli.contents import contents

PAGE = Path(__file__).parents[2] / "docs" / "backup-and-restore.md"


def test_its_commands_work_as_printed(tmp_path: Path) -> None:
    script = "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL))
    with server_process(tmp_path) as server, httpx2.Client(base_url=server.url) as client:
        create(client, "/api/tasks")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with new_postgres_database() as url:
        done = subprocess.run(
            ["sh", "-euc", script],
            cwd=tmp_path,
            env=os.environ | {"PATH": path, "NEW_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        moved = contents(url)
    assert moved == contents(f"sqlite:///{tmp_path}/taskwell.db")
    assert moved["tasks"].rows == 1
