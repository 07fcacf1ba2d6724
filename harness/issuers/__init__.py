"""The token issuers that people use, run for real: Better Auth and an OpenID Connect provider, on Node.js."""

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import httpx2

from harness.node import install, program

FOLDER = Path(__file__).parent
PASSWORD = "correct horse battery staple"


class Issuer:
    """One of the scripts beside this file. It ends when its standard input does, so it never outlives us."""

    script: str
    environment: Mapping[str, str] = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    @property
    def issuer(self) -> str:
        """What its tokens have as `iss`."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """A second start is on the same port, with the same keys and users."""
        self._launch()
        if not self._speaks():  # node has been seen to hang at its start
            assert self._process is not None
            self._process.kill()
            self._process.communicate()
            self._launch()
        assert self._process is not None
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        if not told:
            self.stop()
            raise RuntimeError(self.log())
        self.port = json.loads(told)["port"]

    def _launch(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("node"), FOLDER / self.script],
                env=os.environ
                | {**self.environment, "PORT": str(self.port), "STATE": str(self._folder / "state.json")},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _speaks(self) -> bool:
        assert self._process is not None
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 30)[0])

    def stop(self) -> None:
        if self._process is not None:
            try:
                self._process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
                raise
            finally:
                self._process = None

    def log(self) -> str:
        return (self._folder / "log").read_text()


AnIssuer = TypeVar("AnIssuer", bound=Issuer)


class BetterAuth(Issuer):
    """Users sign up by name; each has its session here."""

    script = "better-auth.mjs"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._sessions: dict[str, str] = {}

    @property
    def audience(self) -> str:
        return self.issuer

    @property
    def jwks_url(self) -> str:
        return f"{self.issuer}/api/auth/jwks"

    def sign_up(self, name: str) -> tuple[str, str]:
        """The new user's id, and a token."""
        account = {"name": name, "email": email(name), "password": PASSWORD}
        answer = httpx2.post(f"{self.issuer}/api/auth/sign-up/email", json=account).raise_for_status().json()
        self._sessions[name] = answer["token"]
        return answer["user"]["id"], self.token(name)

    def token(self, name: str) -> str:
        """A new token of a user who has signed up."""
        session = {"Authorization": f"Bearer {self._sessions[name]}"}
        answer = httpx2.get(f"{self.issuer}/api/auth/token", headers=session).raise_for_status()
        token: str = answer.json()["token"]
        return token

    def rotate(self, *, forget: bool = False) -> None:
        """From now on a new key signs. The old ones stay in the JWKS, unless they are to be forgotten."""
        httpx2.post(f"{self.issuer}/test/rotate{'?forget' if forget else ''}").raise_for_status()


class OpenIDProvider(Issuer):
    """`alg` is RS256, PS256, ES256, EdDSA or Ed25519, and also the name of the client that asks."""

    script = "oidc.mjs"

    def token(self, alg: str, audience: str, user: str | None = None) -> str:
        """An access token of a user who signs in, else of the client itself. `audience` is a URI."""
        with httpx2.Client(base_url=self.issuer, auth=(alg, "known to all")) as client:
            grant = {"grant_type": "client_credentials", "scope": "tasks"}
            if user is not None:
                grant = self._sign_in(client, {"client_id": alg, "resource": audience, "login_hint": user})
            answer = client.post("/token", data=grant | {"resource": audience}).raise_for_status()
        token: str = answer.json()["access_token"]
        return token

    def _sign_in(self, client: httpx2.Client, request: Mapping[str, str]) -> dict[str, str]:
        """The way of a browser, which ends at a page that is not there but has the code in its URL."""
        callback = f"{self.issuer}/test/callback"
        query = {"response_type": "code", "redirect_uri": callback, "scope": "openid tasks", **request}
        answer = client.get("/auth", params=query, auth=None, follow_redirects=True)
        code: str = answer.url.params["code"]
        return {"grant_type": "authorization_code", "redirect_uri": callback, "code": code}


def email(name: str) -> str:
    return f"{name}@example.com"


@contextmanager
def better_auth() -> Iterator[BetterAuth]:
    with _running(BetterAuth) as issuer:
        yield issuer


@contextmanager
def oidc_provider(page: str = "") -> Iterator[OpenIDProvider]:
    """`page`: where a page of the client `page`, which has no secret, is redirected to."""
    with _running(OpenIDProvider, PAGE=page) as issuer:
        yield issuer


@contextmanager
def _running(kind: type[AnIssuer], **environment: str) -> Iterator[AnIssuer]:
    install(FOLDER)
    with tempfile.TemporaryDirectory(prefix="taskwell-issuer-") as folder:
        issuer = kind(Path(folder))
        issuer.environment = environment
        issuer.start()
        try:
            yield issuer
        finally:
            issuer.stop()
