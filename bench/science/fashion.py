"""The schemes of `digits` on Fashion-MNIST and a LeNet5 of its own: nothing is tuned again."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.science import datasets, networks
from bench.science.digits import Numbers, run_case, table_of_differences, table_of_rows
from bench.science.rivals import Case
from bench.science.trials import Counts

SETTINGS = (Counts(20, 100, 60), Counts(60, 100, 20))


def run(*, quick: bool) -> Numbers:
    """Run all schemes."""
    case = Case(networks.lenet5("fashion"), datasets.fashion())
    if quick:
        return run_case(case, SETTINGS[1:], count=3, draws=2)
    return run_case(case, SETTINGS, count=24, draws=10)


def tables(numbers: Numbers) -> dict[str, str]:
    """Give the tables of README."""
    return {
        "science-fashion": table_of_rows(numbers),
        "science-fashion-differences": table_of_differences(numbers),
    }


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001
    """Draw nothing."""
    return {}
