"""Sequence collections: ordered sets of named sequences, by the GA4GH standard (v1.0.0).

``digests`` computes what a collection is called, ``comparing`` says what two have in common.
"""
