"""The page at `/app`: a client of the REST API in the browser, and the routes that serve its files."""
