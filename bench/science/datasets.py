"""Real images, split once and for all: nothing is tuned on what is reported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).with_name("data")
SHUFFLE_SEED = 123
N_TRAINED = 7000  # of 10,000 images; networks see no others in training

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images in [0, 1], (n, height, width) or (n, channels, height, width), and their classes."""

    inputs: Array
    labels: Labels

    def __getitem__(self, rows: slice) -> Examples:
        return Examples(self.inputs[rows], self.labels[rows])

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Split:
    """What each image may be used for.

    Attributes
    ----------
    training : Examples
        What the network was trained on.
    tuning : Examples
        Where parameters of schemes are chosen.
    earlier : Examples
        Traffic that a scheme with a memory may have seen before.
    evaluation : Examples
        What is reported.
    """

    training: Examples
    tuning: Examples
    earlier: Examples
    evaluation: Examples


def digits() -> Split:
    """Give 10,000 MNIST digits, (n, 28, 28): 7,000, 600, 600 and 1,800."""
    with np.load(DATA / "mnist_10k.npz") as file:
        return _split(file["images"], file["labels"])


def _split(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> Split:
    """Shuffle 10,000 grey images; a fifth of the held-out ones each to tune and as traffic."""
    rows = np.random.default_rng(SHUFFLE_SEED).permutation(len(images))
    # float32 first, as in the training: the network sees the same numbers
    inputs = (images[rows].astype(np.float32) / 255).astype(np.float64)
    shuffled = Examples(inputs, labels[rows].astype(np.intp))
    held_out = shuffled[N_TRAINED:]
    fifth = len(held_out) // 5
    return Split(
        training=shuffled[:N_TRAINED],
        tuning=held_out[:fifth],
        earlier=held_out[fifth : 2 * fifth],
        evaluation=held_out[2 * fifth :],
    )
