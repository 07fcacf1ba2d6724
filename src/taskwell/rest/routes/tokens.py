"""API tokens: the caller's own."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from taskwell.auth.authorization import ACCOUNT, ADMIN, requires
from taskwell.core.errors import Forbidden, Invalid, Violation
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import problems
from taskwell.rest.dependencies import (
    CallerDep,
    DatabaseDep,
    OperationsDep,
    SettingsDep,
    WritesDep,
    preferences,
    refuse_dry_run,
)
from taskwell.rest.responses import no_content, token_response, tokens_response
from taskwell.rest.routing import TaskwellRoute
from taskwell.schemas.token import TokenCreate, TokenCreated, TokenRead
from taskwell.schemas.types import TaskId
from taskwell.services import tokens
from taskwell.services.operations import CreateToken, RevokeToken

router = APIRouter(route_class=TaskwellRoute, tags=["tokens"], dependencies=[Depends(preferences)])

PathTokenId = Annotated[TaskId, Path(description="The token's id.")]


@router.get(
    "",
    name="list_tokens",
    response_model=list[TokenRead],
    summary="List the caller's tokens",
    responses={200: {"description": "The tokens, the newest first."}, **problems()},
)
@requires(ACCOUNT)
async def list_tokens(database: DatabaseDep, caller: CallerDep) -> Response:
    """All tokens, including expired ones, without their secrets, which are not stored."""
    return tokens_response(await database.read(tokens.list_tokens, caller.user_id))


@router.post(
    "",
    name="create_token",
    response_model=TokenCreated,
    status_code=201,
    summary="Create a token",
    dependencies=[Depends(refuse_dry_run)],
    responses={
        201: {"description": "The new token, shown this once."},
        **problems("not_found", "conflict", "payload_too_large", "unsupported_media_type", "storage_full"),
    },
)
@requires(ACCOUNT)
async def create_token(
    request: Request, operations: OperationsDep, settings: SettingsDep, caller: CallerDep, new: TokenCreate
) -> Response:
    """A token acts as the caller, within its scopes. It can neither create tokens nor delete the user."""
    if ADMIN in new.scopes and ADMIN not in caller.scopes:
        raise Forbidden(scope=ADMIN)
    if "idempotency-key" in request.headers:
        # A stored response would contain the token. A duplicate token can be revoked.
        detail = "is not allowed here: a response that contains a token is never stored"
        raise Invalid(Violation("header", "Idempotency-Key", "not_allowed", detail))
    operation = CreateToken(caller.user_id, new, create_user=settings.create_users)
    return token_response(await operations.execute(operation))


@router.delete(
    "/{token_id}",
    name="revoke_token",
    status_code=204,
    summary="Revoke a token",
    responses={
        204: {"description": "The token is no longer valid.", "headers": REPLAYED},
        **problems("not_found", "conflict", "idempotency_key_reused", "storage_full"),
    },
)
@requires(ACCOUNT)
async def revoke_token(writes: WritesDep, caller: CallerDep, token_id: PathTokenId) -> Response:
    """The server refuses the token from now on. Its open streams end within ten minutes."""
    return await writes(RevokeToken(caller.user_id, token_id), no_content)
