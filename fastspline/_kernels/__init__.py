"""All that numba compiles: loops over checked arrays, results written into arrays passed in.

Read `reinsch` and `state_space` first: the two recurrences, one column, plain; then `sweep`, their
SIMD driver. Nothing here checks arguments, starts threads or imports more than numpy and numba.
"""
