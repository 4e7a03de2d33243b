"""Servers of Linux namespaces, volumes of loop devices, networks of bridges."""
