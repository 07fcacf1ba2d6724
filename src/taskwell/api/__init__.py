"""The REST room."""
