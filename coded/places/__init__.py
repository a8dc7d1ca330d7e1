"""Where inputs and workers sit on the line, and who holds which copy.

Counts, points and chances only: what an input holds is the business of `nearness`.
"""
