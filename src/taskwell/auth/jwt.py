"""Verification of JSON Web Tokens (RFC 7519, RFC 8725).

The library checks signatures. This module checks claims and sizes: a general library accepts features that
this server never needs.
"""

import base64
import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

from taskwell.auth.jwks import KeySet
from taskwell.core import strict_json
from taskwell.core.bounded_cache import BoundedCache
from taskwell.core.errors import Unauthorized
from taskwell.core.principal import is_client_name
from taskwell.core.settings import Settings

logger = logging.getLogger("taskwell")

_ALGORITHMS: dict[str, Algorithm] = {
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
# RFC 7518, 3.2: a secret must be at least as long as the digest.
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_TYPES = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"}  # RFC 9068, 2.1
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_MAX_LENGTH = 8_192
_MAX_KID_LENGTH = 255
_MAX_AUDIENCES = 100
_LEEWAY_SECONDS = 30
_LATEST = 2**40  # a later date is an error
_REMEMBERED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a valid token. `subject`: of the claim that the settings choose to name the user.

    `client`: the program that it was issued to (RFC 9068, 2.2; OpenID Connect Core, 2).
    """

    subject: str
    email: str | None
    scopes: frozenset[str]
    expires_at: float
    client: str | None = None


class Verifier:
    """Verifies tokens of the issuers in the settings."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        secret = settings.jwt_secret
        self._secret = secret.get_secret_value().encode() if secret else b""
        self._issuers = frozenset(settings.jwt_issuer)
        self._audiences = frozenset(settings.jwt_audience)
        self._audience_claim = settings.jwt_audience_claim
        self._user_claim = settings.jwt_user_claim
        self._now = now
        urls = settings.jwt_jwks_url or (None,) * len(settings.jwt_issuer)
        has_keys = bool(settings.jwt_jwks_url) or not self._secret
        pairs = zip(settings.jwt_issuer, urls, strict=True) if has_keys else ()
        self.key_sets = {issuer: KeySet(issuer, url) for issuer, url in pairs}
        self._hinted: set[str] = set()
        # Verifying a signature costs more than the rest of a request.
        self._remembered: BoundedCache[bytes, tuple[Claims, float]] = BoundedCache()

    async def verify(self, token: str) -> Claims:
        """The claims of a token.

        Raises:
            Unauthorized: the token is not valid.
            KeysUnavailable: the keys of the issuer cannot be fetched.
        """
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._recall(digest)
        if claims is not None:
            return claims
        payload = await self._signed_payload(token)
        expires_at = self._check_times(payload)
        self._check_addressees(payload)
        claims = self._claims(payload, expires_at)
        until = min(expires_at + _LEEWAY_SECONDS, self._now() + _REMEMBERED_SECONDS)
        self._remembered[digest] = (claims, until)
        return claims

    def knows(self, digest: bytes) -> bool:
        """Whether a token was verified a short time ago. `digest`: SHA-256 of the token."""
        return self._recall(digest) is not None

    def _recall(self, digest: bytes) -> Claims | None:
        claims, until = self._remembered.get(digest, (None, 0.0))
        return claims if self._now() < until else None

    async def _signed_payload(self, token: str) -> Mapping[str, Any]:
        found = _COMPACT.fullmatch(token) if len(token) <= _MAX_LENGTH else None
        if found is None:
            raise Unauthorized("The token is none that this server knows.")
        header, payload = _object(found[1]), _object(found[2])
        algorithm, kid = _checked(header)
        key = await self._key(algorithm, kid, payload)
        signed = token[: found.end(2)].encode()
        if key is None or not _ALGORITHMS[algorithm].verify(signed, key, _decoded(found[3])):
            raise Unauthorized("The token is not signed by an issuer that this server trusts.")
        return payload

    async def _key(self, algorithm: str, kid: str | None, payload: Mapping[str, Any]) -> Any:
        """The key for the algorithm: never one of another kind, so the token cannot choose."""
        if algorithm in _SECRET_BYTES:
            return self._secret_for(algorithm)
        issuer = payload.get("iss")
        keys = self.key_sets.get(issuer) if isinstance(issuer, str) else None
        if keys is None:
            self._hint_at_slash(issuer)
        key = await keys.find(kid, algorithm) if keys else None
        return key.public if key else None

    def _secret_for(self, algorithm: str) -> bytes | None:
        if len(self._secret) >= _SECRET_BYTES[algorithm]:
            return self._secret
        if self._secret:
            self._hint(f"{algorithm} needs a TASKWELL_JWT_SECRET of {_SECRET_BYTES[algorithm]} bytes")
        return None

    def _hint(self, hint: str) -> None:
        """Log once why tokens are refused that the operator may want to accept, without any part of them."""
        if hint not in self._hinted:
            self._hinted.add(hint)
            logger.warning("a token was refused: %s", hint)

    def _hint_at_slash(self, issuer: object) -> None:
        if not isinstance(issuer, str) or issuer in self._issuers:
            return
        if issuer.rstrip("/") in {name.rstrip("/") for name in self._issuers}:
            self._hint("its iss and TASKWELL_JWT_ISSUER differ by a slash at the end; they must be the same")

    def _check_times(self, payload: Mapping[str, Any]) -> float:
        now = self._now()
        expires_at = _instant(payload, "exp")
        if expires_at is None:
            raise Unauthorized("The token does not say when it expires.")
        if expires_at + _LEEWAY_SECONDS <= now:
            raise Unauthorized("The token has expired.")
        for name in ("nbf", "iat"):
            if (_instant(payload, name) or 0) - _LEEWAY_SECONDS > now:
                raise Unauthorized("The token is not valid yet.")
        return expires_at

    def _check_addressees(self, payload: Mapping[str, Any]) -> None:
        issuer = payload.get("iss")
        if self._issuers and not (isinstance(issuer, str) and issuer in self._issuers):
            self._hint_at_slash(issuer)
            self._hint("its iss is none that TASKWELL_JWT_ISSUER names")
            raise Unauthorized("The token is of an issuer that this server does not trust.")
        # RFC 7519, 4.1.3: an aud that is present must match, even if another claim names the client.
        named = payload["aud"] if "aud" in payload else payload.get(self._audience_claim)
        audiences = named if isinstance(named, list) else [named]
        if len(audiences) > _MAX_AUDIENCES or not all(isinstance(name, str | None) for name in audiences):
            raise Unauthorized("The token is not well-formed.")
        if self._audiences and named is None:
            self._hint_at_audience_claim(payload)
            raise Unauthorized(f"The token names no audience ({self._audience_claim}).")
        if self._audiences and not self._audiences.intersection(audiences):
            self._hint("its aud is none that TASKWELL_JWT_AUDIENCE names")
            raise Unauthorized("The token is meant for another server.")

    def _hint_at_audience_claim(self, payload: Mapping[str, Any]) -> None:
        for name in {"client_id", "azp"} - {self._audience_claim}:
            if name in payload and "aud" not in payload:
                self._hint(f"it has no {self._audience_claim}, but {name}: see TASKWELL_JWT_AUDIENCE_CLAIM")

    def _claims(self, payload: Mapping[str, Any], expires_at: float) -> Claims:
        subject, scope = payload.get(self._user_claim), payload.get("scope")
        if payload.get("sub") is None or subject is None:
            raise Unauthorized("The token does not say who its user is.")
        if not isinstance(payload["sub"], str) or not isinstance(subject, str):
            raise Unauthorized("The claim that names the token's user must be text.")  # RFC 7519, 4.1.2
        email = payload.get("email")
        verified = payload.get("email_verified", True) is True
        return Claims(
            subject,
            email if isinstance(email, str) and verified else None,
            frozenset(scope.split()) if isinstance(scope, str) else frozenset(),
            expires_at,
            _client_name(payload.get("azp")) or _client_name(payload.get("client_id")),
        )


def _client_name(value: object) -> str | None:
    return value if isinstance(value, str) and is_client_name(value) else None


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise Unauthorized("The token is not well-formed.") from None


def _object(part: str) -> Mapping[str, Any]:
    try:
        value = strict_json.loads(_decoded(part))
    except strict_json.MalformedJson:
        value = None
    if not isinstance(value, dict):
        raise Unauthorized("The token is not well-formed.")
    return value


def _checked(header: Mapping[str, Any]) -> tuple[str, str | None]:
    """The algorithm and the key's name. Headers that point to keys (jku, jwk, x5u) are not read."""
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    known = isinstance(algorithm, str) and algorithm in _ALGORITHMS
    named = kid is None or (isinstance(kid, str) and 0 < len(kid) <= _MAX_KID_LENGTH)
    typed = isinstance(kind, str) and kind.lower() in _TYPES
    # `crit` names extensions that must be understood (RFC 7515, 4.1.11); none is supported.
    if not (known and named and typed) or "crit" in header or "b64" in header:
        raise Unauthorized("The token is of a kind that this server does not take.")
    return str(algorithm), kid


def _instant(payload: Mapping[str, Any], name: str) -> float | None:
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise Unauthorized("The token is not well-formed.")
    return float(value)
