"""Percona Server."""
