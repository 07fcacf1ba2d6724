"""`python -m taskwell`."""

from taskwell.cli import app

app()
