"""Which scheme to take: what is always exact, what a probe of f says, or what a table knows."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from coded.arguments import read_count
from coded.evaluation.probe import Remembered, read_pairs
from coded.evaluation.recommend_by_probe import make_copies, place, recommend_by_probe
from coded.evaluation.recommend_by_table import look_up, tell_unknown
from coded.evaluation.recommended import COPIES, Objective, Recommendation, Setting
from coded.places.placement import expected_answered
from coded.schemes import codes, registry
from coded.schemes.protocol import Function, Scheme
from coded.seeds import read_seed
from coded.stragglers import IndependentStragglers, StragglerModel, UniformStragglers
from fastspline.arrays import read_array, require_finite

Kind: TypeAlias = Literal[
    "smooth", "polynomial", "network", "rough", "unknown", "matmul", "gradient"
]

_JOBS = ("matmul", "gradient")
_KINDS = ("smooth", "polynomial", "network", "rough", "unknown", *_JOBS)
_LAGRANGE = "lagrange"
_PROBES = 50


def recommend(
    n_inputs: int,
    n_workers: int,
    n_stragglers: int,
    *,
    kind: Kind = "unknown",
    objective: Objective = "outputs",
    degree: int | None = None,
    stays: bool = False,
    can_recompute: bool = True,
    fn: Function | None = None,
    inputs: ArrayLike | None = None,
    answers: ArrayLike | None = None,
    stragglers: StragglerModel | None = None,
    rng: int | np.random.Generator = 0,
    batched: bool = True,
) -> Recommendation:
    """Recommend a scheme for K inputs on N workers, S of which may not answer.

    Copies where they are always exact (S < floor(N / K), or whatever `stragglers` loses);
    Lagrange coding where f is a polynomial and enough answers come to decode it stably. Else, with
    `fn` or `answers`, a probe decides: copies with both fallbacks, splines, and kernels with and
    without points between inputs decode the `inputs` in batches of K from simulated losses, f
    being evaluated once at each point that any of them asks, and the one that loses least is
    taken. Without, the scheme that lost least on functions of this kind at the nearest measured
    (K, N, S), uniform losses, which says little about yours. For products of matrices and sums of
    gradients the code that was cheapest where a code pays, and what to do instead where none does.

    Parameters
    ----------
    n_inputs : int
        K >= 1; of a product the blocks that a worker multiplies one of; a sum has a part a worker.
    n_workers : int
        N >= 1.
    n_stragglers : int
        S in [0, N).
    kind : {"smooth", "polynomial", "network", "rough", "unknown"}, optional
        What is known of f. "smooth": smooth in up to about three numbers, as solutions of
        differential equations are in their parameters; "polynomial": of the given `degree`;
        "network": a classifier or a regression of many numbers; "rough": kinks in few
        numbers; "unknown": any of these. "matmul": a product of two matrices; "gradient": a sum
        over parts of the data.
    objective : {"outputs", "labels"}, optional
        What shall be right: the outputs themselves, or which of them is largest.
    degree : int, optional
        Of the polynomial f, at least 1.
    stays : bool, optional
        Of a product: whether one operand is the same in many calls, as the weights of a layer.
    can_recompute : bool, optional
        Of a product: whether the calling process waits idle, and could compute lost blocks.
    fn : callable, optional
        f, from a stack of inputs, shape (n, ...), to the stack of answers; numpy or torch. It is
        evaluated at the inputs and, where codes ask it, between: at most 2 N - K times a batch.
    inputs : array_like, shape (M, ...), optional
        Such as will be coded, M >= K. One batch of K tells most; four halve the doubt.
    answers : array_like, shape (M, ...), optional
        Instead of `fn`: f of the inputs, as served calls gave it. What asks for points between the
        inputs cannot be tried then.
    stragglers : StragglerModel, optional
        How workers are lost, S of them as a rule. None is S, uniformly drawn.
    rng : int or numpy.random.Generator, optional
        Seed of the probe's losses.
    batched : bool, optional
        False: `fn` takes one input at a time.

    Returns
    -------
    Recommendation

    Raises
    ------
    TypeError
        If a count is no integer, or `fn`, `inputs`, `answers`, `stragglers` or `rng` of the wrong
        kind.
    ValueError
        If a count is out of range, `kind` or `objective` is none of those named, a
        polynomial comes without `degree` or anything else with one, or labels are asked
        of a function that gives none; if there are fewer than K inputs, inputs without `fn` or
        `answers` or these without inputs, or a number is not finite.
    Exception
        What `fn` itself raises.

    Examples
    --------
    >>> print(recommend(10, 40, 3))
    ReplicationScheme(10, 40, n_stragglers=3, fallback='nearest')
      why: each input has 4 copies or more, so that any 3 losses leave one: all outputs are exact
    >>> recommend(5, 20, 7, kind="polynomial", degree=3).scheme
    LagrangeScheme(5, 20, degree=3)

    Your own function, on a batch of inputs:

    >>> inputs = np.random.default_rng(0).uniform(0.0, 6.0, (20, 1))
    >>> found = recommend(20, 40, 12, fn=np.sin, inputs=inputs)
    >>> found.measured[found.name] < 0.05 * found.measured["replication-nearest"]
    True
    >>> found.probed, found.evaluations <= 60
    (20, True)
    """
    n_inputs = read_count(n_inputs, "n_inputs", at_least=1)
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n_workers - 1)
    setting = (n_inputs, n_workers, n_stragglers)
    _require_sense(kind, objective)
    function, given = _read_function(fn, inputs, answers, setting, batched=batched)
    model = _read_model(stragglers, setting)
    if kind in _JOBS:
        if function is not None or stragglers is not None:
            raise ValueError(
                f"fn, inputs, answers and stragglers do not go with kind={kind!r}; compare_matmul "
                "and compare_gradients measure its codes on your matrices"
            )
        return _for_job(kind, setting, stays=stays, can_recompute=can_recompute)
    degree = _read_degree(degree, kind)
    exact = _exact_copies(setting, model)
    if exact is not None:
        return exact
    if degree is not None:
        lagrange = _stable_lagrange(setting, degree)
        if lagrange is not None:
            return _recommend_lagrange(lagrange, degree, n_workers - n_stragglers)
    cautions = _why_no_lagrange(setting, degree)
    if function is not None:
        return recommend_by_probe(
            function,
            given,
            setting,
            model,
            objective=objective,
            seed=read_seed(rng),
            cautions=cautions,
        )
    return look_up(setting, kind, objective, [*cautions, *tell_unknown(stragglers)])


def _read_function(
    fn: Function | None,
    inputs: ArrayLike | None,
    answers: ArrayLike | None,
    setting: Setting,
    *,
    batched: bool,
) -> tuple[Remembered | None, Any]:
    """Check what is given of f, and its inputs; None where nothing is."""
    if fn is None and answers is None:
        if inputs is not None:
            raise ValueError(
                "inputs were given, and neither fn nor answers, without which they tell nothing; "
                "pass one of them"
            )
        return None, None
    if fn is not None and answers is not None:
        raise ValueError("fn and answers were given; pass fn alone, which knows all answers")
    if fn is not None and not callable(fn):
        raise TypeError(f"fn must be callable, got {fn!r:.60}; pass a function of the inputs")
    if inputs is None:
        raise ValueError("inputs are missing: fn or answers are probed on them; pass K or more")
    given: Any = inputs if hasattr(inputs, "shape") else np.asarray(inputs)
    array, _ = read_array(given, "inputs")
    require_finite(array, "inputs")
    if array.ndim == 0 or len(array) < setting[0]:
        raise ValueError(
            f"inputs must hold at least n_inputs = {setting[0]} inputs along axis 0, got shape "
            f"{array.shape}; pass more, or recommend for fewer"
        )
    if fn is None:
        return read_pairs(given, np.asarray(answers)), given
    return Remembered(fn, batched=batched), given


def _read_model(stragglers: StragglerModel | None, setting: Setting) -> StragglerModel:
    """Give the model of losses."""
    if stragglers is None:
        return UniformStragglers(setting[2])
    if isinstance(stragglers, type) or not isinstance(stragglers, StragglerModel):
        raise TypeError(
            f"stragglers must be a StragglerModel or None, got {stragglers!r:.60}; pass "
            "UniformStragglers(S) or another model, and the number as n_stragglers"
        )
    return stragglers


def _exact_copies(setting: Setting, model: StragglerModel) -> Recommendation | None:
    """Recommend copies if they leave an answer to every input, whatever the model loses."""
    placed = place(setting, model)
    if placed is None or isinstance(model, IndependentStragglers):  # who may lose all
        return None
    if expected_answered(placed, model, n_inputs=setting[0]) < 1.0:
        return None
    n_inputs, n_workers, _ = setting
    if isinstance(model, UniformStragglers):
        why = (
            f"each input has {n_workers // n_inputs} copies or more, so that any {model.count} "
            "losses leave one: all outputs are exact"
        )
        return _exact(codes()[COPIES].make(registry.Setting(*setting)), COPIES, why)
    why = f"copies lie so that whatever {model!r} loses leaves one: all outputs are exact"
    return _exact(make_copies(setting, placed, "nearest"), COPIES, why)


def _for_job(kind: Any, setting: Setting, *, stays: bool, can_recompute: bool) -> Recommendation:
    """Recommend a code for a product or a sum, or none."""
    from coded.evaluation.job_recommendation import advise

    advice = advise(kind, setting, stays=stays, can_recompute=can_recompute)
    return Recommendation(
        advice.code, advice.name, advice.why, None, "relative_mse", {}, advice.cautions
    )


def _require_sense(kind: str, objective: str) -> None:
    """Check the two names, each alone and together."""
    if not (isinstance(kind, str) and kind in _KINDS):
        raise ValueError(
            f'kind must be one of {", ".join(_KINDS)}, got {kind!r}; "unknown" will do'
        )
    if not (isinstance(objective, str) and objective in ("outputs", "labels")):
        raise ValueError(
            f'objective must be "outputs" or "labels", got {objective!r}; "labels" if only the '
            "largest output counts"
        )
    if objective == "labels" and kind not in ("network", "unknown"):
        raise ValueError(
            f'objective="labels" goes with kind="network", got kind = {kind!r}; take '
            'objective="outputs"'
        )


def _read_degree(degree: int | None, kind: str) -> int | None:
    """Check that a polynomial comes with its degree, and nothing else does."""
    if kind != "polynomial":
        if degree is not None:
            raise ValueError(
                f'degree goes with kind="polynomial", got degree = {degree} and kind = {kind!r}; '
                "leave it out, or change kind"
            )
        return None
    if degree is None:
        raise ValueError(
            'degree is missing: kind="polynomial" needs the degree of f; if it is not known, take '
            'kind="smooth"'
        )
    return read_count(degree, "degree", at_least=1)


def _exact(scheme: Scheme, code: str, why: str, *cautions: str) -> Recommendation:
    """Recommend what needs no measurement."""
    return Recommendation(scheme, code, why, None, "relative_mse", {}, cautions)


def _stable_lagrange(setting: Setting, degree: int) -> Scheme | None:
    """Give the Lagrange scheme if N - S answers suffice, and stably so in all that is probed."""
    n_inputs, n_workers, n_stragglers = setting
    if n_workers - n_stragglers < (n_inputs - 1) * degree + 1:
        return None
    scheme = codes()[_LAGRANGE].make(registry.Setting(*setting, degree))
    workers = np.arange(n_workers)
    rng = np.random.default_rng(0)
    # neighbours lost together leave the widest gap, and no end to interpolate to
    starts = np.linspace(0, n_workers - n_stragglers, _PROBES).astype(int)
    blocks = [start + np.arange(n_stragglers) for start in np.unique(starts)]
    drawn = [rng.permutation(n_workers)[:n_stragglers] for _ in range(_PROBES)]
    if all(scheme.can_decode(np.setdiff1d(workers, lost)) for lost in [*blocks, *drawn]):
        return scheme
    return None


def _why_no_lagrange(setting: Setting, degree: int | None) -> list[str]:
    """Say why an exact code of this degree was not taken."""
    if degree is None:
        return []
    n_inputs, n_workers, n_stragglers = setting
    needed, answers = (n_inputs - 1) * degree + 1, n_workers - n_stragglers
    if answers < needed:
        return [f"exact decoding of degree {degree} needs {needed} answers, {answers} come"]
    unstable = (
        f"LagrangeScheme needs {needed} answers and {answers} come, but some of the losses that "
        "were probed would amplify rounding errors too much; it serves where fewer are lost"
    )
    return [unstable]


def _recommend_lagrange(scheme: Scheme, degree: int, answers: int) -> Recommendation:
    """Recommend a scheme that is exact for polynomials."""
    cautions = []
    if scheme.min_responders < answers:
        cautions.append(
            f"let coded_map wait for {answers} answers (wait_for={answers}): "
            f"{scheme.min_responders} suffice, but fewer amplify rounding errors more"
        )
    return _exact(
        scheme,
        _LAGRANGE,
        f"f has degree {degree}: any {scheme.min_responders} answers determine all outputs, "
        f"and {answers} did so stably in all {2 * _PROBES} losses that were probed",
        *cautions,
    )
