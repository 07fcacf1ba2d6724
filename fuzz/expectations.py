"""What Schemathesis takes for a failure and is none: the one place for it, each with its reason.

Schemathesis loads this module itself. It knows requests by their schema alone, and these are the rules that
a schema does not tell.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st

# A stream of events ends when the client goes: nothing that waits for an answer's end can ask for it.
ENDLESS = "/events$"
# The variable of the environment with the user who is signed in, if one is.
SIGNED_IN = "FUZZ_SIGNED_IN"

# A status that depends on what the server has, or on what it was sent before: not on the request's form.
BY_STATE = {
    409: "the id or the address is taken",
    410: "a cursor of a time that this database never had",
    412: "a made-up If-Match is that of another version",
    422: "a made-up Idempotency-Key was used before",
}

# A 400 for a rule beyond the schema: the code of the violation.
BEYOND_THE_SCHEMA = {
    "malformed_json": "JSON that two readers could take differently, such as a number that no double holds",
    "invalid_text": "control characters and halves of characters, wherever there is text",
    "blank": "a title of nothing that can be seen",
    "too_short": "a title of white space alone: the length counts without it",
    "reserved": "a user's id that would be taken for a path of the API",
    "invalid_instant": "an instant in a year or with a second that some client could not show",
    "invalid_cursor": "a cursor is the server's own text, and one of another list is none",
    "invalid_sort": "a sort key that comes twice",
    "invalid_date": "a day that its month does not have, or a year out of range",
    "unknown_time_zone": "a name that the tz database does not have",
    "start_after_due": "two dates, each of them right by itself",
    "no_such_list": "a made-up id of a list",
    "no_such_parent": "a made-up id of a task",
    "cycle": "a task as its own parent",
    "status_conflict": "`status` and `completed` that contradict each other",
    "invalid_position": "an order key that no library makes, or a neighbour that is not there",
    "invalid": "a rule of recurrence that contradicts itself or the dates, or a word that is no mode",
    "unsupported": "a part of a rule that would cost too much",
    "out_of_range": "a number in a rule, or an instant of completion that is in the future",
    "too_long": "the text of a rule",
    "required": "a rule without a frequency",
    "nothing_left": "words of quick add that leave no title",
    "needs_date": "a rule in a task without a date",
    "invalid_occurrence": "an occurrence in a request that completes nothing",
    "invalid_undo": "versions beside a token or a program, or none of them",
    "no_such_token": "a made-up id of a token, or that of a request without one",
    "invalid_subtasks": "`subtasks` in a request that completes nothing",
    "invalid_link": "a link that a browser would run, or with a character that no address has",
    "invalid_name": "a name in `extra` that is empty or too long",
    "too_large": "the bytes of `extra`",
    "too_deep_json": "the levels of `extra`",
    "too_many": "values with commas, or labels",
    "invalid_url": "a URL that not all parsers take for the same",
    "invalid_redelivery": "`version` beside `since`, or none of them",
    "in_the_past": "a token that would have expired before it was made",
    "contradiction": "two parameters that exclude each other, each of them right by itself",
    "not_allowed": "a header or a parameter that has no meaning for the operation",
    "malformed": "a header with a grammar of its own: entity tags, an Idempotency-Key",
    "unknown_member": "handling=strict was preferred, by chance",
    "unknown_parameter": "the same; and for a deletion of many it is always so",
}

# An id can look like a word of the API, which then has another path's operations.
TWO_PATHS = (
    "/api/tasks/batch", "/api/{user_id}/tasks/batch", "/api/tasks/claims", "/api/{user_id}/tasks/claims",
    "/api/tasks/quick", "/api/{user_id}/tasks/quick", "/api/users/me",
)  # fmt: skip

_YEARS = (-2_177_452_800, 7_195_046_400)  # the seconds at which 1901 and 2198 begin
# RFC 3339, but for years that no client shows and seconds that no calendar has.
schemathesis.openapi.format(
    "date-time",
    st.integers(_YEARS[0], _YEARS[1]).map(lambda second: datetime.fromtimestamp(second, UTC).isoformat()),
)


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether it is one."""
    excuse = _EXCUSES.get(type(failure).__name__)
    return excuse is None or not excuse(case, response)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """In a sequence the later requests ask for what the earlier ones wrote: none of them is a dry run."""
    if case.meta and case.meta.phase.name == "stateful" and str(case.query.get("dry_run")).lower() == "true":
        case.query["dry_run"] = False


def _is_by_a_rule_beyond_the_schema(case: Any, response: Any) -> bool:
    if response.status_code in BY_STATE:
        return True
    if response.status_code != 400:
        return False
    errors = json.loads(response.content)["errors"]
    return any(error["code"] in BEYOND_THE_SCHEMA or _is_special(case, error) for error in errors)


def _is_special(case: Any, error: dict[str, str]) -> bool:
    match error:
        case {"code": "required", "pointer": "/title" | "/name"}:
            return bool(case.method == "PUT")  # one that creates has to have a title, or a name
        case {"code": "invalid_type", "pointer": pointer}:
            # To JSON Schema 17.0 is an integer.
            return pointer.endswith(
                (
                    "/version",
                    "/seconds",
                    "/count",
                    "/since",
                    "/until",
                    "/overlap_hours",
                )
            ) or (pointer.startswith("/versions/"))
    return False


def _is_of_two_paths(case: Any, _response: Any) -> bool:
    return case.operation.path in TWO_PATHS


def _is_a_list(case: Any, _response: Any) -> bool:
    """To delete a list is to delete its tasks: it is still there, and empty."""
    return bool(case.operation.path.endswith("/tasks"))


def _has_some_fields(case: Any, _response: Any) -> bool:
    """The schema has all members of a task, of which `fields` asks for some."""
    return "fields" in (case.query or {})


def _is_refused_or_read_otherwise(case: Any, response: Any) -> bool:
    """Of two conditions the first that fails is answered. An empty parameter is as one that is not there."""
    return response.status_code in BY_STATE or "" in (case.query or {}).values()


_EXCUSES: dict[str, Callable[[Any, Any], bool]] = {
    "RejectedPositiveData": _is_by_a_rule_beyond_the_schema,
    "AcceptedNegativeData": _is_refused_or_read_otherwise,
    "UnsupportedMethodResponse": _is_of_two_paths,
    "AllowHeaderMismatch": _is_of_two_paths,
    "UseAfterFree": _is_a_list,
    "JsonSchemaError": _has_some_fields,
}


if user := os.environ.get(SIGNED_IN):

    @schemathesis.hook
    def before_load_schema(_context: Any, document: dict[str, Any]) -> None:
        """This server does ask who is asking, and the one who does has an id."""
        for path in document["paths"].values():
            for operation in path.values():
                operation["security"] = [scheme for scheme in operation.get("security", []) if scheme]
                for parameter in operation.get("parameters", []):
                    if parameter["name"] in {"user_id", "id"}:
                        parameter["schema"] = {"type": "string", "enum": [user]}
