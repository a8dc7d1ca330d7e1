"""Sums of gradients on unreliable workers: one code a file, and `coded_gradient`."""
