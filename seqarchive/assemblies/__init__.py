"""Assemblies: which sequence is chromosome 1 of which genome, and the names that follow.

``assembly`` says what one is. Where they come from: ``reports`` reads the files of NCBI, UCSC and
samtools, ``bundled`` has the tables of the optional package ``bioutils``. What is done with them:
``naming`` finds the sequences in an archive and gives them their names, ``GRCh38:1``,
``GRCh38:chr1``, ``refseq:NC_000001.11`` and ``insdc:CM000663.2``; never to one of another length.
"""
