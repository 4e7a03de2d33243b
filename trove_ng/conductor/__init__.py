"""The conductor: writes what guests report."""
