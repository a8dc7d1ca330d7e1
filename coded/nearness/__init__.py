"""What is near what: distances, features of images, a short path through inputs.

Mathematics of inputs alone; no code, no worker. The one folder of `coded` that may import numba.
"""
