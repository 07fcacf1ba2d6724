"""`taskwell tokens`: for operators, directly on the database."""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from taskwell.cli.backup import AsJson
from taskwell.cli.running import on_database
from taskwell.cli.settings import fail, load_settings

if TYPE_CHECKING:
    from taskwell.schemas.token import TokenRead

app = typer.Typer(help="API tokens, by which programs act as a user.", no_args_is_help=True)

User = Annotated[str, typer.Option(help="The id of the token's user.")]
# The options of a new token's members, for errors.
_OPTIONS = {"name": "NAME", "scopes": "--scope", "rate": "--rate", "expires_at": "--expires"}


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The token's purpose.")],
    user: User,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="tasks:read (the default), tasks:edit, tasks:write, webhooks or admin; may be repeated."
        ),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="The requests that it may send, such as 60/minute; else its user's.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="Its lifetime; else until revoked.", min=1, max=36_500)
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="Its end instead, such as 2030-01-01T00:00:00Z.", metavar="INSTANT")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a token and print it. It cannot be shown again."""
    from pydantic import TypeAdapter, ValidationError

    from taskwell.core.clock import utc_now
    from taskwell.schemas.token import TokenCreate
    from taskwell.schemas.types import UserId
    from taskwell.services import tokens

    if days and expires:
        fail("a token has --days or --expires, not both")
    expires_at = _text(utc_now() + timedelta(days=days)) if days else expires
    given = {"name": name, "scopes": scope or ["tasks:read"], "rate": rate, "expires_at": expires_at}
    try:
        TypeAdapter(UserId).validate_python(user)
        new = TokenCreate.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        fail(f"{_OPTIONS[str(first['loc'][0])] if first['loc'] else '--user'}: {first['msg']}")
    create_user = load_settings().create_users
    made = on_database(
        lambda database: database.write(tokens.create_token, user, new, create_user=create_user), creates=True
    )
    if as_json:
        typer.echo(_as_json(made))
        return
    typer.echo(made.token)
    typer.echo(
        f"Store it: it cannot be shown again. To revoke it: taskwell tokens revoke {made.id} --user {user}",
        err=True,
    )


@app.command("list")
def show(user: User, as_json: AsJson = False) -> None:
    """List the tokens of a user: one line each, or with --json one object each."""
    from taskwell.services import tokens

    for token in on_database(lambda database: database.read(tokens.list_tokens, user)):
        typer.echo(_as_json(token) if as_json else _in_words(token))


@app.command()
def revoke(
    token: Annotated[UUID, typer.Argument(help="The token's id.")], user: User, as_json: AsJson = False
) -> None:
    """Revoke a token: requests with it are refused from now on."""
    from taskwell.services import tokens

    on_database(lambda database: database.write(tokens.revoke_token, user, token))
    if as_json:
        typer.echo(json.dumps({"id": str(token)}))


def _as_json(token: "TokenRead") -> str:
    from taskwell.schemas.token import token_json

    return json.dumps(json.loads(token_json(token)))


def _in_words(token: "TokenRead") -> str:
    rate = f"{token.rate}, " if token.rate else ""
    ends = f"until {_text(token.expires_at)}" if token.expires_at else "until revoked"
    used = f"last used {_text(token.last_used_at)}" if token.last_used_at else "never used"
    return f"{token.id}  {token.name}  {' '.join(token.scopes)}  {rate}{ends}, {used}"


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
