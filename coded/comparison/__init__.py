"""Codes beside each other on one function, and what the command line makes of it."""
