"""Policies of shared clusters: which plugins may be used, checked before any of their code runs."""
