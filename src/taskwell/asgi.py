"""`taskwell.asgi:app`, for uvicorn, Hypercorn, Gunicorn and any other server of ASGI applications."""

import sys

import typer

from taskwell.app import create_served_app
from taskwell.cli.settings import load_settings

try:
    app = create_served_app(load_settings())
except typer.Exit as exit_:  # the error in the settings has been printed to standard error
    sys.exit(exit_.exit_code)
