"""The operator's command line. Commands import slow modules themselves, so that --help is quick."""

import atexit
import gc

from taskwell.cli.root import app

__all__ = ["app"]

# As it ends, Python looks for garbage in all that was imported: 0.3 of the 1.0 s of a short command.
atexit.register(gc.freeze)
