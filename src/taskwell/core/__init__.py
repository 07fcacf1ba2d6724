"""What any application would need; it knows nothing of tasks."""
