"""The rows, by what they are about. Each module adds its own to SITUATIONS; a new one is named here."""

from field.situations import addresses, bodies, clients, conditions, events, names, problems, protocol, tasks

__all__ = [
    "addresses",
    "bodies",
    "clients",
    "conditions",
    "events",
    "names",
    "problems",
    "protocol",
    "tasks",
]
