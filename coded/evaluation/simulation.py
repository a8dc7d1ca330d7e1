"""What a scheme's outputs are worth when workers are missing, without any workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.evaluation.metrics import mean_l2, mean_square, relative_accuracy
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import (
    ErrorEstimating,
    Function,
    NotEnoughRespondersError,
    Scheme,
    exact_of,
    read_numbers,
    require_scheme,
    worker_functions,
)
from coded.schemes.with_prior import WithPrior
from coded.seeds import derived
from coded.stragglers import SlowInputStragglers, StragglerModel, UniformStragglers
from fastspline.arrays import FloatArray, Restore, require_finite


@dataclass(frozen=True, eq=False)
class Simulation:
    """Outputs decoded from repeated draws of stragglers, and what they should be.

    Attributes
    ----------
    outputs : array, shape (repeats, K, ...)
        Decoded outputs, of the kind that f returned.
    responders : list of ndarray
        The workers that answered in each repeat.
    reference : array, shape (K, ...)
        ``f(inputs)``.
    fit_reference : array, shape (K, ...)
        f of what the encoder makes of the inputs at their own points (`encoder_fit`);
        ``f(inputs)`` where the encoder does not smooth.
    exact : ndarray of bool, shape (repeats, K)
        Which outputs are exact answers; shape (repeats,) where there is one output.
    std : ndarray of float, shape (repeats, K), or None
        Estimates of the errors ``||output_k - f(x_k)||_2``, where the scheme gives any.
    """

    outputs: FloatArray
    responders: list[NDArray[np.intp]]
    reference: FloatArray
    fit_reference: FloatArray
    exact: NDArray[np.bool_]
    std: NDArray[np.float64] | None

    @property
    def mse(self) -> NDArray[np.float64]:
        """The loss of the theory, ``(1 / K) sum_k ||output_k - f(x_k)||^2``, shape (repeats,)."""
        return mean_square(as_reals(self.outputs), as_reals(self.reference))

    @property
    def generalization_error(self) -> NDArray[np.float64]:
        """The decoder's share of the loss, shape (repeats,).

        ``(2 / K) sum_k ||output_k - f(u(alpha_k))||^2``, u the encoder's curve: the loss is at
        most the sum of this and of `training_error` (arXiv:2406.00300, equation of the split).
        """
        return 2.0 * mean_square(as_reals(self.outputs), as_reals(self.fit_reference))

    @property
    def training_error(self) -> float:
        """The encoder's share of the loss, ``(2 / K) sum_k ||f(u(alpha_k)) - f(x_k)||^2``.

        0 where the encoder does not smooth.
        """
        return float(2.0 * mean_square(as_reals(self.fit_reference), as_reals(self.reference)))

    @property
    def mean_l2(self) -> NDArray[np.float64]:
        """Mean un-squared L2 error of each repeat, shape (repeats,)."""
        return mean_l2(as_reals(self.outputs), as_reals(self.reference))

    def rel_acc(self, labels: ArrayLike) -> NDArray[np.float64]:
        """Give the relative accuracy of each repeat, shape (repeats,); see `relative_accuracy`."""
        return relative_accuracy(self.outputs, self.reference, labels)

    def __repr__(self) -> str:
        """One line with shapes and the error."""
        return (
            f"Simulation(outputs {tuple(self.outputs.shape)}, reference "
            f"{tuple(self.reference.shape)}, mean_l2 {self.mean_l2.mean():.4g})"
        )


def simulate(
    fn: Function,
    inputs: ArrayLike,
    scheme: Scheme | Any,
    *,
    stragglers: int | StragglerModel,
    repeats: int = 20,
    rng: int | np.random.Generator = 0,
    batched: bool = True,
) -> Simulation:
    """Encode, evaluate f on all coded inputs once, and decode from what repeated draws leave.

    The scheme is bound to the inputs first. Draws are paired: equal `rng`, N and
    `stragglers` give equal responder sets for every scheme, but where it is what a worker
    evaluates that makes it slow (`SlowInputStragglers`).

    Parameters
    ----------
    fn : callable
        The function f; numpy or torch out. With a `MatmulCode` ``coded.multiply``, with a
        `GradientCode` the gradient of a part.
    inputs : array_like, shape (K, ...)
        Numpy or torch; f gets coded inputs of the same kind. With a code, the tuple of its
        operands, ``(a, b)`` or ``(parameters,)``.
    scheme : Scheme, MatmulCode or GradientCode
        Any scheme for K inputs, or a code for products or sums of gradients.
    stragglers : int or StragglerModel
        So many workers, drawn uniformly, or a model to draw them from.
    repeats : int, optional
        Number of draws, at least 1.
    rng : int or numpy.random.Generator, optional
        Seed, or a generator from whose state one is derived; it is not advanced.
    batched : bool, optional
        True: f maps a stack (N, ...) of inputs at once. False: one input at a time.

    Returns
    -------
    Simulation

    Raises
    ------
    TypeError
        If `fn` is not callable, `scheme`, `stragglers` or `rng` is of the wrong kind, or the
        inputs or f's answers are no real numbers.
    ValueError
        If a count is out of range, inputs or answers have a wrong shape or are not finite.
    NotEnoughRespondersError
        If a draw leaves too few answers for the scheme (a ValueError too).
    Exception
        What `fn` itself raises; where it got a stack, with a note that says so.

    Examples
    --------
    >>> from coded import SplineScheme
    >>> inputs = np.linspace(0.0, 3.0, 6)
    >>> result = simulate(np.sin, inputs, SplineScheme(6, 24), stragglers=6, repeats=3)
    >>> result.outputs.shape, bool(result.mean_l2.max() < 0.02)
    ((3, 6), True)
    """
    if not callable(fn):
        raise TypeError(
            f"fn must be callable, got {type(fn).__name__}; pass a function of the inputs"
        )
    is_code = hasattr(scheme, "prepare")
    if not is_code:
        require_scheme(scheme)
    repeats = read_count(repeats, "repeats", at_least=1)
    model = _read_stragglers(stragglers, scheme.n_workers)
    generator = derived(rng)
    if is_code:
        from coded.evaluation.job_simulation import run_job

        responders = _draw_responders(model, scheme.n_workers, generator, repeats)
        code: Any = scheme
        with _advice_for_draws():
            outputs, whole, exact, restore = run_job(fn, _operands(inputs), code, responders)
        reference = restore(whole)
        return Simulation(restore(outputs), responders, reference, reference, exact, None)

    bound = scheme.bind(inputs)
    array, as_given = read_numbers(bound, inputs, "inputs")
    evaluate = partial(evaluate_rows, scheme=bound, batched=batched)
    functions = worker_functions(bound, fn)
    coded_inputs = bound.encode(inputs)
    if isinstance(model, SlowInputStragglers):
        model = model.facing(coded_inputs)
    responders = _draw_responders(model, scheme.n_workers, generator, repeats)
    coded_outputs, restore = evaluate_workers(functions, coded_inputs, evaluate)
    given = as_given(array)
    reference, _ = evaluate(fn, given)
    fit_reference = reference
    if isinstance(bound, LinearScheme | WithPrior):
        fit = bound.encoder_fit(given)
        if not np.array_equal(read_numbers(bound, fit, "inputs")[0], array):
            fit_reference, _ = evaluate(fn, fit)

    std = None
    with _advice_for_draws():
        if isinstance(bound, ErrorEstimating):
            pairs = [bound.decode_with_std(coded_outputs[who], who) for who in responders]
            outputs = np.stack([decoded for decoded, _ in pairs])
            std = np.stack([estimate for _, estimate in pairs])
        else:
            outputs = np.stack([bound.decode(coded_outputs[who], who) for who in responders])
    exact = exact_of(np.stack([bound.exact_mask(who) for who in responders]), std)
    return Simulation(
        restore(outputs), responders, restore(reference), restore(fit_reference), exact, std
    )


@contextmanager
def _advice_for_draws() -> Iterator[None]:
    """Advise fewer stragglers where a draw leaves too few answers: no more will come."""
    try:
        yield
    except NotEnoughRespondersError as error:
        lack = str(error).partition("; wait for more answers")[0]
        raise NotEnoughRespondersError(
            f"{lack}; lower stragglers, or make a code that bears more", responders=error.responders
        ) from None


def _draw_responders(
    model: StragglerModel, n_workers: int, generator: np.random.Generator, repeats: int
) -> list[NDArray[np.intp]]:
    workers = np.arange(n_workers)
    return [np.setdiff1d(workers, model.draw(n_workers, generator)) for _ in range(repeats)]


def _operands(inputs: Any) -> tuple[Any, ...]:
    if not isinstance(inputs, tuple):
        raise TypeError(
            f"inputs must be the tuple of a code's operands, got {type(inputs).__name__}; pass "
            "(a, b) for a product, (parameters,) for a sum of gradients"
        )
    return inputs


def _read_stragglers(stragglers: int | StragglerModel, n_workers: int) -> StragglerModel:
    """Give the model; an int is that many stragglers, uniformly drawn."""
    if isinstance(stragglers, StragglerModel):
        return stragglers
    return UniformStragglers(
        read_count(stragglers, "stragglers", at_least=0, at_most=n_workers - 1)
    )


def as_reals(numbers: FloatArray) -> FloatArray:
    """Give complex numbers as pairs of real ones, which have the same norms; others as they are."""
    if "complex" not in str(numbers.dtype):
        return numbers
    pairs: FloatArray = np.ascontiguousarray(numbers).view(np.float64)
    return pairs.reshape(*numbers.shape, 2)


def evaluate_workers(
    functions: Sequence[Function],
    coded_inputs: FloatArray,
    evaluate: Callable[[Function, FloatArray], tuple[FloatArray, Restore]],
) -> tuple[FloatArray, Restore]:
    """Evaluate each worker's function on its coded input, every function once."""
    answers: dict[int, FloatArray] = {}
    for fn in {id(fn): fn for fn in functions}.values():
        workers = [n for n, other in enumerate(functions) if other is fn]
        if len(workers) == len(functions):
            return evaluate(fn, coded_inputs)
        part, restore = evaluate(fn, coded_inputs[workers])
        answers.update(zip(workers, part, strict=True))
    return np.stack([answers[n] for n in range(len(functions))]), restore


def evaluate_rows(
    fn: Function, inputs: FloatArray, *, scheme: Scheme, batched: bool
) -> tuple[FloatArray, Restore]:
    """Evaluate f on all rows; give the answers and the way back to their kind."""
    n_rows = len(inputs)
    if batched:
        try:
            given = fn(inputs)
        except Exception as error:
            error.add_note(
                f"fn got a stack of {n_rows} inputs, shape {tuple(inputs.shape)}; pass "
                "batched=False if fn takes one input at a time."
            )
            raise
        answers, restore = read_numbers(scheme, given, "fn(inputs)")
    else:
        read = [read_numbers(scheme, fn(row), "fn(input)") for row in inputs]
        answers, restore = np.stack([answer for answer, _ in read]), read[0][1]
    if answers.ndim == 0 or len(answers) != n_rows:
        raise ValueError(
            f"fn must return {n_rows} answers for {n_rows} inputs along axis 0, got shape "
            f"{answers.shape}; pass batched=False if fn takes one input at a time"
        )
    require_finite(answers, "fn(inputs)")
    return answers, restore
