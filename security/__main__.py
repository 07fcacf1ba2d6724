"""`python -m security`: who gets in and what they learn. Ends with 1 if it is more than they should."""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2

from harness.figures import Figures, table
from harness.issuer import ALGORITHMS, AUDIENCE, SECRET, Issuer, SigningKey, bearer, running_issuer
from harness.servers import ServerProcess, server_process
from harness.subjects import subject
from security import matrix
from security.corpus import hostile_tokens

_DATABASES = ("sqlite", "postgresql")
_UNKNOWN_KEYS = 10_000
_TOKENS_WHILE_AWAY = 1_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m security", description=__doc__)
    parser.add_argument("--database", choices=(*_DATABASES, "both"), default="both")
    parser.add_argument("--unknown-keys", type=int, default=_UNKNOWN_KEYS)
    parser.add_argument(
        "--rest",
        type=float,
        default=31.0,
        help="seconds before the unknown keys, so that none was before them",
    )
    given = parser.parse_args()
    columns = {
        database: measure(database, given.unknown_keys, given.rest)
        for database in (_DATABASES if given.database == "both" else (given.database,))
    }
    print(table("security", columns))
    broken = [f"{where}: {what}" for where, figures in columns.items() for what in figures.broken]
    print(*(f"broken: {what}" for what in broken), sep="\n", file=sys.stderr)
    return 1 if broken else 0


def measure(database: str, unknown_keys: int, rest: float, *, refuses: bool = True) -> Figures:
    """`refuses`: as for the matrix."""
    with running_issuer(*ALGORITHMS) as issuer, _server(database, issuer) as server:
        print(f"{database}: every operation as everybody who should not ...", file=sys.stderr, flush=True)
        figures = matrix.measure(server.url, issuer, refuses=refuses)
        print(f"{database}: hostile tokens ...", file=sys.stderr, flush=True)
        _hostile(server.url, issuer, figures)
        print(f"{database}: unknown keys, and an issuer that is away ...", file=sys.stderr, flush=True)
        time.sleep(rest)
        _keys(server.url, issuer, figures, unknown_keys)
    return figures


def _hostile(url: str, issuer: Issuer, figures: Figures) -> None:
    tried = accepted = faults = 0
    with httpx2.Client(base_url=url, timeout=30) as client:
        for _, token in hostile_tokens(issuer):
            header = f"Bearer {token}".encode("utf-8", "surrogatepass")
            status = client.get("/api/users/me", headers={b"Authorization": header}).status_code
            tried += 1
            accepted += status < 400
            faults += status >= 500
    figures.note("hostile tokens", tried)
    figures.promise("hostile tokens accepted", accepted, kept=accepted == 0)
    figures.promise("hostile tokens answered 5xx", faults, kept=faults == 0)


def _keys(url: str, issuer: Issuer, figures: Figures, unknown_keys: int) -> None:
    """The issuer is asked seldom, whatever comes; while it is away nobody is refused whom it knows."""
    client = httpx2.Client(base_url=url, timeout=30)

    def status_of(token: str) -> int:
        return client.get("/api/users/me", headers=bearer(token)).status_code

    stranger = SigningKey.new("stranger", "EdDSA").private
    unknown = (
        issuer.token("alice", key=SigningKey(f"unknown-{n}", "EdDSA", stranger)) for n in range(unknown_keys)
    )
    before = issuer.fetches
    with client, ThreadPoolExecutor(16) as threads:
        statuses = set(threads.map(status_of, unknown))
        fetches = issuer.fetches - before
        issuer.instead = (503, {}, b"")
        known = (issuer.token(f"user-{n}") for n in range(_TOKENS_WHILE_AWAY))
        refused = sum(status != 200 for status in threads.map(status_of, known))
    figures.note("tokens of unknown keys", unknown_keys)
    figures.promise("… answered otherwise than 401", len(statuses - {401}), kept=statuses <= {401})
    # The run lasts as long as it lasts: two in each half minute of it.
    figures.note("… fetches that they caused", fetches)
    figures.promise("users refused while the issuer is away", refused, kept=refused == 0)


@contextmanager
def _server(database: str, issuer: Issuer) -> Iterator[ServerProcess]:
    with subject(database) as (url, folder):
        settings = {
            "DATABASE_URL": url,
            "TASKWELL_AUTH": "jwt",
            "TASKWELL_JWT_SECRET": SECRET,
            "TASKWELL_JWT_ISSUER": issuer.url,
            "TASKWELL_JWT_JWKS_URL": issuer.jwks_url,
            "TASKWELL_JWT_AUDIENCE": AUDIENCE,
            "TASKWELL_RATE_LIMIT": "none",
            "TASKWELL_LOG_LEVEL": "warning",
        }
        with server_process(folder, **settings) as server:
            yield server


if __name__ == "__main__":
    sys.exit(main())
