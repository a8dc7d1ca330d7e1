"""Which scheme to take: `recommend` looks it up in what was measured on the function zoo."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import log2
from typing import Any, Literal, TypeAlias

import numpy as np

from coded.arguments import read_count
from coded.schemes import codes, registry
from coded.schemes.protocol import Scheme

Kind: TypeAlias = Literal[
    "smooth", "polynomial", "network", "rough", "unknown", "matmul", "gradient"
]
Objective: TypeAlias = Literal["outputs", "labels"]
Setting: TypeAlias = tuple[int, int, int]

_JOBS = ("matmul", "gradient")
_KINDS = ("smooth", "polynomial", "network", "rough", "unknown", *_JOBS)
_COPIES, _LAGRANGE = "replication-nearest", "lagrange"
_PROBES = 50
_FAR = 2.0


@dataclass(frozen=True, eq=False)
class Recommendation:
    """A scheme, why it is recommended, and what it may be expected to lose.

    Attributes
    ----------
    scheme : Scheme, MatmulCode or GradientCode
        Ready to use.
    name : str
        Its name in ``coded.schemes.codes()``, as `compare` takes it; of a job's code that in
        `compare_matmul` or `compare_gradients`.
    why : str
        The reason, in one sentence.
    measured_at : (int, int, int) or None
        The measured (K, N, S) next to the one asked for; None where nothing needs to be
        measured, since all outputs are exact.
    measure : {"relative_mse", "relative_accuracy"}
        What `measured` holds. relative_mse: mean square of the error over the variance of f,
        the geometric mean over the functions of the kind. relative_accuracy: accuracy of the
        estimates over that of f, the mean over the classifiers.
    measured : dict of str to float
        Of each scheme there, the recommended one first, then the runner-up, and so on.
    cautions : tuple of str
        What else to know.
    """

    scheme: Any
    name: str
    why: str
    measured_at: Setting | None
    measure: Literal["relative_mse", "relative_accuracy"]
    measured: dict[str, float]
    cautions: tuple[str, ...]

    def __str__(self) -> str:
        """Write scheme, reason, figures and cautions, a line each."""
        lines = [f"{self.scheme!r}", f"  why: {self.why}"]
        if self.measured:
            digits = ".2g" if self.measure == "relative_mse" else ".3f"
            named = "; ".join(f"{name}: {value:{digits}}" for name, value in self.measured.items())
            lines.append(f"  {self.measure.replace('_', ' ')} measured: {named}")
        return "\n".join([*lines, *(f"  caution: {caution}" for caution in self.cautions)])


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
) -> Recommendation:
    """Recommend a scheme for K inputs on N workers, S of which may not answer.

    Copies where they are always exact (S < floor(N / K)); Lagrange coding where f is a
    polynomial and enough answers come to decode it stably; else the scheme that lost least
    on functions of this kind at the nearest measured (K, N, S), uniform losses. For products of
    matrices and sums of gradients the code that was cheapest where a code pays, and what to do
    instead where none does.

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

    Returns
    -------
    Recommendation

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is out of range, `kind` or `objective` is none of those named, a
        polynomial comes without `degree` or anything else with one, or labels are asked
        of a function that gives none.

    Examples
    --------
    >>> print(recommend(10, 40, 3))
    ReplicationScheme(10, 40, n_stragglers=3, fallback='nearest')
      why: each input has 4 copies or more, so that any 3 losses leave one: all outputs are exact
    >>> recommend(5, 20, 7, kind="polynomial", degree=3).scheme
    LagrangeScheme(5, 20, degree=3)
    """
    n_inputs = read_count(n_inputs, "n_inputs", at_least=1)
    n_workers = read_count(n_workers, "n_workers", at_least=1)
    n_stragglers = read_count(n_stragglers, "n_stragglers", at_least=0, at_most=n_workers - 1)
    setting = (n_inputs, n_workers, n_stragglers)
    _require_sense(kind, objective)
    if kind in _JOBS:
        return _for_job(kind, setting, stays=stays, can_recompute=can_recompute)
    degree = _read_degree(degree, kind)
    copies = n_workers // n_inputs
    if n_stragglers < copies:
        return _exact(
            codes()[_COPIES].make(registry.Setting(*setting)),
            _COPIES,
            f"each input has {copies} copies or more, so that any {n_stragglers} losses leave "
            "one: all outputs are exact",
        )
    if degree is not None:
        lagrange = _stable_lagrange(setting, degree)
        if lagrange is not None:
            return _recommend_lagrange(lagrange, degree, n_workers - n_stragglers)
    return _look_up(setting, kind, objective, _why_no_lagrange(setting, degree))


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


def _look_up(
    setting: Setting, kind: Kind, objective: Objective, cautions: list[str]
) -> Recommendation:
    """Recommend what lost least at the nearest setting that was measured for this kind."""
    table = _measured()[objective][kind]
    near = min(table, key=lambda key: _distance(setting, _read_setting(key)))
    cell, at = table[near], _read_setting(near)
    losses: dict[str, float] = {name: float(value) for name, value in cell["measured"]}
    answers = setting[1] - setting[2]
    if answers == 1:  # a spline needs two
        losses = {_COPIES: losses[_COPIES], **losses}
    name = next(iter(losses))
    what = (
        "lowest relative mean square of the error"
        if objective == "outputs"
        else ("highest relative accuracy")
    )
    functions = "classifiers" if objective == "labels" else _NOUNS[kind]
    count = "" if cell["functions"] == 1 else f"{cell['functions']} "
    why = f"{what} over {count}{functions} at (K, N, S) = {at}"
    if answers == 1:
        why = "one answer is all there is: every input gets it"
    if answers < setting[0]:
        cautions.append(
            f"{answers} answers for {setting[0]} inputs: at most {answers} outputs can be exact, "
            "the others are estimates"
        )
    if name.startswith("replication"):
        cautions.append("no code was better than plain copies here")
    elif cell["copies_as_good"]:
        cautions.append(
            f"plain copies were as good on {cell['copies_as_good']} of these {cell['functions']}"
        )
    if _distance(setting, at) > _FAR:
        cautions.append(f"nothing was measured nearer to {setting}: simulate it with your f")
    return Recommendation(
        scheme=codes()[name].make(registry.Setting(*setting)),
        name=name,
        why=why,
        measured_at=at,
        measure="relative_mse" if objective == "outputs" else "relative_accuracy",
        measured=losses,
        cautions=tuple(cautions),
    )


_NOUNS = {
    "smooth": "smooth functions",
    "polynomial": "polynomials",
    "network": "networks and regressions",
    "rough": "functions with kinks",
    "unknown": "functions of all kinds",
}


@cache
def _measured() -> dict[str, Any]:
    """Read what `python -m bench.science zoo` wrote: objective, kind, setting to a ranking."""
    text = files("coded.evaluation").joinpath("recommendations.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def _read_setting(key: str) -> Setting:
    n_inputs, n_workers, n_stragglers = map(int, key.split(","))
    return n_inputs, n_workers, n_stragglers


def _distance(one: Setting, other: Setting) -> float:
    """How unlike two settings are: in copies an input, share of losses, and number of inputs."""
    (k, n, s), (other_k, other_n, other_s) = one, other
    copies = abs(log2(n / k) - log2(other_n / other_k))
    losses = abs(s / n - other_s / other_n)
    return copies + 4.0 * losses + 0.5 * abs(log2(k / other_k))
