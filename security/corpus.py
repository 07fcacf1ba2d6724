"""Tokens that must not be believed. Each differs from a good one in one thing: an acceptance has a name."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from itertools import permutations
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness.issuer import AUDIENCE, SECRET, Issuer, SigningKey, part, sign

USER = "alice"
_DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def hostile_tokens(issuer: Issuer) -> Iterator[tuple[str, str]]:
    """Each with what is wrong with it. The issuer has a key of each algorithm, and shares SECRET."""
    yield from _unsigned(issuer)
    yield from _public_as_secret(issuer)
    yield from _confused(issuer)
    yield from _by_secrets(issuer)
    yield from _headers(issuer)
    yield from _signatures(issuer)
    yield from _claims(issuer)
    yield from _payloads(issuer)
    yield from _encodings(issuer)


def _unsigned(issuer: Issuer) -> Iterator[tuple[str, str]]:
    claims = part(issuer.claims(USER))
    for name in ("none", "None", "NONE", "nOnE", "", "null", "HS1", "none "):
        yield f"alg {name!r}, no signature", f"{part({'alg': name, 'typ': 'JWT'})}.{claims}."
        yield f"alg {name!r}, any signature", f"{part({'alg': name, 'typ': 'JWT'})}.{claims}.{part(b'x')}"
    for value in (None, 0, True, [], ["EdDSA"], {"EdDSA": 1}):
        token = f"{part({'alg': value, 'kid': issuer.keys[0].kid})}.{claims}.{part(b'x' * 64)}"
        yield f"alg of another type: {value!r}", token
    yield "no alg", f"{part({'typ': 'JWT'})}.{claims}.{part(b'x' * 64)}"


def _public_as_secret(issuer: Issuer) -> Iterator[tuple[str, str]]:
    """The public key, which everybody has, taken for a shared secret."""
    claims = issuer.claims(USER)
    for key in issuer.keys:
        public = key.private.public_key()
        for form in (
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            json.dumps(key.jwk()).encode(),
        ):
            for name in _DIGESTS:
                header = {"alg": name, "kid": key.kid}
                yield f"{name} by the public key {key.kid}", _hmac(header, claims, form, name)


def _confused(issuer: Issuer) -> Iterator[tuple[str, str]]:
    """A key used with what it is not for, though it could be; or under another's name."""
    claims = issuer.claims(USER)
    for key, other in permutations(issuer.keys, 2):
        named = {"alg": key.algorithm, "kid": other.kid}
        yield f"signed by {key.kid}, says {other.kid}", sign(named, claims, key.private, key.algorithm)
        name = other.algorithm
        if type(key.private) is type(other.private) and not name.startswith("Ed"):  # EdDSA has two names
            for kid in (key.kid, None):
                yield f"{name} by {key.kid}, says {kid}", sign(_named(name, kid), claims, key.private, name)


def _named(algorithm: str, kid: str | None) -> dict[str, str]:
    return {"alg": algorithm, **({"kid": kid} if kid else {})}


def _by_secrets(issuer: Issuer) -> Iterator[tuple[str, str]]:
    claims = issuer.claims(USER)
    yield "HS512 by a secret too short for it", _hmac({"alg": "HS512"}, claims, SECRET.encode(), "HS512")
    for name in _DIGESTS:
        yield f"{name} by no secret", _hmac({"alg": name}, claims, b"\0", name)
        for guess in ("", "secret", "your-256-bit-secret", SECRET.upper(), f"{SECRET}\n", SECRET[:-1]):
            yield f"{name} by a guess", _hmac({"alg": name}, claims, guess.encode(), name)
    for name, other in permutations(_DIGESTS, 2):
        yield f"{other} that says {name}", _hmac({"alg": name}, claims, SECRET.encode(), other)


def _hmac(header: dict[str, Any], claims: dict[str, Any], secret: bytes, algorithm: str) -> str:
    """By hand: the library refuses to sign with a public key."""
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), _DIGESTS[algorithm]))}"


def _headers(issuer: Issuer) -> Iterator[tuple[str, str]]:
    key, claims = issuer.keys[0], issuer.claims(USER)
    other = SigningKey.new("theirs", "EdDSA")
    good = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}
    theirs = {
        "jwk": other.jwk(),
        "jku": "http://127.0.0.1:9/jwks",
        "x5u": "http://127.0.0.1:9/cert",
        "x5c": [part(b"certificate")],
    }
    for name, value in theirs.items():
        for named in (key.kid, "theirs", None):
            header = {"alg": "EdDSA", name: value, **({"kid": named} if named else {})}
            yield f"{name} injected, kid {named}", sign(header, claims, other.private, "EdDSA")
    kids: tuple[Any, ...] = (
        "", "../../../../dev/null", "/dev/null", "' OR 1=1 --", "key-EdDSA\0", "key-EdDSA ", "KEY-EDDSA", "*",
        "a" * 256, "http://127.0.0.1:9/", "\u202ekey", 1, 1.5, True, [], ["key-EdDSA"], {"a": 1},
    )  # fmt: skip
    for kid in kids:
        yield f"kid {str(kid)[:30]!r}", sign({**good, "kid": kid}, claims, other.private, "EdDSA")
        if kid != "":
            yield (
                f"kid {str(kid)[:30]!r}, right key",
                sign({**good, "kid": kid}, claims, key.private, "EdDSA"),
            )
    changes: tuple[dict[str, Any], ...] = (
        {"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": False}, {"typ": "JWE"},
        {"typ": "dpop+jwt"}, {"typ": "logout+jwt"}, {"typ": 1}, {"typ": None}, {"typ": ["JWT"]},
    )  # fmt: skip
    for changed in changes:
        yield f"header {changed}", sign({**good, **changed}, claims, key.private, "EdDSA")
    yield "no kid, where several keys would do", sign({"alg": "EdDSA"}, claims, other.private, "EdDSA")


