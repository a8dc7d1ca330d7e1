"""The functions at hand, with (K, N, S) at which inputs are lost and most codes can serve."""

from __future__ import annotations

SETTINGS = {
    "linear": (8, 16, 6),
    "polynomial": (6, 20, 8),
    "xsinx": (20, 40, 12),
    "pendulum": (20, 40, 12),
    "lenet5": (20, 60, 20),
}
