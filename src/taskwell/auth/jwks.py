"""The public keys of an issuer (RFC 7517), fetched and cached.

A cached key is used without waiting: tokens stay valid while their issuer is slow or unreachable.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from taskwell.core import strict_json
from taskwell.core.errors import Unavailable

logger = logging.getLogger("taskwell")

_FRESH_SECONDS = 300.0
# An unknown key may be a new one, so it causes a fetch; but any token may name one, so fetches are limited.
_FETCHES, _PERIOD_SECONDS = 2, 30.0
_PAUSE_SECONDS = 3.0  # between attempts while no key is cached
_TIMEOUT_SECONDS = 3.0
_MAX_BYTES = 65_536
_MAX_KEYS = 100
_RSA_MIN_BITS = 2_048  # RFC 7518, 3.3
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_ALGORITHM_OF_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the algorithms that it may be used with, regardless of the token's."""

    kid: str | None
    algorithms: frozenset[str]
    public: PublicKey


class KeysUnavailable(Unavailable):
    detail = "The keys of the token issuer cannot be fetched, so the token cannot be verified. Try again."
    reason = "keys"


class OtherIssuer(ValueError):
    """The discovery document names another issuer than the settings. The message says what to change."""

    def __init__(self, configured: str, named: object) -> None:
        slash = isinstance(named, str) and named.rstrip("/") == configured.rstrip("/")
        difference = "its own name differs by a slash at the end" if slash else "its own name is another"
        super().__init__(f"{difference}: TASKWELL_JWT_ISSUER must be the `issuer` of its discovery document")


class KeySet:
    """The keys of one issuer, at the configured URL or at that of its discovery document."""

    def __init__(self, issuer: str, url: str | None, now: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self.obstacle = ""  # the error of the last fetch, if it failed
        self._url = url
        self._now = now
        self._keys: tuple[Key, ...] | None = None
        self._fetched_at = 0.0
        self._attempts: deque[float] = deque(maxlen=_FETCHES)
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key that a token names; without a name, the only key for the algorithm.

        Raises:
            KeysUnavailable: no fetch has succeeded yet.
        """
        key = self._find(kid, algorithm)
        if key is None:
            if self._may_fetch():
                await self.refresh()
            key = self._find(kid, algorithm)
        elif self._now() - self._fetched_at > _FRESH_SECONDS and self._may_fetch():
            self._start()
        if self._keys is None:
            raise KeysUnavailable(retry_after=5)
        return key

    async def refresh(self) -> None:
        """Fetch the keys, or await the fetch that is running. If it fails, the old keys stay."""
        await asyncio.shield(self._start())

    def _find(self, kid: str | None, algorithm: str) -> Key | None:
        fitting = [key for key in self._keys or () if algorithm in key.algorithms and kid in {None, key.kid}]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None

    def _may_fetch(self) -> bool:
        if self._fetch is not None:
            return True
        if self._keys is None:
            return not self._attempts or self._now() - self._attempts[-1] >= _PAUSE_SECONDS
        return len(self._attempts) < _FETCHES or self._now() - self._attempts[0] >= _PERIOD_SECONDS

    def _start(self) -> asyncio.Task[None]:
        if self._fetch is None:
            self._attempts.append(self._now())
            self._fetch = asyncio.create_task(self._refresh())
        return self._fetch

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                self._keys = await self._fetched()
            self._fetched_at = self._now()
        except Exception as error:  # noqa: BLE001 (no failure of an issuer removes its cached keys)
            self.obstacle = str(error) if isinstance(error, OtherIssuer) else type(error).__name__
            logger.warning("the keys of %s cannot be fetched: %s", self.issuer, self.obstacle)
        finally:
            self._fetch = None

    async def _fetched(self) -> tuple[Key, ...]:
        async with _client() as client:
            document = await _get(client, self._url or await self._discovered(client))
        keys = document.get("keys")
        if not isinstance(keys, list):
            raise ValueError  # noqa: TRY004 (it is no mistake of ours)
        return tuple(key for entry in keys[:_MAX_KEYS] if (key := _key_of(entry)) is not None)

    async def _discovered(self, client: httpx2.AsyncClient) -> str:
        url = (await _discovery_document(client, self.issuer)).get("jwks_uri")
        if not isinstance(url, str) or not url.startswith(_scheme(self.issuer)):
            raise ValueError
        return url


async def check_name(issuer: str) -> None:
    """Check that an issuer's name is that in its discovery document.

    Raises:
        OtherIssuer: it is another.
        Exception: the document is missing or cannot be fetched.
    """
    async with asyncio.timeout(_TIMEOUT_SECONDS), _client() as client:
        await _discovery_document(client, issuer)


def _client() -> httpx2.AsyncClient:
    """Without redirects and proxies of the environment: keys come only from the configured host."""
    return httpx2.AsyncClient(follow_redirects=False, trust_env=False, timeout=_TIMEOUT_SECONDS)


async def _discovery_document(client: httpx2.AsyncClient, issuer: str) -> dict[str, Any]:
    """The issuer's metadata (OpenID Connect Discovery 1.0, 4)."""
    document = await _get(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if document.get("issuer") != issuer:
        raise OtherIssuer(issuer, document.get("issuer"))
    return document


def _scheme(url: str) -> str:
    return "http" if url.startswith("http://") else "https://"


async def _get(client: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    # Not compressed: a small response could unpack to a large one.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code != 200:
            raise ValueError
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > _MAX_BYTES:
                raise ValueError
    document = strict_json.loads(bytes(body))
    if not isinstance(document, dict):
        raise ValueError  # noqa: TRY004 (it is no mistake of ours)
    return document


def _key_of(entry: object) -> Key | None:
    """The key of an entry, or None if it cannot verify a supported signature."""
    if not isinstance(entry, Mapping):
        return None
    kid, use, operations = entry.get("kid"), entry.get("use"), entry.get("key_ops")
    if not isinstance(kid, str | None) or use not in {None, "sig"}:
        return None
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    made = _public_key(entry)
    if made is None:
        return None
    public, algorithms = made
    if (declared := entry.get("alg")) is not None:
        if not isinstance(declared, str) or declared not in algorithms:
            return None
        # RFC 9864 renames EdDSA with this curve; issuers use either name.
        algorithms = algorithms if "EdDSA" in algorithms else frozenset({declared})
    return Key(kid, algorithms, public)


def _public_key(entry: Mapping[str, Any]) -> tuple[PublicKey, frozenset[str]] | None:
    try:
        match entry.get("kty"):
            case "RSA":
                key = RSAAlgorithm.from_jwk(dict(entry))
                if isinstance(key, RSAPublicKey) and key.key_size >= _RSA_MIN_BITS:
                    return key, _RSA_ALGORITHMS
            case "EC":
                curve = ECAlgorithm.from_jwk(dict(entry))
                if isinstance(curve, EllipticCurvePublicKey) and curve.curve.name in _ALGORITHM_OF_CURVE:
                    return curve, frozenset({_ALGORITHM_OF_CURVE[curve.curve.name]})
            case "OKP":
                point = OKPAlgorithm.from_jwk(dict(entry))
                if isinstance(point, Ed25519PublicKey):
                    return point, frozenset({"EdDSA", "Ed25519"})
    except (PyJWTError, ValueError, TypeError, KeyError):
        pass
    return None
