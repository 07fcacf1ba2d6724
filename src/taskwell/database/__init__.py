"""Transactions, coalescing and locks on SQLite and PostgreSQL."""
