"""`taskwell users`: for operators, directly on the database."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskwell.cli.backup import AsJson
from taskwell.cli.running import on_database
from taskwell.cli.settings import fail

if TYPE_CHECKING:
    from taskwell.schemas.user import UserRead

app = typer.Typer(help="Users, who own tasks.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The user's id.")]
_PAGE = 1_000


@app.command("list")
def show_all(as_json: AsJson = False) -> None:
    """List all users by their ids: one line each, or with --json one object each."""
    from taskwell.services import users

    after = ""
    while page := on_database(lambda database: database.read(users.list_users, after, _PAGE)):  # noqa: B023
        for user in page:
            typer.echo(_as_json(user) if as_json else _in_words(user))
        after = page[-1].id


@app.command()
def show(user: Id, as_json: AsJson = False) -> None:
    """Show a user, and the number of their tasks."""
    from taskwell.services import users

    async def look(database: Any) -> Any:
        return await database.read(users.get_user, user), await database.read(users.count_tasks, user)

    found, (alive, in_trash) = on_database(look)
    if as_json:
        typer.echo(_as_json(found, tasks=alive, tasks_in_trash=in_trash))
    else:
        typer.echo(f"{_in_words(found)}  {alive:,} tasks, {in_trash:,} in the trash")


@app.command()
def create(
    user: Annotated[str | None, typer.Argument(help="The user's id; generated if omitted.")] = None,
    email: Annotated[str | None, typer.Option(help="Their e-mail address.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a user. (Users who sign in are created by their first write.)"""
    from pydantic import ValidationError

    from taskwell.schemas.user import UserCreate
    from taskwell.services import users

    try:
        new = UserCreate(id=user, email=email)
    except ValidationError as error:
        fail(error.errors(include_url=False, include_input=False)[0]["msg"])
    made = on_database(lambda database: database.write(users.create_user, new), creates=True)
    typer.echo(_as_json(made) if as_json else made.id)


@app.command()
def delete(
    user: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a user and all their data permanently."""
    from taskwell.services import users

    alive, in_trash = on_database(lambda database: database.read(users.count_tasks, user))
    if not yes:
        question = f"Delete {user}, {alive:,} tasks and {in_trash:,} in the trash permanently?"
        typer.confirm(question, abort=True, err=True)
    on_database(lambda database: database.write(users.delete_user, user))
    if as_json:
        typer.echo(json.dumps({"id": user, "tasks": alive, "tasks_in_trash": in_trash}))
    else:
        typer.echo(f"Deleted {user}, {alive:,} tasks and {in_trash:,} in the trash.")


def _as_json(user: "UserRead", **more: int) -> str:
    from taskwell.schemas.user import user_json

    return json.dumps(json.loads(user_json(user)) | more)


def _in_words(user: "UserRead") -> str:
    since = user.created_at.isoformat(timespec="seconds") if user.created_at else ""
    return f"{user.id}  {user.email or '-'}  since {since}"
