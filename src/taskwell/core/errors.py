"""The error hierarchy. Errors know no protocol: each protocol package maps them in its own table.

TaskwellError
├── Invalid               the request is malformed or breaks a rule
├── NotCoalesced          the operation needs a transaction of its own; never reaches a client
├── Unauthorized          credentials are missing or invalid
├── Forbidden             the caller lacks permission
├── RateLimited           the caller has sent too many requests
├── NotFound              missing, or owned by another user: the answer is the same
├── Conflict              the id or address is taken, or the same request is running
│   └── Claimed               a claim holds the task
├── PreconditionFailed    the task or the list is not in the expected version
│   └── ClaimLost             … or the claim is over
├── PreconditionRequired  the request names no expected version
├── Gone                  the cursor has expired
│   └── VersionGone           … or the history has the version no longer
├── KeyReused             the idempotency key belongs to another request
├── Unavailable           the same request may succeed later
│   ├── Busy              … once a lock or a connection is free
│   ├── InUse             … once the other processes have ended
│   ├── Overloaded        … once the load is lower
│   ├── FileMoved         … once the database's file is back
│   └── OutcomeUnknown    … and may have succeeded already
└── StorageFull           an operator has to free space first
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a request breaks. No part of it repeats the client's input.

    `source` is "body", "query", "path" or "header". `name` is a JSON pointer into the body ("" is the
    whole body) or the name of the parameter.
    """

    source: str
    name: str
    code: str
    detail: str

    def sentence(self) -> str:
        subject = self.name.lstrip("/").replace("/", ".") or self.source
        return f"{subject}: {self.detail}"


class TaskwellError(Exception):
    """An error whose `detail` holds no secret and may be shown to any client.

    `index`: of the batch operation that failed. `retry_after`: in how many seconds to retry. `members`: what
    a program may want to know, as JSON has it.
    """

    detail = "The request failed."
    index: int | None = None
    members: Mapping[str, object] | None = None
    retry_after: int | None = None

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail


class Invalid(TaskwellError):
    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(violation.sentence() for violation in violations))
        self.violations = violations


class NotCoalesced(TaskwellError):
    """An operation that a statement for many could not execute: nothing was changed.

    It needs a transaction of its own. It never reaches a client.
    """


class Unauthorized(TaskwellError):
    """`refused`: credentials were sent and are invalid."""

    detail = "Authentication is required: send a bearer token in the Authorization header."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        self.refused = detail is not None


class Forbidden(TaskwellError):
    """`scope`: the scope that the credentials lack, if that is the reason."""

    detail = "These credentials do not permit this: use your own user id, or a token with more scopes."

    def __init__(self, detail: str | None = None, *, scope: str | None = None) -> None:
        super().__init__(f"This requires the scope {scope}: use a token that has it." if scope else detail)
        self.scope = scope


class RateLimited(TaskwellError):
    detail = "Too many requests. Try again later."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class NotFound(TaskwellError):
    detail = "Not found: check the path and the id."


class Conflict(TaskwellError):
    detail = "It exists already: choose another id."


class PreconditionFailed(TaskwellError):
    """`tag`: the current version of the task, or the current tag of the list."""

    detail = "The task is not in the state that the request expects: read it again."

    def __init__(self, tag: int | str) -> None:
        super().__init__()
        self.tag = tag


class Claimed(Conflict):
    """`claim`: the one that holds the task, as JSON has it."""

    detail = (
        "The task is claimed: wait until the claim ends, or take another task; renew your own by its number."
    )

    def __init__(self, claim: Mapping[str, object]) -> None:
        super().__init__()
        self.members = {"claim": claim}


class ClaimLost(PreconditionFailed):
    """`claim`: the one that holds the task now, as JSON has it, if there is one."""

    detail = "The claim is over: the task was completed, released, or claimed again."

    def __init__(self, version: int, claim: Mapping[str, object] | None) -> None:
        super().__init__(version)
        self.members = {"claim": claim}


class PreconditionRequired(TaskwellError):
    detail = "This server requires If-Match to change a task: send the ETag that you read."


class Gone(TaskwellError):
    """`parameter`: the one that held the cursor."""

    def __init__(self, parameter: str = "since") -> None:
        super().__init__(f"The cursor has expired: fetch everything again, without `{parameter}`.")


class VersionGone(Gone):
    def __init__(self) -> None:
        TaskwellError.__init__(self, "The history has no such version any more: it cannot be sent again.")


class KeyReused(TaskwellError):
    detail = "The Idempotency-Key was used for another request: send a new key."


class Unavailable(TaskwellError):
    """`reason`: the label by which the metrics count it."""

    detail = "The database cannot be reached; nothing was changed. Try again later."
    reason = "away"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1, reason: str | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.reason = reason or self.reason


class Busy(Unavailable):
    detail = "The database is busy; nothing was changed. Try again."
    reason = "busy"


class Held(Busy):
    """Another transaction holds the row's lock: nothing was changed, and the statement did not wait."""


class InUse(Unavailable):
    """A command needs exclusive use of the database."""

    detail = "The database is in use; nothing was changed. Stop the server first."
    reason = "in_use"


class Overloaded(Unavailable):
    detail = "The server is overloaded; nothing was changed. Try again later."


class FileMoved(Unavailable):
    detail = (
        "The database's file was removed or replaced while the server was running: the operator must put "
        "it back or restart the server."
    )


class OutcomeUnknown(Unavailable):
    detail = (
        "The connection to the database was lost while the change was being saved. It may have "
        "been saved or not: read before you repeat it."
    )
    reason = "outcome_unknown"


class StorageFull(TaskwellError):
    detail = "The server's storage is full; nothing was changed. The operator must free space."
    reason = "full"
