"""Races against scipy, BLAS and a memory copy: `pytest bench`, recorded by `bench.report`."""
