"""Model servers under light and heavy load while workers die and freeze.

Each of the servers of `digit_server`: one idle worker a request, copies, a code, each of them
hedged or not. Labels are compared with the network's own. ``--quick`` loads the coded server for
seconds. Linux: processes are found by /proc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from signal import SIGKILL, SIGSTOP, Signals
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.engines.load import Load, Outcome, Reply, strike
from bench.experiments import main

PICTURE = "serving.png"
STRATEGIES = ("uncoded", "uncoded, hedged", "copies", "copies, hedged", "coded", "coded, hedged")
DRAWN = ("uncoded", "uncoded, hedged", "coded")

Numbers = dict[str, Any]
Servers = dict[str, dict[str, Outcome]]  # by strategy and load

LIGHT = Load(
    workers=8,
    rate=30.0,
    seconds=30.0,
    faults=((6.0, SIGKILL), (10.0, SIGSTOP), (14.0, SIGKILL), (18.0, SIGSTOP)),
    recovery=6.0,
)
# As much as leaves two copies of everything a fifth of the workers: uncoded keeps a third of them
# busy, and from half on two copies are more than all can do.
HEAVY = replace(
    LIGHT,
    rate=120.0,
    seconds=24.0,
    faults=((4.0, SIGKILL), (8.0, SIGSTOP), (12.0, SIGKILL), (16.0, SIGSTOP)),
    recovery=5.0,
)
FULL = {"light": LIGHT, "heavy": HEAVY}
QUICK = {
    "light": Load(
        workers=6, rate=20.0, seconds=6.0, faults=((1.0, SIGKILL), (2.5, SIGSTOP)), recovery=2.0
    )
}


def run(*, quick: bool) -> Numbers:
    """Load all servers, or the coded one for seconds."""
    loads, strategies = (QUICK, ["coded"]) if quick else (FULL, STRATEGIES)
    servers = {}
    for strategy in strategies:
        outcomes = strike(loads, strategy)
        servers[strategy] = {name: summarise(one) for name, one in outcomes.items()}
    return {"loads": {name: asdict(load) for name, load in loads.items()}, "servers": servers}


def summarise(outcome: Outcome) -> Numbers:
    """Keep every latency, which replies were not as they should be, and what struck when."""
    replies = outcome.replies
    return {
        "seconds": [round(one.seconds, 4) for one in replies],
        "lost": {str(i): one.failure for i, one in enumerate(replies) if one.failure},
        "changed": [i for i, one in enumerate(replies) if not (one.failure or one.is_same)],
        "estimated": [i for i, one in enumerate(replies) if not (one.failure or one.is_exact)],
        "struck": [[round(at, 3), int(signal)] for at, signal, _ in outcome.struck],
        "counts": outcome.counts,
    }


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table, and a short one for who chooses."""
    loads, servers = restore(numbers)
    return {
        "serving": f"{tell(loads, servers)}\n\n{caption(loads)}",
        "hedging": f"{tell_briefly(loads, servers)}\n\n{_caption_briefly(loads)}",
    }


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw latency over time, a row a server, a column a load, faults as lines."""
    return {PICTURE: draw_latencies(restore(numbers)[1])}


def restore(numbers: Numbers) -> tuple[dict[str, Load], Servers]:
    """Give loads and outcomes of a record, without the processes' ids, which say nothing later."""
    loads = {
        name: Load(**load | {"faults": tuple((at, Signals(one)) for at, one in load["faults"])})
        for name, load in numbers["loads"].items()
    }
    servers = {
        strategy: {name: _restore(loads[name], one) for name, one in outcomes.items()}
        for strategy, outcomes in numbers["servers"].items()
    }
    return loads, servers


def _restore(load: Load, one: Numbers) -> Outcome:
    changed, estimated = set(one["changed"]), set(one["estimated"])
    replies = []
    for i, seconds in enumerate(one["seconds"]):
        failure = one["lost"].get(str(i), "")
        is_same, is_exact = (not failure and i not in some for some in (changed, estimated))
        replies.append(Reply(i / load.rate, seconds, failure, is_same, is_exact))
    struck = [(at, Signals(signal), 0) for at, signal in one["struck"]]
    return Outcome(replies, struck, set(), set(), [], one["counts"])


def tell(loads: Mapping[str, Load], servers: Servers) -> str:
    """Make the table."""
    header = ["load", "server", "healthy: p50 s", "p99 s", "labels changed"]
    header += ["faults: p50 s", "p99 s", "worst s", "labels changed", "lost"]
    header += ["estimates", "hedges", "retries", "tasks a request"]
    rows = [
        [name, strategy, *_tell_outcome(load, outcomes[name])]
        for name, load in loads.items()
        for strategy, outcomes in servers.items()
    ]
    return to_markdown(header, rows, words=2)


def _tell_outcome(load: Load, outcome: Outcome) -> list[str]:
    counts = outcome.counts
    told = [*_quantiles(load, outcome, is_faulty=False), str(_changed(load, outcome)[0])]
    told += [*_quantiles(load, outcome, is_faulty=True), _worst(outcome)]
    told += [str(_changed(load, outcome)[1]), str(_lost(outcome))]
    told.append(str(sum(not (one.failure or one.is_exact) for one in outcome.replies)))
    return [*told, str(counts["hedges"]), str(counts["retries"]), _tasks(outcome)]


