"""The operator's room. What is slow to import is imported by the command that needs it."""

from taskwell.cli.root import app

__all__ = ["app"]
