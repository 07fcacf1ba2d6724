"""An issuer of tokens whose every step can be told, and its tokens."""

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

AUDIENCE = "https://taskwell.example"
SECRET = "known to the tests alone, and 32 bytes long or more"

_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
_SIGNERS: dict[str, Algorithm] = {
    "HS256": HMACAlgorithm(HMACAlgorithm.SHA256),
    "HS384": HMACAlgorithm(HMACAlgorithm.SHA384),
    "HS512": HMACAlgorithm(HMACAlgorithm.SHA512),
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "RS384": RSAAlgorithm(RSAAlgorithm.SHA384),
    "RS512": RSAAlgorithm(RSAAlgorithm.SHA512),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "PS384": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384),
    "PS512": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256),
    "ES384": ECAlgorithm(ECAlgorithm.SHA384),
    "ES512": ECAlgorithm(ECAlgorithm.SHA512),
    "EdDSA": OKPAlgorithm(),
    "Ed25519": OKPAlgorithm(),
}
# What a key pair can sign with; the first is that of `keys[0]`.
ALGORITHMS = ("EdDSA", "Ed25519", *(name for name in _SIGNERS if name[:2] in {"RS", "PS", "ES"}))


def bearer(token: str) -> dict[str, str]:
    """The header that a token is sent in."""
    return {"Authorization": f"Bearer {token}"}


def part(value: bytes | Mapping[str, Any]) -> str:
    """A part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(header: Mapping[str, Any], payload: bytes | Mapping[str, Any], key: Any, algorithm: str) -> str:
    """A token with whatever header and payload, signed by an algorithm that the header need not name."""
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(_SIGNERS[algorithm].sign(signed.encode(), key))}"


@cache
def _rsa_key(_name: str) -> rsa.RSAPrivateKey:
    """To make one takes long, so a name's key is made once."""
    return rsa.generate_private_key(65_537, 2_048)


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    algorithm: str
    private: Any

    @classmethod
    def new(cls, kid: str, algorithm: str) -> "SigningKey":
        if algorithm[:2] in {"RS", "PS"}:
            return cls(kid, algorithm, _rsa_key(kid))
        if algorithm in _CURVES:
            return cls(kid, algorithm, ec.generate_private_key(_CURVES[algorithm]))
        return cls(kid, algorithm, ed25519.Ed25519PrivateKey.generate())

    def jwk(self) -> dict[str, Any]:
        public = self.private.public_key()
        return {**_SIGNERS[self.algorithm].to_jwk(public, as_dict=True), **self.names()}

    def names(self) -> dict[str, str]:
        return {"kid": self.kid, "alg": self.algorithm, "use": "sig"}


@dataclass
class Issuer:
    """Publishes its keys on loopback. What it does wrong is set by a test."""

    url: str = ""
    keys: list[SigningKey] = field(default_factory=list)
    unusable: list[Any] = field(default_factory=list)  # published beside the keys
    fetches: int = 0
    # An answer in place of the keys, and the seconds that it takes.
    instead: tuple[int, dict[str, str], bytes] | None = None
    delay: float = 0.0

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/jwks"

    def claims(self, user_id: str, **others: Any) -> dict[str, Any]:
        """What a token of this issuer says; a claim that is None is left out."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": user_id, "iat": now, "exp": now + 600}
        return {name: value for name, value in {**claims, **others}.items() if value is not None}

    def token(self, user_id: str, *, key: SigningKey | None = None, **claims: Any) -> str:
        """A good token, but for the claims that are given."""
        key = key or self.keys[0]
        header = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}
        return sign(header, self.claims(user_id, **claims), key.private, key.algorithm)

    def documents(self) -> dict[str, bytes]:
        jwks = {"keys": [*self.unusable, *(key.jwk() for key in self.keys)]}
        discovery = {"issuer": self.url, "jwks_uri": self.jwks_url}
        return {
            "/jwks": json.dumps(jwks).encode(),
            "/.well-known/openid-configuration": json.dumps(discovery).encode(),
        }


@contextmanager
def running_issuer(*algorithms: str) -> Iterator[Issuer]:
    """An issuer with a key for each algorithm."""
    issuer = Issuer(keys=[SigningKey.new(f"key-{name}", name) for name in algorithms or ("EdDSA",)])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.fetches += 1
            time.sleep(issuer.delay)
            found = issuer.documents().get(self.path)
            status, headers, body = issuer.instead or (200 if found else 404, {}, found or b"")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
