"""Operators' services: backups, transfers, diagnosis."""
