"""Trove NG: Database as a Service for OpenStack."""
