"""Modules: files that are kept on the server, and drivers that put them in force."""
