"""Authentication: finds the caller of a request before it is routed."""

import hashlib
import math
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from taskwell.auth.authorization import ALL, OF_A_USER, OF_PROGRAMS, Caller
from taskwell.auth.jwt import Claims, Verifier
from taskwell.core.bounded_cache import BoundedCache
from taskwell.core.errors import Invalid, TaskwellError, Unauthorized, Violation
from taskwell.core.principal import ALL_USERS, Actor, as_principal, as_user, is_client_name
from taskwell.database.database import Database
from taskwell.http.app_state import app_state
from taskwell.http.headers import lines
from taskwell.http.prefixes import Prefixes
from taskwell.http.problems import response_of
from taskwell.http.request_state import request_state
from taskwell.schemas.types import Email, is_reserved, user_id_of
from taskwell.services import tokens, users

STUB_CALLER = Caller("default", ALL, any_user=True)
AGENT = "Taskwell-Agent"  # the name of a program, which nothing proves
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


class Authentication:
    """Sets the caller on prefixes that need one. Without a verifier every request has the stub caller.

    Cookies are never read: a foreign page can have a browser send them, but no token.
    """

    def __init__(self, app: ASGIApp, prefixes: Prefixes, verifier: Verifier | None) -> None:
        self.app = app
        self.prefixes = prefixes
        self.verifier = verifier
        self._noted: BoundedCache[UUID, float] = BoundedCache()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.prefixes.of(scope).authenticated:
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
        except TaskwellError as error:
            await response_of(scope, error)(scope, receive, send)
            return
        request_state(scope).caller = caller
        with as_principal(caller.principal):
            await self.app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        agent = _agent(lines(scope).get(b"taskwell-agent"))
        if self.verifier is None:
            return STUB_CALLER if agent is None else replace(STUB_CALLER, actor=Actor("api", agent))
        token = _bearer([value.decode("latin-1") for value in lines(scope).get(b"authorization", ())])
        if not token.startswith(tokens.PREFIX):
            claims = await self.verifier.verify(token)
            caller = _caller_of(claims, agent, known=await self._is_known(scope, claims.subject))
            digest = hashlib.sha256(token.encode()).digest()
            request_state(scope).add_check(partial(self.verifier.knows, digest))
            return caller
        request_state(scope).cacheable = False  # an API token can be revoked
        with as_user(ALL_USERS):
            return await self._owner(app_state(scope).database, token, agent)

    async def _is_known(self, scope: Scope, subject: str) -> bool:
        """Whether a user has the reserved id: one that is older than the reservation."""
        if not is_reserved(subject):
            return False
        with as_user(ALL_USERS):
            user = await app_state(scope).database.read(users.find_user, subject)
        return user is not None

    async def _owner(self, database: Database, secret: str, agent: str | None) -> Caller:
        well_formed = tokens.is_well_formed(secret)
        owner = await database.read(tokens.find_owner, secret) if well_formed else None
        if owner is None:
            raise tokens.TokenRefused
        if owner.use_is_due:
            await self._note_use(database, owner)
        expires_at = owner.expires_at.timestamp() if owner.expires_at else math.inf
        actor = Actor("api", agent, owner.token_id, owner.name)
        return Caller(owner.user_id, owner.scopes, expires_at=expires_at, actor=actor, rate=owner.rate)

    async def _note_use(self, database: Database, owner: tokens.Owner) -> None:
        """Note it once a minute. A failure is ignored: a read-only database can still serve reads."""
        now = time.monotonic()
        if now < self._noted.get(owner.token_id, 0.0):
            return
        self._noted[owner.token_id] = now + tokens.USE_IS_NOTED_EVERY.total_seconds()
        with suppress(TaskwellError):
            await database.write(tokens.note_use, owner.user_id, owner.token_id)


def _bearer(headers: list[str]) -> str:
    """The token of the Authorization header (RFC 6750, 2.1)."""
    if not headers:
        raise Unauthorized
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or not token.strip() or not token.isascii():
        raise Unauthorized("The Authorization header must be one: Bearer, a space and the token.")
    return token.strip()


def _agent(values: list[bytes] | None) -> str | None:
    """The program that a request names. Raises Invalid."""
    if values is None:
        return None
    text = values[0].decode("latin-1").strip(" \t")
    if len(values) > 1 or not is_client_name(text):
        detail = "must be one name of 1 to 100 printable ASCII characters"
        raise Invalid(Violation("header", AGENT, "malformed", detail))
    return text


def _caller_of(claims: Claims, agent: str | None, *, known: bool) -> Caller:
    """The user of a JWT. It has all scopes of a user, unless the token names scopes of this server."""
    try:
        user_id = claims.subject if known else user_id_of(claims.subject)
    except ValueError as error:
        raise Unauthorized(f"The claim that names the token's user {error}.") from None
    named = claims.scopes & OF_PROGRAMS
    actor = Actor("api", claims.client or agent)
    return Caller(
        user_id, named or OF_A_USER, _email(claims.email), expires_at=claims.expires_at, actor=actor
    )


def _email(text: str | None) -> str | None:
    try:
        return None if text is None else _EMAIL.validate_python(text)
    except ValidationError:
        return None
