"""The schemes, one code a file: spline, berrut, lagrange, replication."""
