"""Frequent requests, answered without the middleware or without FastAPI."""
