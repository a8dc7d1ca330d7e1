"""Products of matrices on unreliable workers: one code a file, and `coded_matmul`."""
