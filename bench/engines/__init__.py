"""Workers, servers and training steps that run, or are simulated: bytes, latencies, losses."""
