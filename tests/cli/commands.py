"""`taskwell` run within this process, which is much quicker than a process of its own."""

import os

from typer.testing import CliRunner, Result

from taskwell.cli import app


def taskwell(url: str, *arguments: str, answer: str | None = None, **environment: str) -> Result:
    """Run a command on a database. `answer`: what is typed when it asks."""
    done = CliRunner(env=os.environ | {"DATABASE_URL": url} | environment).invoke(
        app, list(arguments), input=answer
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def done(url: str, *arguments: str, **environment: str) -> str:
    """What a command that succeeds prints."""
    result = taskwell(url, *arguments, **environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(url: str, *arguments: str, **environment: str) -> str:
    """The sentence with which a command ends with 1."""
    result = taskwell(url, *arguments, **environment)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("taskwell: ")
    return line.removeprefix("taskwell: ")
