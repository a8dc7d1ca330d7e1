"""What a code is worth, without workers: simulated losses, metrics, advice, pictures."""
