"""README's table and picture of latencies under redundancy: `python -m bench.engines.latency`.

One simulated cluster, one load, the same arrivals for all policies; two laws of service time with
a mean of one second. The picture shows the tails, the table their quantiles and what they cost.
"""

from __future__ import annotations

import math
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from bench.report import README, RESULTS, to_markdown, write_table
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

PICTURE = RESULTS / "latency.png"
N_SERVERS, LOAD, N_REQUESTS = 20, 0.3, 200_000
QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999}
SIZE, DPI = (8.4, 3.6), 100
COLOURS = ("#000000", "#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#8C8C8C", "#009E73")

# each law with its 95th percentile, after which requests are hedged
LAWS: dict[str, tuple[ServiceTime, float]] = {
    "exponential": (Exponential(), math.log(20.0)),
    "Pareto": (ParetoDelays(scale=0.5, shape=2.0, cap=100.0), 0.5 * math.sqrt(20.0)),
}

Results = dict[str, dict[str, LatencyResult]]


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


def tell(results: Results) -> str:
    """Make the table, a block of columns a law."""
    header = ["policy"]
    for law in results:
        header += [f"{law}: median s", "p99 s", "p99.9 s", "work"]
    names = policies(1.0)
    rows = [
        [name, *(cell for law in results for cell in _cells(results[law][name]))] for name in names
    ]
    n_requests = next(iter(results["Pareto"].values())).latencies.size
    caption = (
        f"{N_SERVERS} servers with queues, first come first served, {100 * LOAD:.0f} % of their "
        f"time taken by one copy of each request; {n_requests:,} simulated requests, the same "
        "arrivals for all. Service times with a mean of 1 s: exponential, and Pareto, "
        "P(X > t) = (0.5 s / t)², cut at 100 s. Work: seconds that servers worked for a request. "
        "Copies that are not needed any more are taken back at once, except where said. A part of "
        "a split request takes a quarter of a service time; MDS codes are for linear work."
    )
    return f"{to_markdown(header, rows)}\n\n{caption}"


def _cells(result: LatencyResult) -> list[str]:
    quantiles = result.quantile(list(QUANTILES.values()))
    return [*(f"{seconds:.2f}" for seconds in quantiles), f"{result.load_per_request:.2f}"]


def draw(results: Results) -> Figure:
    """Draw the tails, a panel a law."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True)
    levels = np.geomspace(1.0, 3e-4, 200)  # of the tail, so that few points draw a curve
    for axes, (law, by_policy) in zip(panels, results.items(), strict=True):
        for colour, (name, result) in zip(COLOURS, by_policy.items(), strict=True):
            axes.plot(result.quantile(1.0 - levels), levels, color=colour, lw=1.5, label=name)
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
    return figure


def main(path: Path = PICTURE, *, readme: Path = README, n_requests: int = N_REQUESTS) -> None:
    """Simulate, write the picture and rewrite the table."""
    results = simulate_all(n_requests)
    path.parent.mkdir(exist_ok=True)
    buffer = BytesIO()
    draw(results).savefig(buffer)
    Image.open(buffer).convert("RGB").quantize(64).save(path, optimize=True)
    write_table("latency", tell(results), readme=readme)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
