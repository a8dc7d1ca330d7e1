"""Lagrange coded computing over a prime field: integers, exact, private, liars corrected."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import (
    LARGEST_PRIME,
    IntArray,
    lagrange_matrix,
    product,
    random_residues,
    read_prime,
    reduced,
)
from coded.algebra.reed_solomon import check_matrix, locate_wrong_rows
from coded.arguments import read_count
from coded.maps.arrays import LinearMap, apply_map
from coded.maps.torch_compile import untraced
from coded.schemes.integers import read_integers, require_headroom
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import NotEnoughRespondersError, Responders
from coded.schemes.registry import Setting, Variant
from coded.seeds import read_seed
from fastspline.arrays import Restore, read_only


class FieldLagrangeScheme(LinearScheme):
    """Code a polynomial function of integers exactly, modulo a prime p.

    The encoder is the polynomial u of degree K + T - 1 through the K inputs and T uniformly
    random masks; worker n gets ``u(beta_n)``. For f a polynomial of degree d, applied modulo p,
    ``f(u(z))`` has degree at most ``(K + T - 1) d``, so any

        (K + T - 1) d + 1  answers

    determine it, and the outputs are its values at `alpha`: exact, without rounding. s answers
    more than these correct ``floor(s / 2)`` liars, whatever they answered (Reed-Solomon codes,
    Berlekamp and Welch's decoder). `min_responders` includes ``2 n_liars`` of them; `decode`
    takes fewer too, down to the threshold, and then corrects fewer, at the threshold none. More
    liars than can be corrected are an error, unless so many agree on another polynomial that
    the honest look like the liars; one is always noticed where s is 1, two where s is 3.

    **Numbers.** Inputs are integers in [-(p - 1) / 2, (p - 1) / 2], and so are coded inputs and
    outputs: an output is ``f(input)`` itself if that lies in this range, `headroom`, else it
    is what is congruent to it modulo p; that f stays in range is the caller's business.
    Answers may be any int64 congruent to f modulo p. One that overflowed 64 bits is wrong, and
    only spare answers show it: coded inputs are of the size of p, so a worker that evaluates a
    degree above 2, or adds up products, reduces in between, by `algebra.prime_field.balanced`.

    `encoding_matrix` and `decoding_matrix` hold int64 residues in [0, p), to multiply modulo p.

    **Privacy.** With ``n_colluders = T > 0`` any T workers together learn nothing about the
    inputs, for their coded inputs are uniform and independent of them. Each `encode` draws new
    masks from the operating system's entropy: two encodings with one mask would tell the
    difference of the inputs. That is what a given `rng` does, which is for tests only. With
    T = 0 the first K workers get the inputs themselves.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        ``N >= (K + T - 1) d + 1 + 2 n_liars``.
    degree : int
        d >= 1, of the polynomial f. Other functions decode to garbage, or are taken for liars.
    prime : int, optional
        p, odd and at most 2^31 - 1, the default and the largest prime that 64-bit arithmetic
        allows; at least the number of points, N, and N + K + T with T > 0.
    n_colluders : int, optional
        T >= 0, how many workers may pool what they were sent.
    n_liars : int, optional
        How many workers may answer anything, where `min_responders` workers answered.
    rng : int or numpy.random.Generator, optional
        Gives the masks, the same ones in each `encode`; for tests. It is not advanced.

    Raises
    ------
    TypeError
        If a count or the prime is no integer, or `rng` none of the two.
    ValueError
        If a count is out of range, N below the recovery threshold, or `prime` not prime, too
        small for the points or above 2^31 - 1.

    References
    ----------
    Q. Yu, S. Li, N. Raviv, S. M. M. Kalan, M. Soltanolkotabi, A. S. Avestimehr,
    "Lagrange Coded Computing: Optimal Design for Resiliency, Security, and Privacy",
    AISTATS 2019, arXiv:1806.00939, section 4 and theorem 1.

    Examples
    --------
    >>> scheme = FieldLagrangeScheme(3, 11, degree=2, n_colluders=1, n_liars=1)
    >>> scheme.min_responders
    9
    >>> coded_outputs = scheme.encode([5, -11, 1000]) ** 2
    >>> coded_outputs[4] = 7  # worker 4 lies, workers 9 and 10 do not answer
    >>> scheme.decode(coded_outputs[:9], range(9))
    array([     25,     121, 1000000])
    >>> scheme.find_liars(coded_outputs[:9], range(9))
    (4,)

    A worker for a higher degree:

    >>> from coded.algebra.prime_field import balanced
    >>> def cube(x, prime=scheme.prime):
    ...     return balanced(balanced(x * x, prime) * x, prime)
    """

    _numbers = "integer"
    _looks_at_answers = True

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        degree: int,
        prime: SupportsIndex = LARGEST_PRIME,
        n_colluders: int = 0,
        n_liars: int = 0,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_inputs, n_workers, None)
        self._degree = read_count(degree, "degree", at_least=1)
        self._n_colluders = read_count(n_colluders, "n_colluders", at_least=0)
        self._n_liars = read_count(n_liars, "n_liars", at_least=0)
        sources = self._n_inputs + self._n_colluders
        self._threshold = (sources - 1) * self._degree + 1
        needed = self._threshold + 2 * self._n_liars
        if self._n_workers < needed:
            raise ValueError(
                "n_workers must be >= (n_inputs + n_colluders - 1) * degree + 1 + 2 * n_liars = "
                f"{needed}, got {self._n_workers}; add workers, or lower one of the others"
            )
        self._n_stragglers = self._n_workers - needed
        # Without masks the workers' points may be the inputs': then workers hold inputs themselves.
        first = sources if self._n_colluders else 0
        self._prime = read_prime(prime, "prime", at_least=max(3, first + self._n_workers))
        self._seed = None if rng is None else read_seed(rng)
        self._alpha = np.arange(sources)
        self._beta = np.arange(first, first + self._n_workers)

    @property
    def degree(self) -> int:
        """Degree d of the polynomials that are decoded exactly."""
        return self._degree

    @property
    def prime(self) -> int:
        """The prime p, modulo which everything is computed."""
        return self._prime

    @property
    def n_colluders(self) -> int:
        """T, how many workers together learn nothing about the inputs."""
        return self._n_colluders

    @property
    def n_liars(self) -> int:
        """How many wrong answers `min_responders` answers correct."""
        return self._n_liars

    @property
    def headroom(self) -> int:
        """Largest magnitude of inputs and outputs, (p - 1) / 2; larger outputs wrap around."""
        return (self._prime - 1) // 2

    @property
    def alpha(self) -> IntArray:
        """Points of the inputs, ascending, shape (K,)."""
        return read_only(self._alpha[: self._n_inputs])

    @property
    def beta(self) -> IntArray:
        """Points of the workers, ascending, shape (N,)."""
        return read_only(self._beta)

    @property
    def encoding_matrix(self) -> NDArray[Any]:
        """The encoder's matrix for the inputs, int64 residues, shape (N, K); masks are added."""
        return read_only(self._encoder().dense()[:, : self._n_inputs])

    @untraced
    def encode(self, inputs: ArrayLike) -> NDArray[Any]:
        """Turn K inputs into N coded inputs, ``encoding_matrix @ inputs`` and masks, modulo p.

        Parameters
        ----------
        inputs : array_like of int, shape (K, ...)
            Integers of any dtype, numpy or torch, in [-(p - 1) / 2, (p - 1) / 2].

        Returns
        -------
        array of int64 of the kind of `inputs`, shape (N, ...)
            Coded input n is for worker n; in the same range. With masks it is another one
            each time, unless `rng` is given.

        Raises
        ------
        TypeError
            If `inputs` holds no integers.
        ValueError
            If axis 0 has not K rows, or a number is out of range.
        """
        array, restore = self._read_inputs(inputs)
        masks = self._draw_masks((self._n_colluders, *array.shape[1:]))
        return restore(apply_map(self._encoder(), np.concatenate((array, masks)), "inputs"))

    @untraced
    def decode(self, coded_outputs: ArrayLike, responders: ArrayLike) -> NDArray[Any]:
        """Give the outputs of all inputs from the answers of some workers, liars corrected.

        Parameters
        ----------
        coded_outputs : array_like of int, shape (R, ...)
            Answers in the order of `responders`, any integers congruent to f modulo p; numpy or
            torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        array of int64 of the kind of `coded_outputs`, shape (K, ...)
            ``f(inputs)`` modulo p, in [-(p - 1) / 2, (p - 1) / 2].

        Raises
        ------
        TypeError
            If `coded_outputs` or `responders` holds no integers.
        ValueError
            If `responders` is unsorted, repeats, leaves [0, N) or has not the length
            of `coded_outputs`, or if an answer does not fit in int64.
        NotEnoughRespondersError
            If ``can_decode(responders)`` is false, or if more of these answers are wrong than
            can be corrected (a ValueError too).
        """
        return super().decode(coded_outputs, responders)

    @untraced
    def find_liars(self, coded_outputs: ArrayLike, responders: ArrayLike) -> Responders:
        """Tell which workers answered wrongly, half as many as there are spare answers at most.

        Parameters
        ----------
        coded_outputs : array_like of int, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        tuple of int
            Workers, ascending; a worker is a liar if any of its numbers is wrong.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`, which corrects them; NotEnoughRespondersError too if there are more
            liars than these answers can correct.
        """
        array, _, workers = self._read_answers(coded_outputs, responders)
        return tuple(self._liars(self._plan(workers), array, workers).tolist())

    def exact_mask(self, responders: ArrayLike) -> NDArray[np.bool_]:
        """Tell which outputs are exact: all of them, f being a polynomial of the given degree.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray of bool, shape (K,)
            All true where these responders can be decoded, as far as they can correct the liars.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        return np.full(self._n_inputs, self.can_decode(responders))

    def read_numbers(self, values: ArrayLike, name: str) -> tuple[NDArray[Any], Restore]:
        """Give `values` as an int64 array, and the way back to the caller's kind.

        Parameters
        ----------
        values : array_like of int
            Inputs or answers, numpy or torch, of any integer dtype.
        name : str
            What the caller calls them; it begins every error message.

        Returns
        -------
        array : ndarray of int64
        restore : callable
            Turns a result into an int64 array of the kind of `values`, numpy or torch.

        Raises
        ------
        TypeError
            If `values` holds other numbers than integers, is ragged or masked.
        ValueError
            If a number does not fit in int64.
        """
        return read_integers(values, name, "LagrangeScheme")

    def _read_inputs(self, inputs: ArrayLike) -> tuple[NDArray[Any], Restore]:
        array, restore = super()._read_inputs(inputs)
        require_headroom(array, "inputs", self._prime)
        return array, restore

    def _read_answers(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[NDArray[Any], Restore, Responders]:
        array, restore, workers = super()._read_answers(coded_outputs, responders)
        return reduced(array, self._prime), restore, workers

    def _draw_masks(self, shape: tuple[int, ...]) -> IntArray:
        if self._seed is None:
            return random_residues(shape, self._prime)
        return np.random.default_rng(self._seed).integers(0, self._prime, shape)

    def _build_encoder(self) -> LinearMap:
        """Make the map from inputs and masks."""
        return FieldMap(lagrange_matrix(self._alpha, self._beta, self._prime), self._prime)

    def _build_decoder(self, responders: Responders) -> LinearMap:
        """Take the first answers that suffice to outputs, and to the other answers as a check."""
        points = self._beta[list(responders)]
        nodes = points[: self._threshold]
        matrix = np.zeros((self._n_inputs, len(points)), np.int64)
        matrix[:, : self._threshold] = lagrange_matrix(nodes, self.alpha, self._prime)
        return _CheckedMap(matrix, self._prime, check_matrix(points, self._threshold, self._prime))

    def _choose_decoder(self, coded_outputs: NDArray[Any], responders: Responders) -> LinearMap:
        """Leave out the liars."""
        plan = self._plan(responders)
        liars = self._liars(plan, coded_outputs, responders)
        if liars.size == 0:
            return plan
        is_honest = ~np.isin(responders, liars)
        honest = tuple(np.array(responders)[is_honest].tolist())
        matrix = np.zeros_like(plan.matrix)
        matrix[:, is_honest] = self._plan(honest).matrix
        return FieldMap(matrix, self._prime)

    def _plan(self, responders: Responders) -> _CheckedMap:
        return cast(_CheckedMap, self._decoder(responders))  # `_build_decoder` makes no others

    def _liars(
        self, plan: _CheckedMap, coded_outputs: NDArray[Any], responders: Responders
    ) -> NDArray[np.intp]:
        """Give the workers whose answers are on no polynomial with the others'."""
        workers = np.array(responders)
        symbols = coded_outputs.reshape(len(workers), -1)
        rows = locate_wrong_rows(self._beta[workers], symbols, plan.check, self._prime)
        if rows is None:
            surplus = len(responders) - self._threshold
            raise NotEnoughRespondersError(
                f"more of the {len(responders)} answers are wrong than can be corrected: {self!r} "
                f"corrects {surplus // 2} with {surplus} answers above its threshold "
                f"{self._threshold}; wait for 2 more answers per liar, and check that fn is a "
                f"polynomial of degree <= {self._degree} whose integers do not overflow",
                responders=responders,
            )
        return workers[rows]

    def _suffices(self, responders: Responders) -> bool:
        return len(responders) >= self._threshold

    def _need(self, responders: Responders) -> str:  # noqa: ARG002 (the hook's signature)
        return f"{self._threshold} answers, and 2 more for each liar"

    def _held(self) -> NDArray[np.intp]:
        workers = np.arange(self._n_workers)
        return np.where((workers < self._n_inputs) & (self._n_colluders == 0), workers, -1)

    def _settings(self) -> str:
        options = {"n_colluders": self._n_colluders, "n_liars": self._n_liars}
        chosen = "".join(f", {name}={count}" for name, count in options.items() if count)
        return f", degree={self._degree}, prime={self._prime}{chosen}"


@dataclass(frozen=True, eq=False)
class FieldMap:
    """A linear map modulo p given by its matrix of residues, shape (m, n)."""

    matrix: IntArray
    prime: int

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Multiply each column of `values`, in (-p, p), by the matrix; balanced results."""
        columns = values.reshape(len(values), -1)
        result = product(self.matrix, columns, self.prime, lowest=-(self.prime // 2))
        return result.reshape(len(self.matrix), *values.shape[1:])

    def adjoint(self, cotangent: NDArray[Any]) -> NDArray[Any]:
        """Multiply each column of `cotangent` by the transpose, modulo p."""
        return FieldMap(self.matrix.T, self.prime)(cotangent)

    def dense(self) -> NDArray[Any]:
        """Give the matrix, shape (m, n)."""
        return self.matrix


@dataclass(frozen=True, eq=False)
class _CheckedMap(FieldMap):
    """The decoder of one responder set, and the matrix from its answers to those left over."""

    check: IntArray


def _make(setting: Setting, n_colluders: int) -> FieldLagrangeScheme:
    if setting.degree is None:
        raise ValueError("f must be a polynomial of known degree")
    return FieldLagrangeScheme(
        setting.n_inputs,
        setting.n_workers,
        degree=setting.degree,
        n_colluders=n_colluders,
        n_liars=setting.n_liars,
    )


_GUARANTEE = "exact from (K + T - 1) d + 1 answers, 2 more for each liar"
VARIANTS = {
    "field-lagrange": Variant(
        partial(_make, n_colluders=0),
        "polynomial",
        _GUARANTEE,
        numbers=FieldLagrangeScheme._numbers,
    ),
    "field-lagrange-private": Variant(
        partial(_make, n_colluders=1),
        "polynomial",
        "the same, T = 1",
        numbers=FieldLagrangeScheme._numbers,
    ),
}
