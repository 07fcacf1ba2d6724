"""Authorization of a request: the caller's scopes, and whose data the path names."""

from starlette.requests import Request

from taskwell.auth.authorization import ACCOUNT, ADMIN, Access
from taskwell.core.errors import Forbidden, Invalid, Violation
from taskwell.core.principal import ALL_USERS, set_user
from taskwell.http.request_state import caller_of
from taskwell.schemas.types import is_reserved, why_reserved

_ACCOUNT_NEEDED = "Only a user who has signed in may do this; an API token may not."


def authorize(request: Request, access: Access) -> None:
    """Check the caller before the request is read, and whether or not its target exists.

    Raises:
        Forbidden: the caller has not the scope, or the path names another user.
        Invalid: the path has a reserved word where a user's id belongs, as in `/api/v1/tasks`.
    """
    if access.scope is None:
        return
    caller = caller_of(request.scope)
    if access.allow_admin and ADMIN in caller.scopes:
        set_user(ALL_USERS)
        return
    if access.scope not in caller.scopes:
        raise Forbidden(_ACCOUNT_NEEDED) if access.scope == ACCOUNT else Forbidden(scope=access.scope)
    named = request.path_params.get("user_id", request.path_params.get("id", caller.user_id))
    if named != caller.user_id and not caller.any_user:
        if is_reserved(named):
            name = "user_id" if "user_id" in request.path_params else "id"
            raise Invalid(Violation("path", name, "reserved", why_reserved(named)))
        raise Forbidden
