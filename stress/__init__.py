"""What the server promises, tried out under races, retries and cut connections. See `__main__`."""
