"""Which scheme lost least on the function zoo: what there is to say without a look at f."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from math import log2
from typing import Any

from coded.evaluation.recommended import (
    COPIES,
    Objective,
    Recommendation,
    Setting,
    tell_few_answers,
)
from coded.schemes import codes, registry
from coded.stragglers import StragglerModel

_FAR = 2.0
_HITS = "what a table names was within 1.5 times of the best in two jobs of three"


def look_up(
    setting: Setting, kind: str, objective: Objective, cautions: list[str]
) -> Recommendation:
    """Recommend what lost least at the nearest setting that was measured for this kind."""
    table = _measured()[objective][kind]
    near = min(table, key=lambda key: _distance(setting, _read_setting(key)))
    cell, at = table[near], _read_setting(near)
    losses: dict[str, float] = {name: float(value) for name, value in cell["measured"]}
    answers = setting[1] - setting[2]
    if answers == 1:  # a spline needs two
        losses = {COPIES: losses[COPIES], **losses}
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
        cautions.append(tell_few_answers(setting))
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


def tell_unknown(stragglers: StragglerModel | None) -> list[str]:
    """Say what a table cannot know."""
    unknown = (
        f"your f was not looked at: on functions that nobody tuned on {_HITS}; pass fn and inputs, "
        "and it is probed"
    )
    if stragglers is None:
        return [unknown]
    return [unknown, f"the table knows uniform losses alone, not {stragglers!r}"]


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
