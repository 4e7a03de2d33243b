"""Engines whose tests do not yet cover every case."""
