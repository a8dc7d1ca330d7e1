"""Handwritten digits and a network that reads them, for the demo and for comparisons.

Data and weights alone; no code, no worker.
"""
