"""Releases on the way: pulled from a source, pushed to a destination, signed and checked."""
