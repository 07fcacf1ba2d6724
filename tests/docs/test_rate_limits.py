"""docs/rate-limits.md shows the headers of a first answer, as a server with the default limit sends them."""

import re
from pathlib import Path

import httpx2
import jwt
from pydantic import SecretStr

from harness.issuer import SECRET, bearer
from harness.servers import local_server
from taskwell.core.settings import Settings
from tests.docs import DOCS


def shown() -> dict[str, str]:
    text = (DOCS / "rate-limits.md").read_text()
    lines = re.findall(r"^(RateLimit[\w-]*): (.+)$", text, flags=re.MULTILINE)
    assert len(lines) == 2
    return dict(lines)


def test_a_first_answer_has_the_headers_that_are_shown(tmp_path: Path) -> None:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/test.db", auth="jwt", jwt_secret=SecretStr(SECRET)
    )
    token = jwt.encode({"sub": "alice", "exp": 4_000_000_000}, SECRET)
    with local_server(settings) as server:
        answer = httpx2.get(f"{server.url}/api/tasks", headers=bearer(token))
    assert answer.status_code == 200
    assert {name: answer.headers[name] for name in shown()} == shown()
