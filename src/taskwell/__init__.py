"""A task backend: FastAPI, SQLModel, SQLite or PostgreSQL."""

__version__ = "0.1.0"
