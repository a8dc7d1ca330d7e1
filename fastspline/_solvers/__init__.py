"""A factored recurrence, bound to points, driven over columns and threads.

`choice` takes the recurrence for a plan. Nothing here is compiled, or knows the public objects.
"""
