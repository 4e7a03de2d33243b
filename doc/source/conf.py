"""Sphinx configuration."""

project = "Trove NG"
copyright = "Trove NG contributors"  # noqa: A001 - Sphinx names it so
extensions = ["oslo_policy.sphinxext"]
source_suffix = ".rst"
master_doc = "index"
html_theme = "alabaster"
