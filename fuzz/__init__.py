"""Requests made up from the OpenAPI document, without end and without mercy."""
