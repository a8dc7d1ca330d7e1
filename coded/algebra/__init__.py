"""Exact decoding: polynomials, finite fields, generators whose rows decode, liars found.

Every function here is exact up to rounding; what estimates lies in `estimation`.
"""
