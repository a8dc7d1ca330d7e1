"""What earlier fits to answers of a function found, kept for the next one."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from coded.estimation.covariances import Array

_CALLS = 16  # that are kept
_TELLING = 4  # calls that tell whether points between inputs pay
_MOST = 50.0  # of a gain
_DOUBT = 1.0  # standard deviation of a gain, about: between calls of one function


class Searched(NamedTuple):
    """Where the likelihoods of the rougher families and of the smoothest one are largest.

    Each (lengths + 1,): log of 1 / length^2 in units of the inputs' spread, and of the noise.
    """

    rough: Array
    smooth: Array


class FitMemory:
    """How a function varied in earlier calls: lengths and noise, and if points between pay.

    The caller owns it and gives it to `KernelScheme`, which adds to it whenever it fits a decoder
    to answers, and reads it at `bind`. It holds no answers, only what was fitted to those of the
    last 16 calls: a few kilobytes whatever the function is. What another function left there
    cannot be told from the right one: keep one for each function, and clear it when the function
    changes. Safe to use from several threads; pickles with its content.

    Attributes
    ----------
    between : bool or None
        Whether points between inputs pay: whether the errors of lost inputs that they save, as
        left-out answers of the first four calls tell, are worth the copies that they cost. They
        are taken to pay unless those tell the contrary by more than calls differ. None before any
        call told.

    Examples
    --------
    >>> from coded import FitMemory, KernelScheme
    >>> memory = FitMemory()
    >>> scheme = KernelScheme(20, 40, fit_memory=memory)
    >>> inputs = np.linspace(0.0, 3.0, 20)
    >>> workers = np.delete(np.arange(40), np.arange(0, 30, 3))
    >>> for _ in range(2):
    ...     bound = scheme.bind(inputs)  # which reads the memory
    ...     outputs = bound.decode(np.sin(5.0 * bound.encode(inputs))[workers], workers)
    >>> len(memory), memory.between
    (2, True)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fits: tuple[tuple[Searched | None, ...], ...] = ()
        self._gains: tuple[float, ...] = ()

    def __len__(self) -> int:
        """How many fits are held now."""
        return len(self._fits)

    @property
    def between(self) -> bool | None:
        """Whether points between inputs pay, or None before any call told."""
        gains = self._gains
        if not gains:
            return None
        return bool(np.mean(gains) >= -_DOUBT / np.sqrt(len(gains)))

    @property
    def is_curious(self) -> bool:
        """Whether calls are still asked what points between inputs save: the first four are."""
        return len(self._gains) < _TELLING

    def clear(self) -> None:
        """Forget everything, as is due when the function changes."""
        with self._lock:
            self._fits, self._gains = (), ()

    def starts(self) -> tuple[Searched | None, ...]:
        """Give where the next searches start, one a view: the means of the last fits alike."""
        fits = self._fits
        if not fits:
            return ()
        shapes = [_shapes(fit) for fit in fits]
        alike = [fit for fit, shape in zip(fits, shapes, strict=True) if shape == shapes[-1]]
        return tuple(
            None if views[0] is None else Searched(*np.mean(views, axis=0))
            for views in zip(*alike, strict=True)
        )

    def keep(self, searched: tuple[Searched | None, ...], gain: float | None) -> None:
        """Keep what a fit found, one a view, and the log of what points between save, if known."""
        with self._lock:
            self._fits = (*self._fits, searched)[-_CALLS:]
            if gain is not None:
                self._gains = (*self._gains, float(np.clip(gain, -_MOST, _MOST)))[:_TELLING]

    def __getstate__(self) -> dict[str, Any]:
        """Give the content; locks do not pickle."""
        return {"_fits": self._fits, "_gains": self._gains}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it, with a lock of its own."""
        vars(self).update(state)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """One line that could be typed; the content is not shown."""
        return "FitMemory()"


def _shapes(fit: tuple[Searched | None, ...]) -> list[int]:
    return [0 if view is None else len(view.rough) for view in fit]
