"""The clients. What is generated is not committed: openapi.json is its source, and shows what changes."""
