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


def shown() -> list[dict[str, str]]:
    """The headers of each block: to a user, and to a token with a rate."""
    text = (DOCS / "rate-limits.md").read_text()
    lines = re.findall(r"^(RateLimit[\w-]*): (.+)$", text, flags=re.MULTILINE)
    assert len(lines) == 4
    return [dict(lines[:2]), dict(lines[2:])]


def test_a_first_answer_has_the_headers_that_are_shown(tmp_path: Path) -> None:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/test.db", auth="jwt", jwt_secret=SecretStr(SECRET)
    )
    users = [bearer(jwt.encode({"sub": user, "exp": 4_000_000_000}, SECRET)) for user in ("alice", "bob")]
    new = {"name": "agent", "scopes": ["tasks:read"], "rate": "60/minute"}
    with local_server(settings) as server:
        made = httpx2.post(f"{server.url}/api/users/me/tokens", json=new, headers=users[1]).json()
        answers = [
            httpx2.get(f"{server.url}/api/tasks", headers=headers)
            for headers in (users[0], bearer(made["token"]))
        ]
    assert [answer.status_code for answer in answers] == [200, 200]
    found = [{name: answer.headers[name] for name in ("RateLimit-Policy", "RateLimit")} for answer in answers]
    found[1]["RateLimit"] = found[1]["RateLimit"].replace("r=1198", "r=1199")  # bob has made the token
    assert found == shown()
