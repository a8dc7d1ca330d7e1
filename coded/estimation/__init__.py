"""Guesses of answers that are lost, from those that came: splines along paths, kriging.

No code and no worker: sites, answers and weights.
"""
