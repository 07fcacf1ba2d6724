"""What every protocol over HTTP needs; it knows no task."""
