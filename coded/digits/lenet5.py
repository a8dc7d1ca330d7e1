"""The demo's network: LeNet5 with the weights that lie beside this file."""

from __future__ import annotations

from pathlib import Path

from coded.extras import needing

with needing("LeNet5 needs", "torch", extra="torch"):
    import torch
    from torch import nn

WEIGHTS = Path(__file__).with_name("lenet5_mnist.pt")


class LeNet5(nn.Sequential):
    """Two convolutions and three dense layers: (B, 1, 32, 32) in [0, 1] to (B, 10) logits."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        )


def load() -> LeNet5:
    """Load the trained network; a `TorchWorker` calls this once in each process."""
    model = LeNet5()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return model.eval()


def compute_serially() -> None:
    """Let torch use one thread in this process.

    Where cores are busy, as here while workers start, threads that wait for each other are
    several times slower than one.
    """
    torch.set_num_threads(1)
