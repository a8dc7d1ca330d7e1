"""The options of `python -m coded`, and what it prints.

What is computed lies in `demo` and `comparison`, which print nothing and never end the program.
"""
