"""Latencies under redundancy, simulated.

One simulated cluster, one load, the same arrivals for all policies; two laws of service time with
a mean of one second. The picture shows the tails, the table their quantiles and what they cost.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.experiments import main
from coded import ParetoDelays
from coded.latency import (
    Exponential,
    Hedged,
    LatencyResult,
    Policy,
    Redundant,
    ServiceTime,
    Tied,
    simulate_latency,
)

PICTURE = "latency.png"
N_SERVERS, LOAD, N_REQUESTS = 20, 0.3, 200_000
QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999}
SIZE, DPI = (8.4, 3.6), 100
COLOURS = ("#000000", "#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#8C8C8C", "#009E73")

# each law with its 95th percentile, after which requests are hedged
LAWS: dict[str, tuple[ServiceTime, float]] = {
    "exponential": (Exponential(), math.log(20.0)),
    "Pareto": (ParetoDelays(scale=0.5, shape=2.0, cap=100.0), 0.5 * math.sqrt(20.0)),
}

LEVELS = np.geomspace(1.0, 3e-4, 200)  # of the tail, so that few points draw a curve

Results = dict[str, dict[str, LatencyResult]]
Numbers = dict[str, Any]


def policies(hedge_after: float) -> dict[str, Policy]:
    """Give the policies that are compared, by the names they have in the table."""
    return {
        "one server": Redundant(1),
        "2 copies": Redundant(2),
        "2 copies, never taken back": Redundant(2, cancel_seconds=math.inf),
        "hedged after p95": Hedged(hedge_after),
        "tied, 2 servers": Tied(),
        "split in 4": Redundant(4, needed=4),
        "split in 4, MDS-coded into 6": Redundant(6, needed=4),
    }


def simulate_all(n_requests: int = N_REQUESTS) -> Results:
    """Simulate each policy under each law."""
    return {
        law: {
            name: simulate_latency(
                policy, service, n_servers=N_SERVERS, load=LOAD, n_requests=n_requests
            )
            for name, policy in policies(hedge_after).items()
        }
        for law, (service, hedge_after) in LAWS.items()
    }


def run(*, quick: bool) -> Numbers:
    """Simulate all, and keep of each its quantiles, its tail and its cost."""
    n_requests = 2000 if quick else N_REQUESTS
    return {
        "n_requests": n_requests,
        "levels": _rounded(LEVELS),
        "laws": {
            law: {name: summarise(result) for name, result in by_policy.items()}
            for law, by_policy in simulate_all(n_requests).items()
        },
    }


def summarise(result: LatencyResult) -> Numbers:
    """Keep what table and picture tell."""
    return {
        "quantiles": _rounded(result.quantile(list(QUANTILES.values()))),
        "tail": _rounded(result.quantile(1.0 - LEVELS)),
        "work": result.load_per_request,
    }


def _rounded(numbers: np.ndarray) -> list[float]:
    return [float(f"{number:.5g}") for number in numbers]


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table, a block of columns a law."""
    header, laws = ["policy"], numbers["laws"]
    for law in laws:
        header += [f"{law}: median s", "p99 s", "p99.9 s", "work"]
    rows = [
        [name, *(cell for law in laws for cell in _cells(laws[law][name]))]
        for name in policies(1.0)
    ]
    caption = (
        f"{N_SERVERS} servers with queues, first come first served, {100 * LOAD:.0f} % of their "
        f"time taken by one copy of each request; {numbers['n_requests']:,} simulated requests, "
        "the same arrivals for all. Service times with a mean of 1 s: exponential, and Pareto, "
        "P(X > t) = (0.5 s / t)², cut at 100 s. Work: seconds that servers worked for a request. "
        "Copies that are not needed any more are taken back at once, except where said. A part of "
        "a split request takes a quarter of a service time; MDS codes are for linear work."
    )
    return {"latency": f"{to_markdown(header, rows)}\n\n{caption}"}


def _cells(result: Numbers) -> list[str]:
    return [*(f"{seconds:.2f}" for seconds in result["quantiles"]), f"{result['work']:.2f}"]


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw the tails, a panel a law."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(numbers["laws"]), sharey=True)
    for axes, (law, by_policy) in zip(panels, numbers["laws"].items(), strict=True):
        for colour, (name, result) in zip(COLOURS, by_policy.items(), strict=True):
            axes.plot(result["tail"], numbers["levels"], color=colour, lw=1.5, label=name)
        axes.set_yscale("log")
        axes.set_xscale("log")
        axes.set_xlim(0.08, 120.0)
        axes.set_title(f"{law} service times", fontsize=10)
        axes.set_xlabel("seconds")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("requests that take longer")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return {PICTURE: figure}


if __name__ == "__main__":
    main("latency")
