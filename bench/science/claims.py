"""The paper's claims, our reproduction and our best, side by side, from the records of others."""

from __future__ import annotations

from typing import Any

from bench.documents import to_markdown
from bench.experiments import EXPERIMENTS
from bench.records import read
from bench.science.trials import tell

Numbers = dict[str, Any]

SOURCES = ("rates", "polynomials", "published")
OURS = ("spline", "kernel")
COPIES = ("replication-nearest", "replication-mean")
HEADER = ("", "the paper", "`letcc` as published, here", "ours and plain copies, here", "command")


def collect() -> Numbers:
    """Collect the numbers that the table needs."""
    stored = {name: read(EXPERIMENTS[name].path)["numbers"] for name in SOURCES}
    rates, cubic = stored["rates"], stored["polynomials"]["degrees"]["3"]
    exact = [error for error in cubic["errors"]["lagrange, all answers"] if error is not None]
    return {
        "slopes": {
            name: [found["x sin x"]["slope"], found["edge"]["slope"]]
            for name, found in (
                ("letcc", rates["against_n"]["letcc, scalar, none"]),
                ("berrut", rates["against_n"]["berrut, scalar, none"]),
                ("stragglers", rates["against_s"]["letcc, scalar"]),
                ("noisy", rates["noisy"]["lam = 1e-04 N^-4/5"]),
                ("gcv", rates["noisy"]["lam by GCV"]),
            )
        },
        "lagrange": {
            "error": max(median for median, _ in exact),
            "lost": cubic["lost"][len(exact) - 1],
        },
        "networks": [tell_network(case) for case in stored["published"]["cases"]],
    }


def tell_network(case: Numbers) -> Numbers:
    """Give of one network what was claimed, and what each scheme lost at the paper's setting."""
    curve = case["over_s"]
    place = curve["settings"].index(case["setting"])
    found = {
        name: [curve[measure][name][place] for measure in ("l2", "accuracy")]
        for name in ("berrut", "letcc", *OURS, *COPIES)
    }
    best, copies = (min(names, key=lambda name: found[name][0][0]) for names in (OURS, COPIES))
    return {
        "name": case["name"],
        "setting": case["setting"],
        "published": case["published"],
        "gain": case["gains"]["random"],
        "schemes": {name: found[name] for name in ("berrut", "letcc", best, copies)},
        "best": best,
    }


def tell_claims(numbers: Numbers) -> str:
    """Make the table."""
    slopes = {
        name: f"{tell(smooth, 2)} (x sin x), {tell(edge, 2)} (edge of W²,²)"
        for name, (smooth, edge) in numbers["slopes"].items()
    }
    lagrange = numbers["lagrange"]
    rows = [
        ["MSE against N, no noise, S fixed", "N^-3", slopes["letcc"], "-", "`rates`"],
        ["berrut, likewise", "N^-2", slopes["berrut"], "-", "`rates`"],
        ["MSE against S + 1", "S^3 (abstract: S^4)", slopes["stragglers"], "-", "`rates`"],
        [
            "MSE against N, noisy, lam_dec = 1e-4 N^-4/5",
            "N^-3/5",
            slopes["noisy"],
            f"lam by GCV: {slopes['gcv']}",
            "`rates`",
        ],
        [
            "lagrange, degree 3, K = 5, N = 20",
            "exact for S ≤ 7",
            f"exact to {lagrange['error']:.0e} for S ≤ {lagrange['lost']}, refused beyond",
            "-",
            "`polynomials`",
        ],
    ]
    for case in numbers["networks"]:
        setting = f"({', '.join(map(str, case['setting']))})"
        published = case["published"]
        claim = "-" if published is None else "L2 {:+.0f} %, accuracy {:+.0f} %".format(*published)
        gain = case["gain"]
        here = (
            f"L2 {gain['l2'][0]:+.1f} ± {gain['l2'][1]:.1f} %, "
            f"accuracy {gain['accuracy'][0]:+.1f} ± {gain['accuracy'][1]:.1f} %"
        )
        schemes = case["schemes"]
        best = "; ".join(
            f"{name} {tell(l2)}, {tell(accuracy)}" for name, (l2, accuracy) in schemes.items()
        )
        what = f"{case['name']} {setting}, `letcc` against `berrut`"
        rows.append([what, claim, here, best, "`published`"])
    caption = (
        "Slopes of log-log fits with 95 % intervals, to be compared with upper bounds: errors far "
        "below a bound may fall, and rise, faster (x sin x); at the edge of W²,² the bounds are "
        "nearly reached. The noisy rate is that of one constant, 1e-4, which the theorem leaves "
        "open; GCV needs none. Not tested: the noisy bound's growth with S^(8/5). Of networks: "
        "mean L2 error of class probabilities, and accuracy over the network's own; of "
        f"{' and '.join(OURS)}, and of the two fallbacks of plain copies, the one with the smaller "
        "mean L2. Other models and data than the paper's, see below. "
        "`python -m bench.science NAME` runs one."
    )
    return f"{to_markdown(HEADER, rows, words=len(HEADER))}\n\n{caption}"
