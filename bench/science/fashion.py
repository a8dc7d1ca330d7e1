"""The schemes of `digits` on Fashion-MNIST and a LeNet5 of its own: nothing is tuned again."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.science import datasets, networks
from bench.science.digits import (
    Numbers,
    run_case,
    table_of_differences,
    table_of_rows,
    tell_size,
)
from bench.science.rivals import Case
from bench.science.trials import Counts

SETTINGS = (Counts(20, 100, 60), Counts(60, 100, 20))


def run(*, quick: bool) -> Numbers:
    """Run all schemes."""
    case = Case(networks.lenet5("fashion"), datasets.fashion())
    if quick:
        return _sized(case, SETTINGS[1:], count=3, draws=2)
    return _sized(case, SETTINGS, count=24, draws=10)


def _sized(case: Case, settings: Sequence[Counts], *, count: int, draws: int) -> Numbers:
    sizes = {"count": count, "draws": draws}
    return {"settings": run_case(case, settings, **sizes), **sizes}


def tables(numbers: Numbers) -> dict[str, str]:
    """Give the tables of README."""
    return {
        "science-fashion": f"{table_of_rows(numbers['settings'])}\n\n{tell_size(numbers)}",
        "science-fashion-differences": table_of_differences(numbers["settings"]),
    }


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001
    """Draw nothing."""
    return {}
