"""Races against the real rivals, experiments, and the report that writes the documents' tables.

Nothing of `fastspline` or `coded` imports this; records lie in `results`, each with its commit.
"""
