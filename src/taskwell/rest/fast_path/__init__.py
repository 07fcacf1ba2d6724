"""Simple requests: the fast path omits the middleware and FastAPI, direct dispatch omits FastAPI."""
