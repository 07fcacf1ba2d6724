"""The state of one application that only the REST API uses."""

from dataclasses import dataclass, field

from starlette.types import Scope

from taskwell.schemas.query import QueryCache


@dataclass
class RestState:
    queries: QueryCache = field(default_factory=QueryCache)


def rest_state(scope: Scope) -> RestState:
    state: RestState = scope["app"].state.rest
    return state
