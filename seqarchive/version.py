"""The version of this package, in one place; batches record it."""

__version__ = "0.2.0"
