"""JSON schemas of what clients send and of what they get, as data."""
