"""All that numba compiles: loops over checked arrays, results written into arrays passed in.

Read `reinsch` and `state_space` first: the two recurrences, one column, plain; then `reinsch_steps`
and `sweep`: the same in SIMD lanes, and what drives it. Nothing here checks arguments, starts
threads or imports more than numpy and numba.
"""
