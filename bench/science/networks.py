"""Trained networks as plain functions of numpy stacks: f of coded computing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench.science.datasets import DATA

Array = NDArray[np.float64]
Layers = Callable[[Tensor], Tensor]


class Network:
    """A model as a function: a stack of inputs to a stack of outputs, each from its row alone.

    `network(stack)` gives the outputs (logits of a classifier), `network.hidden(stack)` what its
    last layer is applied to: features that know f itself, an oracle. One thread; equal stacks
    give equal bits.
    """

    def __init__(self, body: Layers, head: Layers, *, batch: int) -> None:
        # Where cores are busy, threads that wait for each other are slower than one.
        torch.set_num_threads(1)
        self._body, self._head, self._batch = body, head, batch

    def __call__(self, stack: Array) -> Array:
        """Give the outputs, shape (n, C)."""
        return self._apply(lambda inputs: self._head(self._body(inputs)), stack)

    def hidden(self, stack: Array) -> Array:
        """Give the last hidden layer, shape (n, width)."""
        return self._apply(self._body, stack)

    def _apply(self, layers: Layers, stack: Array) -> Array:
        with torch.inference_mode():
            return np.concatenate(
                [
                    layers(torch.from_numpy(np.asarray(rows, np.float32))).double().numpy()
                    for rows in np.split(stack, range(self._batch, len(stack), self._batch))
                ]
            )


class LeNet5(nn.Module):
    """Two convolutions and three dense layers, ReLU, max pooling: (n, 28, 28) to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.f1, self.f2, self.f3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def hidden(self, images: Tensor) -> Tensor:
        """Give the 84 numbers that the last layer sees."""
        maps = functional.max_pool2d(functional.relu(self.c1(images.unsqueeze(1))), 2)
        maps = functional.max_pool2d(functional.relu(self.c2(maps)), 2)
        return functional.relu(self.f2(functional.relu(self.f1(maps.flatten(1)))))

    def forward(self, images: Tensor) -> Tensor:
        """Give the logits."""
        return self.f3(self.hidden(images))


def lenet5(trained_on: Literal["mnist", "fashion"] = "mnist") -> Network:
    """Load LeNet5: images (n, 28, 28) in [0, 1] to logits (n, 10); 98.4 % of held-out digits."""
    model = LeNet5()
    model.load_state_dict(torch.load(DATA / f"lenet5_{trained_on}.pt", weights_only=True))
    return Network(model.hidden, model.f3, batch=1000)
