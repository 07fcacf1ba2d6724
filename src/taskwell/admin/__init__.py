"""What operators do: backups, transfers, diagnosis."""
