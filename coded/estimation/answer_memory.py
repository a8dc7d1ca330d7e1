"""Earlier answers, kept to estimate later ones."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from coded.arguments import read_count
from fastspline.arrays import FloatArray, read_array, require_finite


class AnswerMemory:
    """What a function answered before: pairs (coded input, answer), the oldest forgotten first.

    The caller owns it, adds what workers answered, and clears it when the function changes.
    `KernelScheme` reads it at `bind`. The memory of another function of the same shape cannot be
    told from the right one: keep one for each function. Safe to use from several threads; pickles
    with its content.

    Parameters
    ----------
    capacity : int
        How many pairs are kept, at least 1.

    Raises
    ------
    TypeError
        If `capacity` is no integer.
    ValueError
        If `capacity` is below 1.

    Examples
    --------
    >>> memory = AnswerMemory(capacity=3)
    >>> memory.add([[1.0], [2.0]], [10.0, 20.0])
    >>> memory.add([[3.0], [4.0]], [30.0, 40.0])
    >>> len(memory)
    3
    >>> coded_inputs, answers = memory.snapshot()
    >>> answers
    array([20., 30., 40.])
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = read_count(capacity, "capacity", at_least=1)
        self._lock = threading.Lock()
        self._pairs: tuple[FloatArray, FloatArray] | None = None

    @property
    def capacity(self) -> int:
        """How many pairs are kept."""
        return self._capacity

    def __len__(self) -> int:
        """How many pairs are held now."""
        pairs = self._pairs
        return 0 if pairs is None else len(pairs[1])

    def add(self, coded_inputs: ArrayLike, answers: ArrayLike) -> None:
        """Keep what the function answered, and forget the oldest pairs beyond the capacity.

        Add true answers only, such as the outputs of a result that its exact mask names or
        those of single workers: estimates would be taken for the truth.

        Parameters
        ----------
        coded_inputs : array_like, shape (n, ...)
            Inputs or mixtures of inputs, numpy or torch; copied.
        answers : array_like, shape (n, ...)
            The function's answers to them. None at all change nothing.

        Raises
        ------
        TypeError
            If an argument holds no real numbers.
        ValueError
            If the lengths differ, a shape is not that of the pairs held, or a number is not
            finite.
        """
        pair = _read(coded_inputs, "coded_inputs"), _read(answers, "answers")
        if len(pair[0]) != len(pair[1]):
            raise ValueError(
                f"coded_inputs and answers must be as many, got {len(pair[0])} and {len(pair[1])}; "
                "pass one answer for each coded input"
            )
        if len(pair[0]) == 0:
            return
        with self._lock:
            held = self._pairs or (pair[0][:0], pair[1][:0])
            for name, given, known in zip(("coded_inputs", "answers"), pair, held, strict=True):
                if given.shape[1:] != known.shape[1:]:
                    raise ValueError(
                        f"{name} have shape {given.shape[1:]} each, but the memory holds "
                        f"{known.shape[1:]}; use a memory for each function, or clear it"
                    )
            kept = min(len(held[0]), max(self._capacity - len(pair[0]), 0))
            inputs, outputs = (
                np.concatenate([known[len(known) - kept :], given[-self._capacity :]])
                for known, given in zip(held, pair, strict=True)
            )
            self._pairs = (inputs, outputs)

    def clear(self) -> None:
        """Forget everything, as is due when the function changes."""
        with self._lock:
            self._pairs = None

    def snapshot(self) -> tuple[FloatArray, FloatArray]:
        """Give the pairs held now, oldest first; what is added later does not change them.

        Returns
        -------
        coded_inputs : ndarray, shape (len, ...)
        answers : ndarray, shape (len, ...)
            Both of shape (0,) where nothing is held.
        """
        pairs = self._pairs
        if pairs is None:
            return np.empty(0), np.empty(0)
        return pairs[0].copy(), pairs[1].copy()

    def __getstate__(self) -> dict[str, Any]:
        """Give capacity and content; locks do not pickle."""
        return {"_capacity": self._capacity, "_pairs": self._pairs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take them, with a lock of its own."""
        vars(self).update(state)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """One line that could be typed; the content is not shown."""
        return f"AnswerMemory({self._capacity})"


def _read(values: ArrayLike, name: str) -> FloatArray:
    """Check a stack of arrays."""
    array, _ = read_array(values, name)
    if array.ndim == 0:
        raise ValueError(f"{name} must be a stack along axis 0, got a single number; pass [{name}]")
    require_finite(array, name)
    return array
