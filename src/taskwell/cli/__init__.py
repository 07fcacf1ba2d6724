"""The operator's command line. Commands import slow modules themselves, so that --help is quick."""

from taskwell.cli.root import app

__all__ = ["app"]
