"""The state of one application: what every protocol needs while requests are served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the modules of these types use this one
    from collections.abc import Callable, Mapping

    from starlette.types import Scope

    from taskwell.auth.jwt import Verifier
    from taskwell.core.bounded_cache import BoundedCache
    from taskwell.core.settings import Settings
    from taskwell.database.database import Database
    from taskwell.http.admission import Admission
    from taskwell.http.metrics import Metrics
    from taskwell.http.middleware import Origins
    from taskwell.http.prefixes import Prefixes
    from taskwell.services.live_changes import Feed
    from taskwell.services.operations import Operations
    from taskwell.services.webhooks import Sender


@dataclass
class AppState:
    """It is `app.state`. The lifespan sets `database`, `operations`, `feed` and `webhooks`.

    `path_ids`: whether a text can be the value of a path parameter, by the name of the parameter.
    `noted_emails`: by user id, the addresses that the database has already.
    """

    settings: Settings
    database: Database
    operations: Operations
    feed: Feed
    webhooks: Sender
    admission: Admission
    metrics: Metrics
    origins: Origins
    prefixes: Prefixes
    path_ids: Mapping[str, Callable[[str], bool]]
    noted_emails: BoundedCache[str, str]
    verifier: Verifier | None
    fast_path: bool


def app_state(scope: Scope) -> AppState:
    state: AppState = scope["app"].state
    return state
