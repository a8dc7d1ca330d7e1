"""Beside the programs that people come from: the same curves and bands, and the time they take."""
