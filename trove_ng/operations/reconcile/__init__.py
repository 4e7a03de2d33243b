"""Comparing what the store says with what the cloud has, and repairing what is safe."""
