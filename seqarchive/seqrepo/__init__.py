"""The world of SeqRepo (biocommons.seqrepo): its instances on disk, written and read, and its
interface over an archive::

    from seqarchive.seqrepo import SeqRepo
"""

from .repository import SeqRepo

__all__ = ["SeqRepo"]
