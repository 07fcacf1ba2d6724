"""The former address of `taskwell.app`, for programs that embed the application."""

from taskwell.app import create_app

__all__ = ["create_app"]
