"""PgBouncer, started here as our own child."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection

import pytest

from harness.certificates import Files
from harness.postgres import die_with_parent, free_port


def program() -> str:
    """Where it is; a machine without it goes without the tests that need it, CI does not."""
    path = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None and "CI" not in os.environ:
        pytest.skip("no pgbouncer: these tests need it (Debian: apt-get install pgbouncer)")
    assert path is not None, "CI needs pgbouncer"
    return path


@dataclass
class PgBouncer:
    """In front of a PostgreSQL on localhost. Like PostgreSQL it refuses to run as root."""

    folder: Path
    server_port: int
    passwords: Mapping[str, str]
    tls: Files
    root: Path
    port: int = field(default_factory=free_port)
    sessions: int = 2
    tls_mode: str = "require"
    mode: str = "transaction"
    ignored: str = ""  # start-up parameters that it drops instead of refusing them
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        user = "nobody" if sys.platform != "win32" and os.geteuid() == 0 else None
        accounts = self.folder / "userlist.txt"
        accounts.write_text("".join(f'"{name}" "{word}"\n' for name, word in self.passwords.items()))
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": accounts,
            "pool_mode": self.mode,
            "ignore_startup_parameters": self.ignored,
            "default_pool_size": self.sessions,
            "max_client_conn": 500,
            "server_login_retry": 0.2,
            "client_tls_sslmode": self.tls_mode,
            "client_tls_cert_file": self.tls.certificate,
            "client_tls_key_file": self.tls.key,
            "server_tls_sslmode": "verify-full",
            "server_tls_ca_file": self.root,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        where = f"* = host=localhost port={self.server_port}"
        configuration = self.folder / "pgbouncer.ini"
        configuration.write_text("\n".join(["[databases]", where, "[pgbouncer]", *lines, ""]))
        if user is not None:
            for file in (accounts, configuration):
                shutil.chown(file, user)
        with (self.folder / "pgbouncer.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program(), configuration],
                stdout=log,
                stderr=log,
                user=user,
                cwd=self.folder,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (no lock is taken)
            )
        self._wait_until_up()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()  # at once, with all sessions
            self._process.wait(timeout=30)
            self._process = None

    def log(self) -> str:
        return (self.folder / "pgbouncer.log").read_text()

    def _wait_until_up(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 30
        while True:
            try:
                create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(self.log()[-2_000:]) from None
                time.sleep(0.05)
            else:
                return
