"""The world of SeqRepo (biocommons.seqrepo): its instances on disk, written and read."""
