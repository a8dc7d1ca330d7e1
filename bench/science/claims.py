"""The paper's claims, our reproduction and our best, side by side, from the stored numbers.

An experiment of its own only in that it writes a table: it measures nothing and repeats what
`rates`, `polynomials`, `published` and `digits` stored.
"""

from __future__ import annotations

import json
from typing import Any

from matplotlib.figure import Figure

from bench.report import RESULTS, to_markdown
from bench.science.trials import tell

Numbers = dict[str, Any]

SOURCES = ("rates", "polynomials", "published")
OURS = ("SplineScheme", "KernelScheme")
HEADER = ("", "the paper", "LeTCC as published, here", "ours, here")


def run(*, quick: bool) -> Numbers:  # noqa: ARG001 (nothing here takes time)
    """Collect the numbers that the table needs."""
    folder = RESULTS / "science"
    stored = {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in SOURCES
    }
    rates, cubic = stored["rates"], stored["polynomials"]["degrees"]["3"]
    exact = [error for error in cubic["errors"]["LCC, all answers"] if error is not None]
    return {
        "slopes": {
            name: [found["x sin x"]["slope"], found["edge"]["slope"]]
            for name, found in (
                ("LeTCC", rates["against_n"]["LeTCC, scalar, none"]),
                ("BACC", rates["against_n"]["BACC, scalar, none"]),
                ("stragglers", rates["against_s"]["LeTCC, scalar"]),
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
        for name in ("BACC", "LeTCC", *OURS)
    }
    best = min(OURS, key=lambda name: found[name][0][0])
    return {
        "name": case["name"],
        "setting": case["setting"],
        "published": case["published"],
        "gain": case["gains"]["random"],
        "schemes": {name: found[name] for name in ("BACC", "LeTCC", best)},
        "best": best,
    }


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the one table."""
    slopes = {
        name: f"{tell(smooth, 2)} (x sin x), {tell(edge, 2)} (edge of W²,²)"
        for name, (smooth, edge) in numbers["slopes"].items()
    }
    lagrange = numbers["lagrange"]
    rows = [
        ["MSE against N, no noise, S fixed", "N^-3", slopes["LeTCC"], "(the same)"],
        ["BACC, likewise", "N^-2", slopes["BACC"], "-"],
        ["MSE against S + 1", "S^3 (abstract: S^4)", slopes["stragglers"], "-"],
        ["MSE against N, noisy", "N^-3/5", slopes["noisy"], f"lam by GCV: {slopes['gcv']}"],
        [
            "LCC, degree 3, K = 5, N = 20",
            "exact for S ≤ 7",
            f"exact to {lagrange['error']:.0e} for S ≤ {lagrange['lost']}, refused beyond",
            "-",
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
        rows.append([f"{case['name']} {setting}, LeTCC against BACC", claim, here, best])
    caption = (
        "Slopes of log-log fits and 95 % intervals. Of networks: mean L2 error of class "
        "probabilities, and accuracy over the network's own; ours is the better one of "
        f"{' and '.join(OURS)} in mean L2, at the same workers and losses. Other models and data "
        "than the paper's: see below."
    )
    return {"claims": f"{to_markdown(HEADER, rows, words=4)}\n\n{caption}"}


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing: the experiments have drawn their pictures."""
    return {}
