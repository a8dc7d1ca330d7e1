"""One call on any executor: submit, wait, decode; what it gives, and models in batches.

It knows jobs and who prepares them, no code by name, and who computes only as a
`concurrent.futures.Executor`.
"""
