"""Settings, errors and utilities that any application needs; this package knows nothing of tasks."""
