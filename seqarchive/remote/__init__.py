"""Reading a published snapshot where it is: no download, no server of ours.

The database is read through SQLite itself, chunk by chunk; residues by the blocks that hold them.
Every chunk is checked against the digests of the release, and kept on disk within a bound.
"""
