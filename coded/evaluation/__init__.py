"""What a code is worth, without workers: simulated losses, metrics, advice, pictures.

Nothing here submits a task; what real requests would take is the business of `latency`.
"""
