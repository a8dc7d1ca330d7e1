"""What gradient codes share: B says who sums which parts, and a the answers' weights."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from coded.algebra.linear_decoder import exact_amplification, least_norm_decoder
from coded.arguments import read_count
from coded.gradients.placed_data import PlacedData
from coded.gradients.spare_answers import SpareAnswers
from coded.gradients.weighted_sum import Part, SumOverData, WeightedSum
from coded.maps.arrays import LinearMap, Matrix, MatrixMap, apply_map
from coded.runtime.answers import coarsest, read_answer
from coded.runtime.nested_arrays import Layout, together
from coded.schemes.decoders import Decoders
from coded.schemes.door import read_responders
from coded.schemes.exact import largest_amplification
from coded.schemes.protocol import NotEnoughRespondersError, Responders
from coded.workers.placed import OnShare
from fastspline.arrays import (
    FloatArray,
    is_torch_tensor,
    read_array,
    read_only,
    require_finite,
)

_Answer = tuple[FloatArray, Layout]


class GradientCode:
    """Give ``f(w) = sum_i part(w, i)`` from the weighted sums of whichever workers answered.

    Worker n computes the parts i with ``B[n, i] != 0`` and answers ``sum_i B[n, i] part(w, i)``.
    From the rows B_F of those who answered, a is chosen so that ``|a B_F - 1|^2`` is least, and of
    all such a the one of least norm, unless a family says how else; ``a`` times the answers is the
    sum, exactly where ``a B_F = 1``. Parts are most often the gradients of the loss on parts of the
    data, but may be any summands, and nests of arrays.

    To survive any s lost workers, each part must be held by s + 1 of them (Tandon et al.,
    Theorem 1): a worker computes s + 1 parts where it would compute one without coding. That is
    the price, and pays only where workers now and then take more than s + 1 times as long as
    usual, or die.

    Answers beyond the rank of B_F are compared with the others: who contradicts them is left out,
    and `InconsistentAnswersError` raised where it is not to be told who does. So a part must be the
    same wherever it is computed, up to a thousand roundings.

    The rounding of answers grows by up to `amplification`, compared with a plain sum of the parts.
    Responders that amplify by more than 1e8 (answers in float32 8e4, in float16 10) are refused,
    as if there were too few of them.

    Subclasses make B. A matrix of your own makes a code too: as in the example.

    Parameters
    ----------
    encoding_matrix : array_like, shape (N, parts)
        B, real.
    n_stragglers : int
        s, in [0, N - 1]: from any N - s answers the sum can be decoded. It is taken on trust;
        `can_decode` tells of each set of workers what is true.

    Raises
    ------
    TypeError
        If `encoding_matrix` holds no real numbers, or the count is no integer.
    ValueError
        If the matrix is not two-dimensional and finite, a worker holds no part, a part is held by
        no worker, all answers together do not give the sum, or the count is out of range.

    References
    ----------
    R. Tandon, Q. Lei, A. G. Dimakis, N. Karampatziakis, "Gradient Coding: Avoiding Stragglers in
    Distributed Learning", ICML 2017, arXiv:1612.03301.

    Examples
    --------
    Three workers, two parts each, of which any one may be lost:

    >>> code = GradientCode([[0.5, 1.0, 0.0], [0.0, 1.0, -1.0], [0.5, 0.0, 1.0]], 1)
    >>> code.decode_vector([0, 2]).round(12)
    array([1., 1.])
    >>> code.can_decode([1]), code.residual([1])
    (False, 3.0)
    """

    exact_first: ClassVar[bool] = True  # whether calls wait for the exact sum
    optimal_decoding: ClassVar[bool] = True  # whether a is best for those who answered

    def __init__(self, encoding_matrix: ArrayLike, n_stragglers: int) -> None:
        self._matrix = _read_matrix(encoding_matrix)
        most = len(self._matrix) - 1
        self._n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=most)
        self._decoders: Decoders[LinearMap] = Decoders()
        self._spares: Decoders[SpareAnswers] = Decoders()
        if self.exact_first and not self.can_decode(range(len(self._matrix))):
            raise ValueError(
                "encoding_matrix must have the vector of ones among the combinations of its rows, "
                "and has not: all answers together do not give the sum; add rows that do"
            )

    @property
    def n_workers(self) -> int:
        """N, the number of tasks of a call."""
        return len(self._matrix)

    @property
    def n_parts(self) -> int:
        """The number of summands."""
        return int(self._matrix.shape[1])

    @property
    def n_stragglers(self) -> int:
        """How many workers may be lost, whichever they are."""
        return self._n_stragglers

    @property
    def min_responders(self) -> int:
        """The recovery threshold N - s: any so many answers are enough, often fewer are."""
        return self.n_workers - self._n_stragglers

    @property
    def encoding_matrix(self) -> Matrix:
        """B, shape (N, parts), read-only."""
        return self._matrix

    @property
    def assignment(self) -> tuple[tuple[int, ...], ...]:
        """The parts that each worker holds, in the order in which it computes them."""
        return tuple(tuple(np.flatnonzero(row).tolist()) for row in self._matrix)

    @property
    def load(self) -> int:
        """How many parts the worker computes that holds most."""
        return max(map(len, self.assignment))

    def can_decode(self, responders: ArrayLike, *, dtype: DTypeLike = np.float64) -> bool:
        """Tell whether these workers' answers give the sum: exactly, but for approximate codes.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.
        dtype : dtype, optional
            Of the answers. Codes that amplify rounding need more of float32 than of float64.

        Returns
        -------
        bool

        Raises
        ------
        TypeError
            If `responders` holds no integers.
        ValueError
            If `responders` is not one-dimensional, is unsorted, repeats or leaves [0, N).
        """
        return self.amplification(responders) <= largest_amplification(np.dtype(dtype))

    def is_exact(self, responders: ArrayLike, *, dtype: DTypeLike = np.float64) -> bool:
        """Tell whether these workers' answers give the sum exactly; see `can_decode`."""
        workers = read_responders(responders, self.n_workers)
        amplified = self._amplification(workers, needs_exact=True)
        return amplified <= largest_amplification(np.dtype(dtype))

    def decode_vector(self, responders: ArrayLike) -> NDArray[np.float64]:
        """Give the weights a of the answers.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray, shape (R,)

        Raises
        ------
        NotEnoughRespondersError
            If `can_decode(responders)` is false (a ValueError too).
        TypeError, ValueError
            As `can_decode`.
        """
        workers = read_responders(responders, self.n_workers)
        self._require_enough(workers, np.dtype(np.float64))
        vector: NDArray[np.float64] = self._decoder(workers).dense()[0]
        return vector

    def residual(self, responders: ArrayLike) -> float:
        """Give ``|a B_F - 1|^2``, the squared error of the sum if parts are orthonormal.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending; those that cannot be decoded
            have a residual too, at most the number of parts.

        Returns
        -------
        float
            Rounding alone where the sum is exact.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        workers = read_responders(responders, self.n_workers)
        if not workers:
            return float(self.n_parts)
        missed = self._decoder(workers).dense() @ self._matrix[list(workers)] - 1.0
        return float(np.sum(missed**2))

    def amplification(self, responders: ArrayLike) -> float:
        """Give how much more rounding there may be than in a plain sum of the parts.

        That is ``sum_r |a_r| sum_i |B[r, i]| / parts``: the answers err by so many roundings of
        the largest part, and parts that come one by one by 1 each.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float
            1 where no weight is negative; inf where there are no answers, and for an exact code
            where these do not determine the sum in double precision.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        workers = read_responders(responders, self.n_workers)
        return self._amplification(workers, needs_exact=self.exact_first)

    def place(self, blocks: Sequence[Any]) -> PlacedData:
        """Let each worker keep the data of its parts, which come with its first task.

        A worker that was replaced gets them again: they stay here, too.

        Parameters
        ----------
        blocks : sequence
            The data of each part, `n_parts` of them: arrays, tensors, or anything that pickles.

        Returns
        -------
        PlacedData
            To be given to `coded_gradient` as ``data``, as often as you like.

        Raises
        ------
        TypeError
            If `blocks` has no length.
        ValueError
            If it has not one block a part.
        """
        return PlacedData(self, blocks, self.assignment)

    def whole(self, part: Part, parameters: Any, data: PlacedData | None = None) -> Any:
        """Give the sum of all parts without workers."""
        parts, ones = tuple(range(self.n_parts)), (1.0,) * self.n_parts
        if data is None:
            return WeightedSum(part, parts, ones)(parameters)
        return SumOverData(part, parts, ones)(data.blocks, parameters)

    def prepare(self, parameters: Any, data: PlacedData | None = None) -> GradientJob:
        """Make a job of which every worker gets the parameters as they are.

        Raises ValueError for arrays and tensors in it that are not finite, and for data that were
        placed by another code.
        """
        _require_finite(parameters, "parameters")
        if data is not None:
            data.require_of(self)
        return GradientJob(self, parameters, data)

    def __repr__(self) -> str:
        """One line that could be typed."""
        return f"{type(self).__name__}({self.n_workers}, {self._n_stragglers})"

    def __getstate__(self) -> dict[str, Any]:
        """Give the settings without decoders, which hold a lock."""
        held = ("_decoders", "_spares")
        return {name: value for name, value in vars(self).items() if name not in held}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings and start without decoders."""
        vars(self).update(state)
        self._matrix = read_only(self._matrix)
        self._decoders, self._spares = Decoders(), Decoders()

    def _lack(self, responders: Responders) -> str:  # noqa: ARG002 (families look at them)
        """Say in words that follow "needs" what these responders lack."""
        return f"any {self.min_responders} of them, or others whose rows combine to ones"

    def _require_enough(self, responders: Responders, dtype: np.dtype[Any]) -> None:
        """Raise NotEnoughRespondersError unless these can be decoded."""
        amplified, limit = self.amplification(responders), largest_amplification(dtype)
        if amplified <= limit:
            return
        need = self._lack(responders)
        if np.isfinite(amplified):
            need = (
                f"answers that amplify rounding by at most {limit:.0e} in {dtype}, and these do "
                f"by {amplified:.1e}"
            )
        raise NotEnoughRespondersError(
            f"{len(responders)} of {self.n_workers} workers answered, {self!r} needs {need}; "
            "wait for more answers, or make a code for more stragglers",
            responders=responders,
        )

    def _amplification(self, responders: Responders, *, needs_exact: bool) -> float:
        """Give it, or inf where the sum would not be exact and that is needed."""
        rows = self._matrix[list(responders)]
        if not responders or (needs_exact and not rows.any(axis=0).all()):  # parts are missing
            return float(np.inf)
        decoder = self._decoder(responders).dense()
        if needs_exact and np.isinf(exact_amplification(decoder, rows, np.ones((1, self.n_parts)))):
            return float(np.inf)
        return float(np.abs(decoder[0]) @ np.abs(rows).sum(axis=1)) / self.n_parts

    def _decoder(self, responders: Responders) -> LinearMap:
        """Give a as a map of the answers to one row; the latest ones are kept."""
        return self._decoders.get(responders, self._build_decoder)

    def _spare_answers(self, responders: Responders) -> SpareAnswers:
        """Give what tells whether these workers contradict each other; the latest are kept."""
        return self._spares.get(responders, self._build_spare_answers)

    def _build_spare_answers(self, responders: Responders) -> SpareAnswers:
        assignment = self.assignment
        return SpareAnswers(self._matrix[list(responders)], [assignment[n] for n in responders])

    def _build_decoder(self, responders: Responders) -> LinearMap:
        rows = self._matrix[list(responders)]
        return MatrixMap(least_norm_decoder(rows, np.ones((1, self.n_parts))))


class GradientJob:
    """One call of a gradient code: N tasks with the same parameters, one sum."""

    def __init__(self, code: GradientCode, parameters: Any, data: PlacedData | None) -> None:
        self._code, self._data = code, data
        self._assignment = code.assignment
        self._dtypes: set[np.dtype[Any]] = {np.dtype(np.float64)}  # of the answers read
        self.payloads: Sequence[tuple[Any, ...]] = [(parameters,)] * code.n_workers
        self.min_responders = code.min_responders
        self.exact_first = code.exact_first

    def function(self, worker: int, part: Part) -> WeightedSum | OnShare:
        """Give the weighted sum of the worker's parts."""
        parts = self._assignment[worker]
        weights = tuple(self._code.encoding_matrix[worker, list(parts)].tolist())
        if self._data is None:
            return WeightedSum(part, parts, weights)
        return self._data.placed.function(worker, SumOverData(part, parts, weights))

    def read(self, worker: int, answer: Any) -> tuple[Hashable, _Answer]:  # noqa: ARG002 (as of the protocol)
        """Give an answer as one array of real numbers; alike are those of one shape."""
        array, layout = read_answer(answer, read_array)
        self._dtypes.update(restore.dtype for restore in layout.restores)
        return layout.kind, (array, layout)

    def can_decode(self, responders: NDArray[np.intp]) -> bool:
        """Ask the code, for the coarsest dtype of the answers so far."""
        return self._code.can_decode(responders, dtype=coarsest(self._dtypes))

    def liars(self, answers: Sequence[_Answer], responders: NDArray[np.intp]) -> Responders:
        """Tell whose answers contradict those of all others, by those beyond the rank of B_F."""
        workers = tuple(responders.tolist())
        spare = self._code._spare_answers(workers) if workers else None
        if spare is None or spare.count == 0:
            return ()
        return spare.liars(together(answers)[0], [layout for _, layout in answers], workers)

    def decode(self, answers: Sequence[_Answer], responders: NDArray[np.intp]) -> Any:
        """Give the sum, in kind and nesting of the first answer and the dtype of all."""
        workers = read_responders(responders, self._code.n_workers)
        rows, layout = together(answers)
        self._code._require_enough(workers, coarsest({one.dtype for one in layout.restores}))
        total = apply_map(self._code._decoder(workers), rows, "answers")
        return layout.unpack(total[0, ...], lead=0)

    def exact_mask(self, responders: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell whether the sum is exact, shape ()."""
        return np.array(self._code.is_exact(responders, dtype=coarsest(self._dtypes)))

    def __repr__(self) -> str:
        """Give the code's own line."""
        return repr(self._code)


def _read_matrix(encoding_matrix: ArrayLike) -> Matrix:
    """Give B as a matrix that nobody can change."""
    array, _ = read_array(encoding_matrix, "encoding_matrix")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"encoding_matrix must have a row for each worker and a column for each part, got "
            f"shape {array.shape}"
        )
    require_finite(array, "encoding_matrix")
    for axis, what in ((1, "worker {} holds no part"), (0, "part {} is held by no worker")):
        empty = np.flatnonzero(~array.any(axis=axis))
        if empty.size:
            raise ValueError(
                f"encoding_matrix must have a number in each row and column, but "
                f"{what.format(empty[0])}; leave it out, or give it a weight"
            )
    return read_only(array.astype(np.float64))


def _require_finite(nest: Any, name: str) -> None:
    """Raise ValueError where an array or a tensor in a nest is not finite."""
    if isinstance(nest, tuple | list | dict):
        for key in nest if isinstance(nest, dict) else range(len(nest)):
            _require_finite(nest[key], f"{name}[{key!r}]")
        return
    if isinstance(nest, np.ndarray) and nest.dtype.kind == "f":
        is_finite = bool(np.isfinite(nest).all())
    elif is_torch_tensor(nest):
        is_finite = bool(nest.isfinite().all())
    else:
        return
    if not is_finite:
        raise ValueError(
            f"{name} must be finite, and has nan or inf in it; training has diverged perhaps, and "
            "a smaller step keeps it from that"
        )
