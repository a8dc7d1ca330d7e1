"""Handwritten digits and a network that reads them, for the demo and for comparisons."""
