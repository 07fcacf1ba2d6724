"""The kinds of failure that the product speaks of. They know no protocol: each room has its own table.

TaskwellError
├── Invalid               the request cannot be understood or breaks a rule
├── Unauthorized          nobody knows who is asking
├── Forbidden             who is asking may not
├── RateLimited           who is asking has asked too often
├── NotFound              missing, or somebody else's: nobody can tell which
├── Conflict              it is taken, or busy with the same request
├── PreconditionFailed    the task or the list is not as the client believes
├── PreconditionRequired  the client has to say what it believes
├── Gone                  a cursor that cannot be followed any more
├── KeyReused             an idempotency key that belongs to another request
├── Unavailable           the same request may succeed later
│   ├── Busy              … once others are done
│   ├── InUse             … once others have ended
│   ├── Overloaded        … once there is less to do
│   ├── FileMoved         … once its file is back
│   └── OutcomeUnknown    … and may have succeeded already
└── StorageFull           an operator has to act first
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request. No part of it repeats what the client sent.

    `source` says where: "body", "query", "path" or "header". `name` is a JSON pointer into the body
    ("" is the whole of it) or the name of the parameter.
    """

    source: str
    name: str
    code: str
    detail: str

    def sentence(self) -> str:
        subject = self.name.lstrip("/").replace("/", ".") or self.source
        return f"{subject}: {self.detail}"


class TaskwellError(Exception):
    """A failure with a sentence that may be shown to anybody.

    `index`: which operation of several it was. `retry_after`: after how many seconds to try again.
    """

    detail = "The request failed."
    index: int | None = None
    retry_after: int | None = None

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail


class Invalid(TaskwellError):
    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(violation.sentence() for violation in violations))
        self.violations = violations


class Unauthorized(TaskwellError):
    """`refused`: credentials were sent, and they will not do."""

    detail = "This needs a bearer token in the Authorization header."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        self.refused = detail is not None


class Forbidden(TaskwellError):
    """`scope`: what the credentials lack, if that is why."""

    detail = "These credentials are for somebody else's data, or for less."

    def __init__(self, detail: str | None = None, *, scope: str | None = None) -> None:
        super().__init__(f"This needs the scope {scope}." if scope else detail)
        self.scope = scope


class RateLimited(TaskwellError):
    detail = "Too many requests. Try again later."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class NotFound(TaskwellError):
    detail = "There is nothing here."


class Conflict(TaskwellError):
    detail = "It exists already."


class PreconditionFailed(TaskwellError):
    """`tag` names what is there: the version of a task, or the tag of a list."""

    detail = "The task is not as the request believes it to be: read it again."

    def __init__(self, tag: int | str) -> None:
        super().__init__()
        self.tag = tag


class PreconditionRequired(TaskwellError):
    detail = "This server changes a task only with If-Match: send the ETag of the task as you know it."


class Gone(TaskwellError):
    """`parameter`: in which the cursor was sent."""

    def __init__(self, parameter: str = "since") -> None:
        super().__init__(
            f"This cursor cannot be followed any more: fetch everything anew, without `{parameter}`."
        )


class KeyReused(TaskwellError):
    detail = "The Idempotency-Key was used for another request."


class Unavailable(TaskwellError):
    """`reason`: in a word, to be counted by."""

    detail = "The database cannot be reached at the moment; nothing was changed. Try again."
    reason = "away"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1, reason: str | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.reason = reason or self.reason


class Busy(Unavailable):
    detail = "The database is busy; nothing was changed. Try again."
    reason = "busy"


class Held(Busy):
    """Somebody else holds what is wanted just now: nothing was changed, and nobody has waited for it."""


class InUse(Unavailable):
    """A command needs the database for itself."""

    detail = "The database is in use; nothing was changed. Stop the server first."
    reason = "in_use"


class Overloaded(Unavailable):
    detail = "The server has more to do than it can; nothing was changed. Try again."


class FileMoved(Unavailable):
    detail = (
        "The database's file was removed or replaced while the server was running. Its operator has to put "
        "it back, or to start the server again."
    )


class OutcomeUnknown(Unavailable):
    detail = (
        "The connection to the database was lost while the change was being saved. It may have "
        "been saved or not: read before you repeat it."
    )
    reason = "outcome_unknown"


class StorageFull(TaskwellError):
    detail = "The server's storage is full; nothing was changed. Its operator has to make room."
    reason = "full"
