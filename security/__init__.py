"""What keeps others out, tried out. `python -m security` prints the figures."""
