"""The REST API: a table of routes, and the handlers that it names."""
