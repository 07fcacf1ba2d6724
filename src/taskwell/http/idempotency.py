"""Idempotency of writes: the `Idempotency-Key` header.

The key is reserved in the transaction of the effect. A repeated request finds both the effect and its stored
response, or neither, so a request that failed half-way leaves nothing to clean up.
"""

import asyncio
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from fastapi import Request, Response

from taskwell.auth.authorization import Caller
from taskwell.core.errors import (
    Conflict,
    Invalid,
    NotFound,
    PreconditionFailed,
    TaskwellError,
    Violation,
)
from taskwell.core.principal import ALL_USERS, as_user
from taskwell.database.database import Transaction
from taskwell.http.app_state import app_state
from taskwell.http.problems import inner_path, response_of
from taskwell.http.request_state import caller_of
from taskwell.services import idempotency, users
from taskwell.services.idempotency import InProgress, StoredResponse
from taskwell.services.operations import Operation, Operations

T = TypeVar("T")

# For the OpenAPI document.
KEY_SCHEMA: dict[str, Any] = {"maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` on the response to a repeated request.",
        "schema": {"type": "string"},
    }
}
DRY_RUN_HEADER = {
    "Dry-Run": {
        "description": "`true` on the response to a dry run, which has neither `ETag` nor `Location`.",
        "schema": {"type": "string"},
    }
}
_CONDITIONS = ("if-match", "if-none-match")
_RETRY_PAUSES_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_MAX_ANSWER_BYTES = 1_048_576
_STORED_HEADERS = ("content-type", "etag", "location", "link", "preference-applied", "completion")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


class IdempotentWrites:
    """Executes the operations of a request that writes, at most once per key, or without effect.

    `dry_run`: without effect. It excludes a key, whose response would have to be stored.
    """

    def __init__(
        self,
        request: Request,
        operations: Operations,
        owner: str,
        key: str | None,
        *,
        dry_run: bool = False,
    ) -> None:
        self.request = request
        self.operations = operations
        self.owner = owner
        self.key = key
        self.dry_run = dry_run

    async def __call__(self, operation: Operation[T], respond: Callable[[T], Response]) -> Response:
        """Execute the operation, or return the stored response. `respond`: makes a response of a result.

        Raises:
            KeyReused: the key belongs to another request.
            InProgress: the same request is still running.
        """
        if self.dry_run:
            return _dry(respond(await self.operations.dry_run(operation)))
        if self.key is None:
            response = respond(await self.operations.execute(operation))
        else:
            response = await self._execute_keyed(self.key, operation, respond)
        await self._written()
        return response

    async def _written(self) -> None:
        app_state(self.request.scope).feed.wake(self.owner)
        caller = caller_of(self.request.scope)
        if caller.email is not None:
            await self._note_email(caller, caller.email)

    async def _note_email(self, caller: Caller, email: str) -> None:
        """Store the caller's email with the user. An error does not fail the write."""
        noted = app_state(self.request.scope).noted_emails
        if noted.get(caller.user_id) == email:
            return
        noted[caller.user_id] = email
        with suppress(TaskwellError), as_user(ALL_USERS):
            await self.operations.database.write(users.set_email, caller.user_id, email)

    async def _execute_keyed(
        self, key: str, operation: Operation[T], respond: Callable[[T], Response]
    ) -> Response:
        fingerprint, conditions = await self._fingerprint(), self._conditions()
        for pause in (*_RETRY_PAUSES_SECONDS, None):
            keyed = _Keyed(self, key, fingerprint, conditions, operation, respond)
            try:
                return await self._execute_once(keyed)
            except InProgress:
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    async def _execute_once(self, keyed: "_Keyed[T]") -> Response:
        try:
            return await self.operations.execute(keyed)
        except (NotFound, Conflict, PreconditionFailed):
            if keyed.failure is None:
                raise
            # The failure was rolled back, and its key with it: store the failure in a transaction of its own.
            return await self.operations.execute(keyed)

    async def _fingerprint(self) -> bytes:
        request = self.request
        return _digest(
            request.method.encode(),
            # Without the root path: a client may repeat the request through another proxy.
            inner_path(request.scope).rstrip("/").encode(),
            request.scope["query_string"],
            self.owner.encode(),
            b"" if request.method == "DELETE" else await request.body(),
        )

    def _conditions(self) -> bytes:
        """A digest of the request's conditions; empty if it has none."""
        values = [", ".join(self.request.headers.getlist(name)).encode() for name in _CONDITIONS]
        return _digest(*values) if any(values) else b""


class _Keyed(Operation[Response], Generic[T]):
    """An operation in the transaction of its key. `failure`: the error of the operation, to be stored."""

    def __init__(
        self,
        writes: IdempotentWrites,
        key: str,
        fingerprint: bytes,
        conditions: bytes,
        operation: Operation[T],
        respond: Callable[[T], Response],
    ) -> None:
        self.user_id = writes.owner
        self.failure: TaskwellError | None = None
        self._scope = writes.request.scope
        self._key = key
        self._fingerprint = fingerprint
        self._conditions = conditions
        self._operation = operation
        self._respond = respond

    async def run(self, transaction: Transaction) -> Response:
        stored = await idempotency.reserve(transaction, self.user_id, self._key, self._fingerprint)
        if stored is not None:
            response = _unpack(stored.answer)
            # A failure under other conditions had no effect: the operation runs under the new ones.
            if response.status_code < 400 or stored.conditions == self._conditions:
                return response
        response = await self._outcome(transaction)
        stored = StoredResponse(_pack(response), b"" if response.status_code < 400 else self._conditions)
        await idempotency.store(transaction, self.user_id, self._key, self._fingerprint, stored)
        return response

    async def _outcome(self, transaction: Transaction) -> Response:
        if self.failure is not None:
            return response_of(self._scope, self.failure)
        try:
            return self._respond(await self._operation.run(transaction))
        except (NotFound, Conflict, PreconditionFailed) as error:
            self.failure = error
            raise


def _dry(response: Response) -> Response:
    """Without the headers that name what does not exist."""
    for name in ("ETag", "Location", "Completion"):
        del response.headers[name]
    response.headers["Dry-Run"] = "true"
    return response


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.digest()


def parse_key(values: list[str]) -> str:
    """The key, without the quotes of a structured field (RFC 9651) if it has them."""
    text = values[0].strip() if len(values) == 1 else ""
    if quoted := _QUOTED.fullmatch(text):
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    if not _PRINTABLE.fullmatch(text):
        detail = "must be one text of 1 to 255 printable ASCII characters"
        raise Invalid(Violation("header", "Idempotency-Key", "malformed", detail))
    return text


def _pack(response: Response) -> bytes:
    """Compress status, headers and body.

    Raises:
        Invalid: the response is too large to be stored.
    """
    headers = {name: response.headers[name] for name in _STORED_HEADERS if name in response.headers}
    head = json.dumps([response.status_code, headers]).encode()
    answer = zlib.compress(head + b"\n" + bytes(response.body), level=1)
    if len(answer) > _MAX_ANSWER_BYTES:
        detail = "the response is too large to store for an Idempotency-Key; split the request"
        raise Invalid(Violation("header", "Idempotency-Key", "too_large", detail))
    return answer


def _unpack(answer: bytes) -> Response:
    head, _, body = zlib.decompress(answer).partition(b"\n")
    status, headers = json.loads(head)
    return Response(body, status, {**headers, "Idempotent-Replayed": "true"})
