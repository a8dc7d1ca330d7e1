"""Errors, to the last digits: against 500-bit splines, and beside other programs."""
