"""The agent on a database server."""
