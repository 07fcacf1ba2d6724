"""`taskwell tokens`: for operators, directly on the database."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from taskwell.cli.running import on_database
from taskwell.cli.settings import fail, load_settings

app = typer.Typer(help="API tokens, by which programs act as a user.", no_args_is_help=True)

User = Annotated[str, typer.Option(help="The id of the token's user.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The token's purpose.")],
    user: User,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="tasks:read (the default), tasks:write or admin; may be repeated."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="Its lifetime; else until revoked.", min=1, max=36_500)
    ] = None,
) -> None:
    """Create a token and print it. It cannot be shown again."""
    from pydantic import TypeAdapter, ValidationError

    from taskwell.core.clock import utc_now
    from taskwell.schemas.token import TokenCreate
    from taskwell.schemas.types import UserId
    from taskwell.services import tokens

    expires_at = utc_now() + timedelta(days=days) if days else None
    given = {"name": name, "scopes": scope or ["tasks:read"], "expires_at": _text(expires_at)}
    try:
        TypeAdapter(UserId).validate_python(user)
        new = TokenCreate.model_validate(given)
    except ValidationError as error:
        fail(error.errors(include_url=False, include_input=False)[0]["msg"])
    create_user = load_settings().create_users
    made = on_database(
        lambda database: database.write(tokens.create_token, user, new, create_user=create_user), creates=True
    )
    typer.echo(made.token)
    typer.echo(
        f"Store it: it cannot be shown again. To revoke it: taskwell tokens revoke {made.id} --user {user}",
        err=True,
    )


@app.command("list")
def show(user: User) -> None:
    """List the tokens of a user."""
    from taskwell.services import tokens

    for token in on_database(lambda database: database.read(tokens.list_tokens, user)):
        ends = f"until {_text(token.expires_at)}" if token.expires_at else "until revoked"
        used = f"last used {_text(token.last_used_at)}" if token.last_used_at else "never used"
        typer.echo(f"{token.id}  {token.name}  {' '.join(token.scopes)}  {ends}, {used}")


@app.command()
def revoke(token: Annotated[UUID, typer.Argument(help="The token's id.")], user: User) -> None:
    """Revoke a token: requests with it are refused from now on."""
    from taskwell.services import tokens

    on_database(lambda database: database.write(tokens.revoke_token, user, token))


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
