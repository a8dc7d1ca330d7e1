"""Balanced copies: every input as it is, on several workers."""

from __future__ import annotations

import copy
import math
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.maps.arrays import LinearMap, Matrix, MatrixMap
from coded.maps.copies import RowMap
from coded.maps.torch_compile import untraced
from coded.nearness.distances import distances_between, flattened
from coded.places.placement import balanced_copies, read_placement
from coded.schemes.decoding_with_std import decode_with_std
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import FloatArray, read_only

Fallback: TypeAlias = Literal["nearest", "mean"] | None


class ReplicationScheme(LinearScheme):
    """Send every input, as it is, to floor(N / K) or ceil(N / K) workers, or as you place them.

    The first copy that answered counts. An input all of whose copies are lost gets

    - ``fallback="nearest"``: the answer of the nearest input that has one, by
      Euclidean distance between the flattened inputs (`bind` fixes the distances);
    - ``fallback="mean"``: the mean of the answers of the distinct inputs that have one;
    - ``fallback=None``: nothing, such responders cannot be decoded.

    Inputs and answers may be anything, numbers of any dtype, text, objects: copies are as they
    came, bit for bit. A mean is of numbers, and "nearest" asks for inputs that are numbers.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1; N >= K with ``fallback=None``.
    n_stragglers : int, optional
        How many answers may be missing, in [0, N). None means ``max(N - K, 0)``, with
        ``fallback=None`` what every input survives, ``floor(N / K) - 1`` if copies are balanced.
    fallback : {"nearest", "mean", None}, optional
        What an input without answer gets.
    placement : array_like of int, shape (N,), optional
        Which input each worker holds. None means `balanced_copies`, which can also
        be told of fewer executors than workers; `best_placement` has those for machines and for
        neighbours that fail together.

    Raises
    ------
    TypeError
        If a count is no integer or `placement` holds no integers.
    ValueError
        If a count is out of range, `fallback` is none of the three, or `placement` has not N
        entries, leaves [0, K) or, with ``fallback=None``, leaves out an input.

    Examples
    --------
    >>> scheme = ReplicationScheme(2, 4, fallback="mean")
    >>> scheme.encode([10.0, 20.0])
    array([10., 20., 10., 20.])
    >>> scheme.decode([100.0, 100.0], [0, 2])
    array([100., 100.])
    >>> scheme.exact_mask([0, 2])
    array([ True, False])
    """

    exact_first = True  # what a call waits for
    _keeps_copies = True

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        n_stragglers: int | None = None,
        fallback: Fallback = "nearest",
        placement: ArrayLike | None = None,
    ) -> None:
        super().__init__(n_inputs, n_workers, n_stragglers)
        is_named = isinstance(fallback, str) and fallback in ("nearest", "mean")
        if not (is_named or fallback is None):
            raise ValueError(
                f'fallback must be "nearest", "mean" or None, got {fallback!r}; '
                '"nearest" fills lost answers best'
            )
        self._copies = balanced_copies(self._n_inputs, self._n_workers)
        if placement is not None:
            self._copies = read_placement(placement, self._n_inputs)
            if len(self._copies) != self._n_workers:
                raise ValueError(
                    f"placement has {len(self._copies)} entries, but there are "
                    f"{self._n_workers} workers; say for each which input it holds"
                )
        if fallback is None:
            self._n_stragglers = self._survivable(n_stragglers)
        self._fallback = fallback
        self._distances: NDArray[np.float64] | None = None

    @property
    def fallback(self) -> Fallback:
        """What an input without answer gets."""
        return self._fallback

    @property
    def placement(self) -> NDArray[np.intp]:
        """Which input each worker holds, shape (N,)."""
        return read_only(self._copies)

    @untraced
    def bind(self, inputs: ArrayLike) -> Self:
        """Fix which inputs are near which, where the fallback asks for it.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            The inputs that will be encoded.

        Returns
        -------
        ReplicationScheme
            Bound to the distances between the inputs; the scheme itself where
            `fallback` is not "nearest".

        Raises
        ------
        TypeError
            If `inputs` holds no real numbers.
        ValueError
            If axis 0 has not K rows, or a number is not finite.
        """
        if self._fallback != "nearest":
            return self
        array, _ = self._read_inputs(inputs)
        bound = copy.copy(self)
        bound._distances = distances_between(flattened(array), np.arange(self._n_inputs))
        return bound

    @untraced
    def decode_with_std(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Give the outputs of all inputs, and how large their errors are expected to be.

        Each answer is estimated from the others as if it were lost. With
        ``fallback="nearest"`` errors are taken to grow with the distance d to the nearest
        input: ``std_k = d_k sqrt(sum_i e_i^2 / sum_i d_i^2)``, e_i the answers' errors. With
        ``fallback="mean"`` all std are ``sqrt((1 + 1/m) s^2)``, s^2 the variance of the m
        distinct answers.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        outputs : array of the kind and floating dtype of `coded_outputs`, shape (K, ...)
            As `decode`.
        std : ndarray of float, shape (K,)
            The expected root mean square of ``||output_k - f(x_k)||_2``. 0 where the output is
            an exact answer or that of an equal input; inf where the answers belong to one input
            or to equal ones, which do not tell how much f varies.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.

        Examples
        --------
        >>> scheme = ReplicationScheme(4, 4).bind([0.0, 1.0, 2.0, 4.0])
        >>> outputs, std = scheme.decode_with_std([0.0, 3.0, 6.0], [0, 1, 2])
        >>> outputs, std
        (array([0., 3., 6., 6.]), array([0., 0., 0., 6.]))
        """
        return decode_with_std(self, coded_outputs, responders, self._errors)

    def _errors(
        self,
        decoder: LinearMap,  # noqa: ARG002 (for families whose decoder the answers choose)
        answers: Matrix,
        responders: Responders,
    ) -> NDArray[np.float64]:
        """Estimate the errors of all outputs from those of answers that are left out."""
        answered, first = np.unique(self._copies[list(responders)], return_index=True)
        m = len(answered)
        if self._distances is None:
            guesses = [answers[first].mean(axis=0)] * m
            spread = m * (m - 1) / (m + 1)  # sum of squares / spread = (1 + 1/m) s^2
        else:
            among = self._distances[np.ix_(answered, answered)]
            among[np.diag_indices_from(among)] = np.inf
            guesses = [answers[i] for i in first[among.argmin(axis=1)]]
            spread = float((among.min(axis=1) ** 2).sum()) if m > 1 else 0.0
        slope = math.inf
        if spread > 0.0:
            pairs = zip(first, guesses, strict=True)
            errors = [float(np.linalg.norm(answers[i] - guess)) for i, guess in pairs]
            slope = math.hypot(*errors) / math.sqrt(spread)
        if self._distances is None:
            return np.full(self._n_inputs, slope)
        reach = self._distances[:, answered].min(axis=1)
        std = np.zeros(self._n_inputs)
        std[reach > 0.0] = slope * reach[reach > 0.0]
        return std

    def _survivable(self, n_stragglers: int | None) -> int:
        """How many answers may be missing, whichever they are, if every input needs a copy."""
        copies = np.bincount(self._copies, minlength=self._n_inputs)
        fewest = int(copies.min())
        if self._n_workers < self._n_inputs:
            raise ValueError(
                f"fallback=None needs n_workers >= n_inputs, got n_workers = {self._n_workers} and "
                f'n_inputs = {self._n_inputs}; add workers or choose fallback="nearest"'
            )
        if fewest == 0:
            raise ValueError(
                f"fallback=None needs a worker for every input, but placement leaves out input "
                f'{copies.argmin()}; place it or choose fallback="nearest"'
            )
        if n_stragglers is None:
            return fewest - 1
        if n_stragglers >= fewest:
            raise ValueError(
                f"n_stragglers must lie in [0, {fewest - 1}] with fallback=None, since some input "
                f'has {fewest} copies, got {n_stragglers}; add workers or take fallback="nearest"'
            )
        return n_stragglers

    def _build_encoder(self) -> LinearMap:
        return RowMap(self._copies, self._n_inputs)

    def _build_decoder(self, responders: Responders) -> LinearMap:
        """Row k copies input k's first answer; lost rows are filled by the fallback."""
        answered, first = np.unique(self._copies[list(responders)], return_index=True)
        lost = np.setdiff1d(np.arange(self._n_inputs), answered)
        source = np.zeros(self._n_inputs, dtype=np.intp)
        source[answered] = first
        if self._distances is not None and lost.size:
            nearest = self._distances[np.ix_(lost, answered)].argmin(axis=1)
            source[lost] = first[nearest]
        if self._fallback == "mean" and lost.size:
            matrix = np.eye(len(responders))[source]
            matrix[lost] = 0.0
            matrix[np.ix_(lost, first)] = 1.0 / len(first)
            return MatrixMap(matrix)
        return RowMap(source, len(responders))

    def _suffices(self, responders: Responders) -> bool:
        can_fill = self._fallback == "mean" or self._distances is not None
        if can_fill:
            return len(responders) > 0
        return len(np.unique(self._copies[list(responders)])) == self._n_inputs

    def _need(self, responders: Responders) -> str:
        if self._fallback == "nearest" and self._distances is None and responders:
            return "the inputs to know which are nearest to the lost ones (call bind(inputs) first)"
        if self._fallback is None:
            return "an answer for every input"
        return "1 answer"

    def _held(self) -> NDArray[np.intp]:
        return self._copies

    def _settings(self) -> str:
        settings = f"{super()._settings()}, fallback={self._fallback!r}"
        if np.array_equal(self._copies, balanced_copies(self._n_inputs, self._n_workers)):
            return settings
        return f"{settings}, placement={self._copies.tolist()}"


def _variant(fallback: Fallback, guarantee: str) -> Variant:
    def make(setting: Setting) -> ReplicationScheme:
        n_stragglers = None if fallback is None else setting.n_stragglers
        return ReplicationScheme(
            setting.n_inputs, setting.n_workers, n_stragglers=n_stragglers, fallback=fallback
        )

    return Variant(make, "any" if fallback is None else "none", guarantee)


VARIANTS = {
    "replication": _variant(None, "exact from an answer to every input"),
    "replication-nearest": _variant("nearest", "any answer; lost ones from the nearest input"),
    "replication-mean": _variant("mean", "any answer; lost ones are the mean"),
}
