"""Rules of the resources: pure decisions and what they are made from."""
