"""`taskwell.asgi:app`, for uvicorn, Hypercorn, Gunicorn and any other server of ASGI applications."""

import sys

import typer

from taskwell.app import create_served_app
from taskwell.cli.settings import load_settings

try:
    app = create_served_app(load_settings())
except typer.Exit as exit_:  # what is wrong with the settings is on standard error
    sys.exit(exit_.exit_code)
