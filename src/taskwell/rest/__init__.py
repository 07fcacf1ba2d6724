"""The REST API: routes, their input and their answers."""
