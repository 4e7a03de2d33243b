"""Throw-away servers for tests and benchmarks."""
