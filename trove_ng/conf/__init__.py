"""Configuration options, one module per concern, registered on demand.

Each module has ``register(conf)`` and ``list_opts()``; importing one registers nothing.
"""
