"""Leaf helpers that know nothing of Trove resources."""
