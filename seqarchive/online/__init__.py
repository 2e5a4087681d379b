"""Single records from public services: NCBI's E-utilities and Ensembl's REST service.

``accessions`` (who has it) → ``entrez``, ``ensembl`` (asked by ``polite``) → ``answers`` (is it
what was asked for) → ``fetch_loading`` (one batch). Nothing that a service says is believed before
``answers`` has read it.
"""
