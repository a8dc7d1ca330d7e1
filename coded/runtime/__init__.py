"""One call on any executor: submit, wait, decode; what it gives, and models in batches.

It knows jobs, no codes, and who computes only as a `concurrent.futures.Executor`.
"""
