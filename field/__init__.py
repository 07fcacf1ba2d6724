"""Real proxies and clients between the server and who asks it. See `__main__`."""