def _signatures(issuer: Issuer) -> Iterator[tuple[str, str]]:
    for key in issuer.keys:
        good = issuer.token(USER, key=key)
        head, payload, signature = good.split(".")
        bits = bytearray(base64.urlsafe_b64decode(signature + "=="))
        bits[len(bits) // 2] ^= 1
        yield f"{key.kid}: one bit of the signature", f"{head}.{payload}.{part(bytes(bits))}"
        yield f"{key.kid}: half of the signature", f"{head}.{payload}.{signature[: len(signature) // 2]}"
        yield f"{key.kid}: zeros", f"{head}.{payload}.{part(bytes(len(bits)))}"
        yield f"{key.kid}: no signature", f"{head}.{payload}."
        yield f"{key.kid}: signature of another", f"{head}.{part(issuer.claims('bob'))}.{signature}"
        stranger = SigningKey(
            key.kid, key.algorithm, SigningKey.new(f"stranger-{key.algorithm}", key.algorithm).private
        )
        yield f"{key.kid}: a stranger's key", issuer.token(USER, key=stranger)


def _claims(issuer: Issuer) -> Iterator[tuple[str, str]]:
    now = int(time.time())
    absurd: tuple[Any, ...] = (
        "now", "", str(now + 600), True, [], [now + 600], {}, -1, -1e300, 1e300, 10**400, 2**63, 2**41,
    )  # fmt: skip
    wrong: dict[str, tuple[Any, ...]] = {
        "exp": (None, now - 31, now - 86_400, 0, 0.5, *absurd),
        "nbf": (now + 60, now + 86_400, *absurd),
        "iat": (now + 60, now + 86_400, *absurd),
        "iss": (
            None, "", f"{issuer.url}/", issuer.url.upper(), issuer.url[:-1], f"{issuer.url}.evil.example",
            "https://evil.example", [issuer.url], 1, True, {},
        ),
        "aud": (
            None, "", f"{AUDIENCE}/", AUDIENCE[:-1], AUDIENCE.upper(), [], ["https://other.example"],
            [[AUDIENCE]], {AUDIENCE: 1}, 1, True, [AUDIENCE, 1], ["x"] * 200 + [AUDIENCE],
        ),
        "sub": (
            None, "", 1, 1.5, True, [], ["alice"], {"alice": 1}, "a" * 256, "a\0b", "\ud800", "\u202ealice",
            "alice\n", "\x7f", "a\u200bb", "\ufeff",
        ),
    }  # fmt: skip
    for name, values in wrong.items():
        for value in values:
            yield f"{name} {str(value)[:40]!r}", issuer.token(USER, **{name: value})
            if name not in {"iss", "aud"}:
                claims = issuer.claims(USER, **{name: value})
                yield (
                    f"{name} {str(value)[:40]!r}, HS256",
                    sign({"alg": "HS256"}, claims, SECRET.encode(), "HS256"),
                )


def _payloads(issuer: Issuer) -> Iterator[tuple[str, str]]:
    key = issuer.keys[0]
    header = {"alg": key.algorithm, "kid": key.kid}
    good = json.dumps(issuer.claims(USER)).encode()
    for name, payload in {
        "no JSON": b"alice",
        "nothing": b"",
        "null": b"null",
        "an array": b"[" + good + b"]",
        "a string": b'"alice"',
        "a number": b"1",
        "a member twice": good[:-1] + b', "sub": "bob"}',
        "exp twice": good[:-1] + b', "exp": 99999999999}',
        "NaN": good.replace(b'"alice"', b'"alice", "nbf": NaN'),
        "Infinity": good.replace(b'"alice"', b'"alice", "nbf": Infinity'),
        "UTF-16": good.decode().encode("utf-16"),
        "a BOM": b"\xef\xbb\xbf" + good,
        "Latin-1": good.replace(b"alice", b"\xe4lice"),
        "half a surrogate": good.replace(b"alice", b"\\ud800"),
        "NUL": good.replace(b"alice", b"alice\\u0000"),
        "deep": good[:-1] + b', "x": ' + b"[" * 500 + b"]" * 500 + b"}",
        "large": good[:-1] + b', "x": "' + b"a" * 7_000 + b'"}',
    }.items():
        yield f"payload: {name}", sign(header, payload, key.private, "EdDSA")


def _encodings(issuer: Issuer) -> Iterator[tuple[str, str]]:
    good = issuer.token(USER)
    head, payload, signature = good.split(".")
    yield from {
        "two parts": f"{head}.{payload}",
        "four parts": f"{good}.{signature}",
        "five parts, as of an encrypted one": f"{good}.x.y",
        "padding": f"{head}=.{payload}.{signature}",
        "white space within": f"{head}. {payload}.{signature}",
        "standard base64": f"{head}.{payload}.{signature[:-2]}+/",
        "other characters": f"{head}.{payload}.{signature[:-1]}$",
        "a header that is no JSON": f"{part(b'EdDSA')}.{payload}.{signature}",
        "an empty header": f".{payload}.{signature}",
        "an empty payload": f"{head}..{signature}",
        "only dots": "..",
        "one dot": ".",
        "a word": "token",
        "quotes": f'"{good}"',
        "9 KB": "a" * 9_000,
        "9 KB in three parts": f"{'a' * 3_000}.{'a' * 3_000}.{'a' * 3_000}",
        "a token in JSON": json.dumps({"payload": payload, "signature": signature}).replace(" ", ""),
        "an API token's beginning": "tw_",
        "an API token that was never given": "tw_" + "A" * 49,
        "an API token with a JWT behind it": f"tw_{good}",
    }.items()
