"""Sphinx configuration: ``sphinx-build -W docs docs/_build``."""

from seqarchive import __version__

project = "seqarchive"
author = "the seqarchive authors"
copyright = "2026, the seqarchive authors"  # noqa: A001
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
