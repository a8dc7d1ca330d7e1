"""Regression by workers that learn nothing of the data: CodedPrivateML on the runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from math import hypot
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import LARGEST_PRIME, IntArray
from coded.arguments import read_count, read_number
from coded.private.quantiser import Floats, Quantiser, evaluate_block, read_coefficients
from coded.private.rows import read_rows
from coded.runtime.request import read_request
from coded.runtime.result import CodedResult, Indices
from coded.runtime.terms import Terms
from coded.runtime.waiting import answer
from coded.schemes.field_lagrange import FieldLagrangeScheme
from coded.schemes.protocol import Function
from coded.seeds import derived
from coded.workers.placed import Placed
from fastspline.arrays import read_array, read_only, read_vector, require_finite

_MOST_BITS = 30  # the largest field has 31, of which one is the sign
_STEEPEST = 0.25  # slope of the sigmoid


class PrivateRegression:
    """Logistic or linear regression whose N workers learn nothing of the data.

    Training descends the gradient of n rows X and labels y,

        ``X^T (g(X w) - y),   g(z) = c_0 + c_1 z + ... + c_r z^r``,

    with a polynomial g in place of the sigmoid. The rows are cut into K blocks, rounded to
    integers, coded by `FieldLagrangeScheme` together with T random masks, and sent to the workers
    once. A step codes the rounded weights likewise. A worker computes ``X^T g(X w)`` of the block
    and the weights that it has, modulo p: a polynomial of degree 2 r + 1 in what was coded, so that
    any

        (2 r + 1) (K + T - 1) + 1  answers

    give those of all blocks, exactly: the gradient is that of the rounded numbers, whoever
    answered. More answers correct a liar for every two of them. Labels stay here.

    **Privacy.** Any T workers together learn nothing, whatever they compute, of rows, labels,
    weights and gradients: what they hold is uniform. They know the sizes of blocks, g, and the
    number of steps. That takes N executors, of machines that do not pool what they get, in the same
    order in all steps. A single pool, or Dask's one executor, sees everything: it is for trying
    out. A task is never given to another worker, hence no retries and no hedges. Whoever calls
    this sees everything too. Owners who hide their rows from each other code them each by itself,
    and workers add up what they are sent (the recipe: tests/coded/private/test_owners.py);
    `CollaborativeRegression` hides weights and gradients from them too.

    **Rounding.** Inputs are rounded to `input_bits` behind the binary point, weights at random up
    or down to `weight_bits`, which is right on average. Nothing wraps modulo p unnoticed: that no
    entry of a block's answer can is proved here for all weights up to the norm `largest_radius`,
    and a step from larger ones is refused.

    Parameters
    ----------
    inputs : array_like, shape (n, d)
        X: finite numbers of about the size of 1. A column of ones gives an intercept.
    labels : array_like, shape (n,)
        y: 0 and 1 for the sigmoid, any finite numbers for linear regression.
    n_blocks : int
        K in [1, n]. A worker has n / K rows, filled up with zeros.
    n_workers : int
        ``N >= (2 r + 1) (K + T - 1) + 1 + 2 n_liars``.
    n_colluders : int, optional
        T >= 1.
    coefficients : sequence of float, optional
        ``c_0, ..., c_r`` with r >= 1: a `sigmoid_polynomial`, the default that of degree 1, or
        ``(0, 1)`` for linear regression. Degree 3 leaves but 2 bits to inputs and to weights.
    n_liars : int, optional
        How many wrong answers the least number of answers must correct.
    input_bits, weight_bits : int, optional
        In [0, 30].
    radius : float, optional
        A norm of weights that training must be able to reach.
    prime : int, optional
        p, as for `FieldLagrangeScheme`.
    rng : int or numpy.random.Generator, optional
        Gives the rounding of the weights, and the masks, the same ones in each step, which betrays
        the weights: for tests. It is not advanced. By default both come from the operating
        system's entropy.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If shapes, counts or numbers are not allowed, N is too small, all inputs are rounded to 0,
        or weights of norm `radius` could make an answer wrap; it names bits that fit.

    References
    ----------
    J. So, B. Guler, A. S. Avestimehr, "CodedPrivateML: A Fast and Privacy-Preserving Framework for
    Distributed Machine Learning", IEEE JSAIT 2 (2021), arXiv:1902.00641.

    J. So, B. Guler, A. S. Avestimehr, "A Scalable Approach for Privacy-Preserving Collaborative
    Machine Learning" (COPML), NeurIPS 2020, arXiv:2011.01963.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import PrivateRegression
    >>> inputs = np.column_stack([np.linspace(-1.0, 1.0, 40), np.ones(40)])
    >>> labels = inputs[:, 0] > 0.25
    >>> regression = PrivateRegression(inputs, labels, 2, 8)
    >>> regression.min_responders
    7
    >>> with ThreadPoolExecutor() as pool:  # for N workers: their N executors
    ...     fitted = regression.fit(pool, n_steps=50)
    >>> float(np.mean((fitted.predict(inputs) > 0.5) == labels)) > 0.9
    True
    """

    def __init__(
        self,
        inputs: ArrayLike,
        labels: ArrayLike,
        n_blocks: int,
        n_workers: int,
        *,
        n_colluders: int = 1,
        coefficients: Sequence[float] | None = None,
        n_liars: int = 0,
        input_bits: int = 4,
        weight_bits: int = 6,
        radius: float = 10.0,
        prime: SupportsIndex = LARGEST_PRIME,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        rows, targets = read_rows(inputs, labels)
        self._n_blocks = read_count(n_blocks, "n_blocks", at_least=1, at_most=len(rows))
        self._quantiser = Quantiser(
            read_count(input_bits, "input_bits", at_least=0, at_most=_MOST_BITS),
            read_count(weight_bits, "weight_bits", at_least=0, at_most=_MOST_BITS),
            read_coefficients(coefficients),
        )
        n_colluders = read_count(n_colluders, "n_colluders", at_least=1)
        n_liars = read_count(n_liars, "n_liars", at_least=0)
        degree = 2 * self._quantiser.degree + 1  # of X^T g(X w) in X and w
        needed = degree * (self._n_blocks + n_colluders - 1) + 1 + 2 * n_liars
        if read_count(n_workers, "n_workers", at_least=1) < needed:
            raise ValueError(
                "n_workers must be >= (2 r + 1) * (n_blocks + n_colluders - 1) + 1 + 2 * n_liars = "
                f"{needed} for g of degree r = {self._quantiser.degree}, got {n_workers}; add "
                "workers, or take fewer blocks"
            )
        self._scheme = FieldLagrangeScheme(
            self._n_blocks,
            n_workers,
            degree=degree,
            prime=prime,
            n_colluders=n_colluders,
            n_liars=n_liars,
            rng=rng,
        )
        self._rng = np.random.default_rng() if rng is None else derived(rng)
        blocks = self._cut(rows)
        self._largest_radius = self._quantiser.require_room(
            blocks, self._scheme.headroom, read_number(radius, "radius", "[0, inf)")
        )
        rounded = self._quantiser.round_inputs(blocks)
        if not rounded.any():
            raise ValueError(
                f"inputs must not all be rounded to 0, as with input_bits = {input_bits} all are; "
                "take more bits, or scale the inputs up"
            )
        quantised = rounded.reshape(-1, rows.shape[1])[: len(rows)] * 2.0**-self.input_bits
        self._pull = quantised.T @ targets  # X^T y
        # ||X||^2; by singular values it takes most of the time of all that is done here.
        wide = quantised.T if len(rows) > rows.shape[1] else quantised
        self._steepness = float(np.linalg.eigvalsh(wide @ wide.T)[-1])
        coded_inputs = self._scheme.encode(rounded.astype(np.int64))
        self._placed = Placed(list(coded_inputs.astype(np.int32)))  # all of the field fits

    @property
    def n_workers(self) -> int:
        """N, the number of workers."""
        return self._scheme.n_workers

    @property
    def min_responders(self) -> int:
        """How many answers a step waits for, ``(2 r + 1) (K + T - 1) + 1 + 2 n_liars``."""
        return self._scheme.min_responders

    @property
    def coefficients(self) -> tuple[float, ...]:
        """The coefficients of g, ``c_0, ..., c_r``."""
        return self._quantiser.coefficients

    @property
    def input_bits(self) -> int:
        """Bits of the inputs behind the binary point."""
        return self._quantiser.input_bits

    @property
    def weight_bits(self) -> int:
        """Bits of the weights behind the binary point."""
        return self._quantiser.weight_bits

    @property
    def largest_radius(self) -> float:
        """The norm of weights up to which no answer can wrap; `step` refuses larger ones."""
        return self._largest_radius

    def __repr__(self) -> str:
        """One line with the scheme and the bits."""
        return (
            f"PrivateRegression({self._scheme!r}, input_bits={self.input_bits}, "
            f"weight_bits={self.weight_bits}, largest_radius={self._largest_radius:.4g})"
        )

    def step(
        self,
        weights: ArrayLike,
        executor: Executor | Sequence[Executor],
        *,
        timeout: float | None = None,
        wait_for: int | None = None,
    ) -> CodedResult:
        """Compute the gradient of the whole data set at these weights.

        Parameters
        ----------
        weights : array_like, shape (d,)
            w, of at most the norm `largest_radius`.
        executor : Executor or sequence of Executor
            N executors, worker n's is ``executor[n]``, in the same order in all steps. Or a
            single one, which is not private. The caller's, as for `coded_map`.
        timeout : float, optional
            The step ends at the latest after so many seconds.
        wait_for : int, optional
            How many answers to wait for, in [1, N]; more than `min_responders` correct more liars.

        Returns
        -------
        CodedResult
            `outputs` is the gradient ``X^T (g(X w) - y)``, shape (d,), of the rounded X and w.

        Raises
        ------
        TypeError
            If an argument is of the wrong kind.
        ValueError
            If the weights have another shape, are not finite or too large, or if one of the
            executors would get the blocks of more than T workers; nothing has been submitted then.
        NotEnoughRespondersError
            If the answers that came do not suffice to decode, or more of them are wrong than can
            be corrected.
        """
        if wait_for is not None:  # no "exact", with which tasks move to other workers
            wait_for = read_count(wait_for, "wait_for", at_least=1, at_most=self.n_workers)
        prime = self._scheme.prime
        residues = tuple(q % prime for q in self._quantiser.integer_coefficients)
        fn = partial(evaluate_block, coefficients=residues, prime=prime)
        terms = Terms(wait_for=wait_for, timeout=timeout, retries=0)
        request = read_request(fn, (weights,), self, executor, terms)
        self._require_separate(request.executors)
        return answer(request)

    def prepare(self, weights: ArrayLike) -> PrivateStep:
        """Check, round and code the weights of one step, as a runtime asks for it.

        Parameters
        ----------
        weights : array_like, shape (d,)
            w.

        Raises
        ------
        TypeError, ValueError
            As `step`.
        """
        vector = self._read_weights(weights)
        norm = hypot(*vector.tolist())  # squares of them may overflow
        if not norm <= self._largest_radius:
            raise ValueError(
                f"weights must have a norm of at most {self._largest_radius:.6g}, with which no "
                f"answer wraps modulo {self._scheme.prime}, got {norm:.6g}; make the regression "
                "with fewer bits or more blocks, or lower the learning rate if the weights diverge"
            )
        rounded = self._quantiser.round_weights(vector, self._rng)
        copies = np.broadcast_to(rounded, (self._n_blocks, *rounded.shape))
        coded_weights = self._scheme.encode(copies)
        return PrivateStep(
            self._scheme, self._placed, coded_weights, self._quantiser.unit, self._pull
        )

    def fit(
        self,
        executor: Executor | Sequence[Executor],
        n_steps: int,
        *,
        learning_rate: float | None = None,
        weights: ArrayLike | None = None,
        timeout: float | None = None,
        wait_for: int | None = None,
        on_step: Callable[[int, Floats, CodedResult], object] | None = None,
    ) -> FittedRegression:
        """Descend the gradient for some steps.

        Parameters
        ----------
        executor, timeout, wait_for
            As for each `step`.
        n_steps : int
            How many steps, >= 1.
        learning_rate : float, optional
            By what the gradient is multiplied. Default: ``1 / (s ||X||^2)`` with the largest
            singular value of X and the slope ``s = max(|c_1|, 1/4)``; the sigmoid's is 1/4.
        weights : array_like, shape (d,), optional
            Where to begin; None: at 0.
        on_step : callable, optional
            ``on_step(i, weights, result)`` after step i = 0, 1, ... with the weights that it gave.

        Returns
        -------
        FittedRegression

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `step`; of the steps before only `on_step` knows then.
        """
        n_steps = read_count(n_steps, "n_steps", at_least=1)
        if learning_rate is None:
            slope = max(abs(self.coefficients[1]), _STEEPEST)
            learning_rate = 1.0 / (slope * self._steepness)
        learning_rate = read_number(learning_rate, "learning_rate", "(0, inf)")
        if on_step is not None and not callable(on_step):
            raise TypeError(f"on_step must be callable or None, got {on_step!r}; pass a function")
        current = np.zeros_like(self._pull) if weights is None else self._read_weights(weights)
        history, steps = [current], []
        for i in range(n_steps):
            result = self.step(current, executor, timeout=timeout, wait_for=wait_for)
            current = current - learning_rate * result.outputs
            history.append(current)
            steps.append(result)
            if on_step is not None:
                on_step(i, read_only(current), result)
        return FittedRegression(current, np.stack(history), tuple(steps), self.coefficients)

    def _cut(self, rows: Floats) -> Floats:
        """Give K blocks of rows, filled up with zeros, which add nothing to ``X^T g(X w)``."""
        n_rows = -(-len(rows) // self._n_blocks)
        blocks = np.zeros((self._n_blocks, n_rows, rows.shape[1]))
        blocks.reshape(-1, rows.shape[1])[: len(rows)] = rows
        return blocks

    def _require_separate(self, executors: Sequence[Executor]) -> None:
        """Refuse executors that get more shares than masks hide, but a single one, for trying."""
        shares = Counter(id(executors[n % len(executors)]) for n in range(self.n_workers))
        most = max(shares.values())
        if len(shares) > 1 and most > self._scheme.n_colluders:
            raise ValueError(
                f"executor must hold {self.n_workers} executors, one for each worker, got "
                f"{len(shares)}: one of them would get {most} workers' blocks, and only "
                f"n_colluders = {self._scheme.n_colluders} together tell nothing"
            )

    def _read_weights(self, weights: ArrayLike) -> Floats:
        vector = read_vector(weights, "weights")
        if vector.shape != self._pull.shape:
            raise ValueError(
                f"weights must have the shape {self._pull.shape}, one for each column of inputs, "
                f"got {vector.shape}"
            )
        require_finite(vector, "weights")
        return vector


@dataclass(frozen=True, eq=False)
class FittedRegression:
    """Weights, and how training came to them.

    Attributes
    ----------
    weights : ndarray, shape (d,)
        After the last step.
    history : ndarray, shape (n_steps + 1, d)
        The weights before the first step and after each one.
    steps : tuple of CodedResult
        What became of the workers in each step, and the gradient, `outputs`.
    coefficients : tuple of float
        Of g.
    """

    weights: Floats
    history: Floats
    steps: tuple[CodedResult, ...]
    coefficients: tuple[float, ...]

    @property
    def n_failures(self) -> NDArray[np.intp]:
        """How many workers failed in each step, shape (n_steps,)."""
        return np.array([len(step.failures) for step in self.steps], dtype=np.intp)

    def predict(self, inputs: ArrayLike) -> Floats:
        """Compute ``g(inputs @ weights)`` here, in floating point.

        Parameters
        ----------
        inputs : array_like, shape (..., d)
            Rows with the columns of those of training.

        Returns
        -------
        ndarray, shape (...)
            What labels are expected. Of two classes the second one is the likelier where it is
            above 1/2; polynomials of degree 3 and more are that only where they rise.

        Raises
        ------
        TypeError, ValueError
            If `inputs` holds no real numbers, or has another number of columns.
        """
        rows = read_array(inputs, "inputs")[0].astype(np.float64, copy=False)
        if rows.shape[-1:] != self.weights.shape:
            raise ValueError(
                f"inputs must have {len(self.weights)} columns, as many as there are weights, got "
                f"shape {rows.shape}"
            )
        values = np.polynomial.polynomial.polyval(rows @ self.weights, self.coefficients)
        return np.asarray(values, np.float64)

    def __repr__(self) -> str:
        """One line with shapes and counts."""
        return (
            f"FittedRegression(weights={self.weights.shape}, steps={len(self.steps)}, "
            f"failures={int(self.n_failures.sum())})"
        )


class PrivateStep:
    """The job of one step: coded weights for N workers that have their blocks, one gradient."""

    def __init__(
        self,
        scheme: FieldLagrangeScheme,
        placed: Placed,
        coded_weights: IntArray,
        unit: float,
        pull: Floats,
    ) -> None:
        self._scheme, self._placed, self._unit, self._pull = scheme, placed, unit, pull
        self.payloads: list[tuple[Any, ...]] = [(one,) for one in coded_weights]
        self.min_responders = scheme.min_responders

    def function(self, worker: int, fn: Function) -> Function:
        """Give f of the block that is with the worker."""
        return self._placed.function(worker, fn)

    def read(self, worker: int, answer: Any) -> tuple[str, IntArray]:  # noqa: ARG002 (as of the protocol)
        """Give an answer as d integers; TypeError or ValueError if it is none."""
        array = self._scheme.read_numbers(answer, "answer")[0]
        if array.shape != self._pull.shape:
            raise ValueError(f"answer must have the shape {self._pull.shape}, got {array.shape}")
        return str(array.shape), array

    def can_decode(self, responders: Indices) -> bool:
        """Ask the scheme."""
        return self._scheme.can_decode(responders)

    def liars(self, answers: Sequence[IntArray], responders: Indices) -> Sequence[int]:
        """Give who answered wrongly, as far as spare answers show it."""
        return self._scheme.find_liars(np.stack(answers), responders)

    def decode(self, answers: Sequence[IntArray], responders: Indices) -> Floats:
        """Give the gradient: the blocks' answers, none of which wraps, and their sum."""
        of_blocks = self._scheme.decode(np.stack(answers), responders)
        gradient: Floats = of_blocks.sum(axis=0) * self._unit - self._pull
        return gradient

    def exact_mask(self, responders: Indices) -> NDArray[np.bool_]:
        """Tell that the gradient is exact where it can be decoded."""
        return np.array(self.can_decode(responders))
