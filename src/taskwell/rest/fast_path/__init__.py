"""The fast path: answers frequent requests without the middleware, or without FastAPI."""
