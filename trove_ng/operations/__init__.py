"""Durable operations: accepted once, run to their end whatever dies meanwhile."""