def tell_briefly(loads: Mapping[str, Load], servers: Servers) -> str:
    """Make a table with a row a server."""
    header = ["server"]
    for name in loads:
        header += [f"{name} load: p50 s", "p99 s", "faults: p99 s", "worst s", "tasks a request"]
    rows = []
    for strategy, outcomes in servers.items():
        row = [strategy]
        for name, load in loads.items():
            row += _quantiles(load, outcomes[name], is_faulty=False)
            row.append(_quantiles(load, outcomes[name], is_faulty=True)[1])
            row += [_worst(outcomes[name]), _tasks(outcomes[name])]
        row.append(str(sum(_lost(one) for one in outcomes.values())))
        changed = [sum(_changed(load, outcomes[name])) for name, load in loads.items()]
        rows.append([*row, str(sum(changed))])
    return to_markdown([*header, "lost", "labels changed"], rows)


def _quantiles(load: Load, outcome: Outcome, *, is_faulty: bool) -> list[str]:
    """Tell the median and the p99, of requests that came with or without faults."""
    seconds = [one.seconds for one in outcome.replies if load.is_faulty(one.due) == is_faulty]
    return [f"{value:.3f}" for value in np.quantile(seconds, [0.5, 0.99])]


def _worst(outcome: Outcome) -> str:
    return f"{max(one.seconds for one in outcome.replies):.3f}"


def _tasks(outcome: Outcome) -> str:
    return f"{outcome.counts['tasks'] / len(outcome.replies):.2f}"


def _lost(outcome: Outcome) -> int:
    return sum(bool(one.failure) for one in outcome.replies)


def _changed(load: Load, outcome: Outcome) -> tuple[int, int]:
    """Count labels that are not the network's own, without faults and with them."""
    changed = [
        load.is_faulty(one.due) for one in outcome.replies if not (one.failure or one.is_same)
    ]
    return len(changed) - sum(changed), sum(changed)


def _caption_briefly(loads: Mapping[str, Load]) -> str:
    rates = ", ".join(f"{name}: {load.rate:g} requests a second" for name, load in loads.items())
    n = next(iter(loads.values())).workers
    return (
        f"{n} worker processes, {rates}; faults: while some are killed and frozen. Uncoded: an "
        f"idle worker a request. Copies, coded: batches for all workers, ReplicationScheme and "
        f"KernelScheme({n // 2}, {n})."
    )


def caption(loads: Mapping[str, Load]) -> str:
    """Say what was done."""
    from bench.engines.digit_server import BATCH, HEDGE, SERVICE, TIMEOUT

    said = "; ".join(_tell_load(name, load) for name, load in loads.items())
    n = next(iter(loads.values())).workers
    return (
        f"LitServe with LeNet5 (made to take {1000 * SERVICE:g} ms) on {n} worker processes, which "
        f"are struck by signals. {said}. Healthy: before the first signal, and once the last is "
        "over; faults: between. Latencies count from when a request was due, lost ones included. "
        "Changed: not the label that the network itself gives. All servers are a CodedModel that "
        f"waits for exact answers, {TIMEOUT:g} s at most, and replace dead workers, and those at "
        f"a task for {TIMEOUT:g} s. Uncoded: an idle worker a request, ReplicationScheme(1, 1). "
        f"Copies and coded: batches of up to {n // 2} requests within {1000 * BATCH:g} ms for all "
        f"workers, ReplicationScheme and KernelScheme({n // 2}, {n}); places that a batch leaves "
        f"empty take further copies. Hedged: hedge_after={HEDGE:g}. Tasks: those that a worker has "
        "begun."
    )


def _tell_load(name: str, load: Load) -> str:
    kinds = ", ".join(f"{one.name} at {at:g} s" for at, one in load.faults)
    return (
        f"{name.capitalize()}: {load.rate:g} requests a second for {load.seconds:g} s, {kinds}, "
        f"over after {load.recovery:g} s more"
    )


def draw_latencies(servers: Servers) -> Figure:
    """Draw latency over time, a row a server, a column a load, faults as lines."""
    drawn = {strategy: one for strategy, one in servers.items() if strategy in DRAWN}
    names = list(next(iter(drawn.values())))
    figure = Figure(figsize=(4.8 * len(names), 2.0 * len(drawn)), dpi=100, layout="constrained")
    panels = figure.subplots(len(drawn), len(names), sharex="col", sharey=True, squeeze=False)
    for row, (strategy, outcomes) in zip(panels, drawn.items(), strict=True):
        for panel, name in zip(row, names, strict=True):
            _draw_outcome(panel, outcomes[name])
            panel.set_title(f"{strategy}, {name} load", loc="left", fontsize=10)
        row[0].set_ylabel("latency in s")
    for panel in panels[-1]:
        panel.set_xlabel("request due, s")
    return figure


def _draw_outcome(panel: Axes, outcome: Outcome) -> None:
    for is_lost, colour, marker in ((False, "tab:blue", "."), (True, "tab:red", "x")):
        replies = [one for one in outcome.replies if bool(one.failure) == is_lost]
        if not replies:
            continue
        name = f"{len(replies)} {'lost' if is_lost else 'answered'}"
        due, seconds = ([getattr(one, what) for one in replies] for what in ("due", "seconds"))
        panel.scatter(due, seconds, s=6 + 20 * is_lost, c=colour, marker=marker, label=name)
    for at, signal, _ in outcome.struck:
        panel.axvline(at, color="black", linewidth=0.8, linestyle=":")
        panel.annotate(
            "killed" if signal == SIGKILL else "frozen", (at, 0.0),
            xycoords=("data", "axes fraction"), xytext=(2, 3), textcoords="offset points",
            fontsize=8,
        )  # fmt: skip
    panel.set_yscale("log")
    panel.legend(loc="upper left", fontsize=8)


if __name__ == "__main__":
    main("serving")
