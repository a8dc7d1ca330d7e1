"""Which scheme loses least on the caller's own inputs: what a probe says, and how surely."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coded.evaluation.probe import Probe, Remembered, probe
from coded.evaluation.recommended import (
    COPIES,
    Objective,
    Recommendation,
    Setting,
    tell_few_answers,
)
from coded.places.placement import best_placement
from coded.schemes import codes, registry
from coded.schemes.protocol import Scheme
from coded.schemes.replication import ReplicationScheme
from coded.stragglers import (
    ConsecutiveStragglers,
    IndependentStragglers,
    MachineStragglers,
    StragglerModel,
    UniformStragglers,
)

_MEAN = "replication-mean"
_PROBED = (COPIES, _MEAN, "spline", "kernel-copies", "kernel")
_PREFERRED = "kernel"  # where a probe cannot tell it from the best
_LABELS = "kernel-labels"  # is probed too where labels count


def recommend_by_probe(
    fn: Remembered,
    inputs: Any,
    setting: Setting,
    model: StragglerModel,
    *,
    objective: Objective,
    seed: int,
    cautions: list[str],
) -> Recommendation:
    """Recommend what loses least on the inputs at hand."""
    names = (*_PROBED, _LABELS) if objective == "labels" else _PROBED
    answers = setting[1] - setting[2]
    candidates = {
        name: codes()[name].make(registry.Setting(*setting))
        for name in names
        if answers > 1 or name != "spline"  # which needs two
    }
    placed = place(setting, model)
    if placed is not None and not isinstance(model, UniformStragglers):
        candidates[COPIES] = make_copies(setting, placed, "nearest")
        candidates[_MEAN] = make_copies(setting, placed, "mean")
    found = probe(fn, inputs, candidates, stragglers=model, objective=objective, rng=seed)
    name, *_ = ranking = found.rank(_PREFERRED)
    untried = [name for name in candidates if name not in ranking]
    if untried:
        cautions.append(
            f"not tried: {', '.join(untried)}, which ask for f between the inputs, or for more "
            "answers"
        )
    if answers < setting[0]:
        cautions.append(tell_few_answers(setting))
    return Recommendation(
        scheme=candidates[name],
        name=name,
        why=_why_probed(found, objective, setting),
        measured_at=setting,
        measure="relative_mse" if objective == "outputs" else "agreement",
        measured={
            name: loss if objective == "outputs" else 1.0 - loss for name, loss in ranking.items()
        },
        cautions=tuple(cautions),
        sure=found.sure_of(name),
        probed=found.batches * setting[0],
        evaluations=found.evaluations,
    )


def _why_probed(found: Probe, objective: Objective, setting: Setting) -> str:
    what = (
        "relative mean square of the error" if objective == "outputs" else "share of wrong labels"
    )
    batches = "a batch" if found.batches == 1 else f"{found.batches} batches"
    return f"lowest {what} on your f, simulated on {batches} of {setting[0]} inputs"


def place(setting: Setting, model: StragglerModel) -> NDArray[np.intp] | None:
    """Give the best placement of copies, where it is known for the model."""
    known = UniformStragglers, IndependentStragglers, ConsecutiveStragglers, MachineStragglers
    return best_placement(*setting[:2], model) if isinstance(model, known) else None


def make_copies(
    setting: Setting, placed: NDArray[np.intp], fallback: Literal["nearest", "mean"]
) -> Scheme:
    """Give copies that lie where they are placed."""
    return ReplicationScheme(
        *setting[:2], n_stragglers=setting[2], fallback=fallback, placement=placed
    )
