"""A port for a server that is started later."""

import random
import socket

# Below those that the system hands out by itself: a framework's own processes, started before
# the server listens, take theirs there (and Ray's workers theirs from 10002 to 19999).
FIRST, LAST = 20000, 32000


def free_port() -> int:
    """Give a port that nobody listens at, and that nobody takes who did not ask for it."""
    for port in random.SystemRandom().sample(range(FIRST, LAST), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"none of 100 ports from {FIRST} to {LAST} is free")
