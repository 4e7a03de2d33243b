"""Engines whose tests cover every case."""
