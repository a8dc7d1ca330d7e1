"""Secure MatDot codes over the reals: complex blocks behind Gaussian masks, at roots of unity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.consistency import Check
from coded.algebra.linear_decoder import exact_amplification, least_norm_decoder
from coded.algebra.masking import ComplexArray, gaussian_leakage, gaussian_masks
from coded.algebra.wrong_rows import locate_wrong_rows
from coded.arguments import read_count, read_number
from coded.maps.arrays import is_finite
from coded.products.multiply import multiply
from coded.schemes.decoders import Decoders
from coded.schemes.door import read_responders, refuse_gradient
from coded.schemes.exact import LARGEST_AMPLIFICATION
from coded.schemes.protocol import (
    Function,
    InconsistentAnswersError,
    NotEnoughRespondersError,
    Responders,
)
from coded.secure.analog_job import AnalogJob
from coded.secure.secure_code import SecureMatmulCode, require_workers
from coded.seeds import read_seed
from fastspline.arrays import FloatArray, Restore, read_array, read_only, require_finite

_LARGEST = float(np.finfo(np.float64).max) / LARGEST_AMPLIFICATION  # of what is decoded


class Plan(NamedTuple):
    """How C comes from the answers of one set of responders."""

    decoder: ComplexArray  # (answers,)
    amplification: float
    check: Check


class AnalogMatmulCode(SecureMatmulCode):
    """Hide real A and B behind Gaussian masks; any 2 (p + T) - 1 answers give C, up to rounding.

    The inner dimension is cut into 2 p blocks, two of which become one complex block:
    ``A_j = A'_j - i A''_j`` and ``B_j = B'_j + i B''_j``, so that the real part of ``A_j B_j`` is
    ``A'_j B'_j + A''_j B''_j`` ("complexification": half the arithmetic of real numbers in complex
    blocks). These are coded as by `SecureMatDotMatmulCode`, with complex Gaussian masks of
    deviation `mask_std`, at the N-th roots of unity, where powers are well conditioned; of all
    decoders that are exact the one of least norm is used.

    **Privacy is a matter of degree.** No T workers learn more than `leakage` says; it falls as
    ``1 / mask_std^2``, and sets of neighbours see most. No float hides anything altogether: where
    that is needed, quantise and take `SecureMatDotMatmulCode`. Rounding errors grow as
    ``mask_std^2``: numbers of size 1 behind masks of 1e3 keep about 9 digits, behind 1e6 about 3.
    Masks are drawn anew for each product from the operating system's cryptographic source.

    Responders that amplify errors by more than 1e8 are refused; a product warns where masks have
    eaten all digits.

    Parameters
    ----------
    p : int
        Complex blocks of the inner dimension, >= 1; a worker multiplies 1 / p of it, in four
        real products of half the size.
    n_workers : int
        N >= 2 (p + T) - 1.
    n_colluders : int, optional
        T >= 1.
    mask_std : float
        Deviation of the masks, > 0, in units of the entries of A and of B.
    rng : int or numpy.random.Generator, optional
        Gives the masks, the same ones in each product, which tells differences: for tests.

    Raises
    ------
    TypeError
        If a count is no integer, or `mask_std` or `rng` of the wrong kind.
    ValueError
        If a count is out of range, N too small, or `mask_std` not positive and finite.

    References
    ----------
    O. Makkonen, C. Hollanti, "Analog Secure Distributed Matrix Multiplication", 2025,
    arXiv:2508.17479: interpolation at roots of unity, complexification, and leakage as the
    capacity of a Gaussian channel.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import AnalogMatmulCode, secure_matmul
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(6, 8)), rng.normal(size=(8, 5))
    >>> code = AnalogMatmulCode(2, 6, mask_std=1e3)
    >>> with ThreadPoolExecutor() as pool:
    ...     result = secure_matmul(a, b, code, pool)
    >>> np.allclose(result.outputs, a @ b, atol=1e-6)
    True
    >>> f"{max(code.leakage([n], power=1.0) for n in range(6)):.1e} bits about four numbers"
    '5.8e-06 bits about four numbers'
    """

    def __init__(
        self,
        p: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        n_colluders: SupportsIndex = 1,
        mask_std: float,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        self._p = read_count(p, "p", at_least=1)
        self._n_colluders = read_count(n_colluders, "n_colluders", at_least=1)
        self.min_responders = 2 * (self._p + self._n_colluders) - 1
        self.n_workers = require_workers(n_workers, self.min_responders, "2 (p + n_colluders) - 1")
        self._mask_std = read_number(mask_std, "mask_std", "(0, inf)")
        self._seed = None if rng is None else read_seed(rng)
        self._plans: Decoders[Plan] = Decoders()

    def __getstate__(self) -> dict[str, Any]:
        """Give all but the decoders, which hold a lock."""
        return {name: value for name, value in vars(self).items() if name != "_plans"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the settings and start without decoders."""
        vars(self).update(state)
        self._plans = Decoders()

    @property
    def n_colluders(self) -> int:
        """T, how many workers the masks protect against."""
        return self._n_colluders

    @property
    def mask_std(self) -> float:
        """Deviation of the masks."""
        return self._mask_std

    @property
    def load(self) -> float:
        """What a worker computes, as a share of the real product: a complex one is worth four."""
        return 2.0 / self._p

    @property
    def function(self) -> Function:
        """What a worker runs on its two shares."""
        return multiply

    @property
    def encoding_matrices(self) -> tuple[ComplexArray, ComplexArray]:
        """P and Q, shapes (N, p + T) both, the T columns of the masks last; read-only."""
        p, masks = self._p, [*range(self._p, self._p + self._n_colluders)]
        left = self._powers([*range(p), *masks])
        return read_only(left), read_only(self._powers([*range(p - 1, -1, -1), *masks]))

    def can_decode(self, responders: ArrayLike) -> bool:
        """Tell whether the answers of these workers give C.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        bool

        Raises
        ------
        TypeError, ValueError
            If `responders` are no such indices.
        """
        return self.amplification(responders) <= LARGEST_AMPLIFICATION

    def amplification(self, responders: ArrayLike) -> float:
        """Give the largest factor by which errors of the answers grow in C.

        Answers are as large as masks make them, and so are their errors.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float
            ``sum_r |D_r|``; inf where the answers do not determine C. 1 where all N answered.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        return self._plan(read_responders(responders, self.n_workers)).amplification

    def condition(self, responders: ArrayLike) -> float:
        """Give the condition number of the powers of these workers' points.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        who = read_responders(responders, self.n_workers)
        if len(who) < self.min_responders:
            return float(np.inf)
        sizes = np.linalg.svd(self._rows(who), compute_uv=False)
        return float(sizes[0] / sizes[-1]) if sizes[-1] > 0.0 else float(np.inf)

    def leakage(self, workers: ArrayLike, *, power: float) -> float:
        """Bound what some workers together learn about A or about B from one product.

        The capacity of the Gaussian channel through which they see its blocks, see
        `AnalogLagrangeScheme.leakage`. For one worker it is
        ``log2(1 + 2 p power / (T mask_std^2))``.

        Parameters
        ----------
        workers : array_like of int, shape (C,)
            Who puts together what they see, strictly ascending.
        power : float
            Mean square of an entry of A and of B. Entries of different blocks must be
            uncorrelated; for others pass 2 p times their power: no correlation does more.

        Returns
        -------
        float
            Bits about the 2 p numbers at one position of all blocks of A, or of B, whichever is
            more; inf for more than `n_colluders` workers.

        Raises
        ------
        TypeError, ValueError
            If `workers` are no such indices, or `power` is not positive and finite.
        """
        who = list(read_responders(workers, self.n_workers))
        power = 2.0 * read_number(power, "power", "(0, inf)")  # of a complex number
        return max(
            gaussian_leakage(
                matrix[who, : self._p],
                matrix[who, self._p :],
                power=power,
                mask_std=self._mask_std,
            )
            for matrix in self.encoding_matrices
        )

    def whole(self, fn: Any, a: ArrayLike, b: ArrayLike) -> Any:
        """Give the product without workers, and without secrets."""
        return fn(a, b)

    def prepare(self, a: ArrayLike, b: ArrayLike) -> AnalogJob:
        """Read the operands, draw masks, and encode.

        Parameters
        ----------
        a, b : array_like, shapes (r, s) and (s, c) or (s,)
            Numpy arrays or torch tensors of finite real numbers.

        Returns
        -------
        Job
            Its ``decode`` gives C, in the kind of array and the dtype of `a`.

        Raises
        ------
        TypeError, ValueError
            If they are no matrices that can be multiplied, or products of shares may overflow.
        """
        left, restore = _read(a, "a", self)
        right, other = _read(b, "b", self)
        is_vector = right.ndim == 1
        right = right[:, None] if is_vector else right
        is_empty = not (left.size and right.size)
        if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0] or is_empty:
            raise ValueError(
                f"a has shape {left.shape} and b {right.shape}, but a product needs matrices that "
                "are not empty, with as many columns of a as rows of b; reshape one of them"
            )
        if restore.device != other.device:
            raise TypeError(
                f"a lies on {restore.device or 'numpy'}, b on {other.device or 'numpy'}; pass both "
                "as arrays, or both as tensors on one device"
            )
        rng = None if self._seed is None else np.random.default_rng(self._seed)
        blocks = self._complex(left.T, -1j).swapaxes(1, 2), self._complex(right, 1j)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            shares = [
                self._mix(matrix, side, rng)
                for matrix, side in zip(self.encoding_matrices, blocks, strict=True)
            ]
            largest = float(np.prod([np.abs(one).max() for one in shares]) * shares[0].shape[2])
        if not largest <= _LARGEST / self.n_workers:
            raise ValueError(
                f"mask_std, a and b must be so small that no product of shares overflows, got "
                f"mask_std = {self._mask_std:.1e}, and entries of up to {np.abs(left).max():.1e} "
                f"and {np.abs(right).max():.1e}; scale them down"
            )
        is_nothing = not (left.any() and right.any())
        pair = shares[0], shares[1]
        return AnalogJob(self, pair, restore, is_vector=is_vector, is_nothing=is_nothing)

    def decode(self, answers: ComplexArray, responders: Responders) -> FloatArray:
        """Give C from answers, shape (R, r, c).

        Raises
        ------
        NotEnoughRespondersError
            If the answers of these workers do not determine it.
        """
        plan = self._plan(responders)
        if not plan.amplification <= LARGEST_AMPLIFICATION:
            raise NotEnoughRespondersError(
                f"{len(responders)} of {self.n_workers} workers answered, {self!r} needs "
                f"{self.need(responders)}; wait for more answers, or raise n_workers",
                responders=responders,
            )
        return np.ascontiguousarray(np.tensordot(plan.decoder, answers, 1).real)

    def liars(
        self, answers: ComplexArray, responders: Responders, rounding: FloatArray
    ) -> Responders:
        """Tell whose answers, shape (R, numbers), contradict all others, beyond rounding.

        `rounding`, shape (numbers,), is by how much a right answer may be off. Half as many as are
        spare at most. Raises InconsistentAnswersError where that is not to be told.
        """
        check = self._plan(responders).check
        columns = check.contradicted(answers)
        # What is measured by its own size may be small, of large numbers that cancelled.
        columns = columns[~self._agree(answers[:, columns], responders, rounding[columns])]
        if columns.size == 0:
            return ()
        answers, rounding = answers[:, columns], rounding[columns]
        most = (len(responders) - self.min_responders) // 2
        verdict = locate_wrong_rows(check.model(), answers, most, check)
        if verdict.wrong is not None:
            wrong = list(verdict.wrong)
            for i in verdict.wrong:  # the same again: nobody is accused of rounding
                kept = np.delete(np.arange(len(responders)), [n for n in wrong if n != i])
                who = tuple(responders[n] for n in kept)
                if self._agree(answers[kept], who, rounding).all():
                    wrong.remove(i)
            return tuple(responders[i] for i in wrong)
        raise InconsistentAnswersError(
            f"{len(responders)} answers contradict each other beyond rounding, so that a worker "
            "answers wrongly; wait for two more answers per liar",
            residual=float(check.measured(answers)[1].max()),
            suspects=[responders[i] for i in verdict.suspects],
        )

    def _agree(
        self, answers: ComplexArray, responders: Responders, rounding: FloatArray
    ) -> NDArray[np.bool_]:
        """Tell of each column whether rounding explains by how much answers contradict."""
        basis = self._plan(responders).check.basis
        with np.errstate(over="ignore", invalid="ignore"):  # lies may be of any size
            missed = np.linalg.norm(basis @ answers, axis=0)
        agree: NDArray[np.bool_] = missed <= np.sqrt(len(responders)) * rounding
        return agree

    def need(self, responders: Responders) -> str:
        """Say what answers that do not suffice lack, in words that follow "needs"."""
        if len(responders) < self.min_responders:
            return f"any {self.min_responders} answers"
        return f"answers that amplify errors by at most {LARGEST_AMPLIFICATION:.0e}"

    def __repr__(self) -> str:
        """One line that could be typed."""
        return (
            f"AnalogMatmulCode({self._p}, {self.n_workers}, n_colluders={self._n_colluders}, "
            f"mask_std={self._mask_std:g})"
        )

    def _complex(self, rows: FloatArray, unit: complex) -> ComplexArray:
        """Cut rows into 2 p blocks, two of which make one of p complex ones."""
        height = -(-len(rows) // (2 * self._p))
        full = np.zeros((2 * self._p * height, rows.shape[1]))
        full[: len(rows)] = rows
        halves = full.reshape(self._p, 2, height, rows.shape[1])
        blocks: ComplexArray = halves[:, 0] + unit * halves[:, 1]
        return blocks

    def _mix(
        self, matrix: ComplexArray, blocks: ComplexArray, rng: np.random.Generator | None
    ) -> ComplexArray:
        shape = (self._n_colluders, *blocks.shape[1:])
        sources = np.concatenate((blocks, gaussian_masks(shape, self._mask_std, rng)))
        mixed: ComplexArray = np.tensordot(matrix, sources, 1)
        return mixed

    def _powers(self, exponents: Sequence[int]) -> ComplexArray:
        """Give the powers of the N-th roots of unity, shape (N, exponents)."""
        steps = np.outer(np.arange(self.n_workers), exponents) % self.n_workers
        roots: ComplexArray = np.exp(2j * np.pi * steps / self.n_workers)
        return roots

    def _rows(self, responders: Responders) -> ComplexArray:
        """Give what answers are of the coefficients of f g, a row an answer."""
        return self._powers(range(self.min_responders))[list(responders)]

    def _plan(self, responders: Responders) -> Plan:
        """Give the decoder of one responder set; the latest ones are kept."""
        return self._plans.get(responders, self._build)

    def _build(self, responders: Responders) -> Plan:
        wanted = np.zeros((1, self.min_responders), np.complex128)
        wanted[0, self._p - 1] = 1.0
        rows = self._rows(responders)
        check = Check(lambda: rows)
        if len(responders) < self.min_responders:
            return Plan(np.zeros(len(responders), np.complex128), float(np.inf), check)
        decoder = least_norm_decoder(rows, wanted)
        return Plan(decoder[0], exact_amplification(decoder, rows, wanted), check)


def _read(operand: ArrayLike, name: str, code: object) -> tuple[FloatArray, Restore]:
    """Read finite real numbers whose gradient is not asked for."""
    refuse_gradient(operand, name, code)
    array, restore = read_array(operand, name)
    if not is_finite(array):
        require_finite(array, name)
    return array, restore
