"""The service that runs accepted operations."""
