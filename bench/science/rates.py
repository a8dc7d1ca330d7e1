"""How fast errors fall as workers are added: slopes against N and S beside the theorems'.

Each input set is a repeat of its own: its errors are averaged over its draws of lost workers, one
straight line is fitted to log MSE against log N, and the interval is Student's t over the slopes.
Each has sizes of its own, near the nominal ones: how an input's point lies between the workers'
depends on N, and would else be a common error of all repeats that their interval does not know.

Two functions, as columns of one answer. x sin x is smooth. The other one, sum_k |x - x_k|^1.55 with
its kinks at the inputs themselves, is at the edge of the theorem's class W^{2,2}: its second
derivative goes like |x - x_k|^-.45, whose square can just be integrated (powers up to 1.5 cannot),
and errors are looked at right at the kinks. A cubic spline errs there by c gap^1.55, so that MSE
falls like ((S + 1) / N)^3.1 if the S lost workers are those around a kink: as good as S^3 N^-3.
(The theorem asks for a bounded f'' besides, which this function has not. It is no case of the
theorem, but of what its exponent comes from: that f of the encoder's curve is in W^{2,2}.)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.science.placed import PlacedSpline
from bench.science.trials import Array, Function, interval, tell
from bench.science.workloads import x_sin_x
from coded import BerrutScheme, Scheme, SplineScheme, chebyshev_first, equidistant, simulate
from coded.stragglers import (
    ConsecutiveStragglers,
    IndependentStragglers,
    StragglerModel,
    UniformStragglers,
)

K = 5
EDGE = 1.55  # power of |x - x_k|
WIDTH = 8  # of a vector input
SIZES = [32, 45, 64, 91, 128, 181, 256, 362, 512]  # nominal
LOST = [0, 1, 2, 4, 8, 16]  # where N is fixed
N_FIXED = 256
S_FIXED = 8
SIGMA = 0.1  # of the noise on each answer
S_NOISY = 2
CONSTANTS = [1e-3, 1e-4]  # c of lam_dec = c N^(-4/5), fixed before anything was measured
FUNCTIONS = ["x sin x", "edge"]
FAMILIES = {"letcc": SplineScheme.paper, "berrut": BerrutScheme}
LIMITS = {"letcc": -2.7, "berrut": -1.7, "noisy": -0.5}
OURS, THEIRS, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C8C8C"

Numbers = dict[str, Any]


@dataclass
class EveryBlock:
    """Each block of `count` neighbouring workers in turn, for a worst case; no chance in it."""

    count: int
    starts: itertools.count[int] = field(default_factory=itertools.count)

    def draw(self, n_workers: int, rng: np.random.Generator) -> NDArray[np.intp]:  # noqa: ARG002
        """Give the next block."""
        return next(self.starts) % (n_workers - self.count + 1) + np.arange(self.count)


LOSSES: dict[str, Callable[[], StragglerModel]] = {
    "none": lambda: UniformStragglers(0),
    "2, random": lambda: UniformStragglers(2),
    "8, random": lambda: UniformStragglers(S_FIXED),
    "8, a random block": lambda: ConsecutiveStragglers(S_FIXED),
    "8, the worst block": lambda: EveryBlock(S_FIXED),
    "each with p = .3": lambda: IndependentStragglers(0.3),
}


def scalar_problem(seed: int) -> tuple[Array, Function]:
    """Give five sorted inputs in [0, 6], and both functions as columns, shape (n, 2)."""
    inputs = np.sort(np.random.default_rng([41, seed]).uniform(0.0, 6.0, K))

    def fn(z: Array) -> Array:
        edge = (np.abs(z[:, None] - inputs) ** EDGE).sum(axis=1)
        return np.stack([x_sin_x(z), edge], axis=1)

    return inputs, fn


def vector_problem(seed: int) -> tuple[Array, Function]:
    """Give five inputs in R^8, and both functions as ten outputs each, shape (n, 2, 10).

    An output is the scalar function of the input's part along a direction of its own.
    """
    rng = np.random.default_rng([42, seed])
    inputs = rng.uniform(0.0, 6.0, (K, WIDTH))
    directions = rng.standard_normal((WIDTH, 10)) / np.sqrt(WIDTH)
    kinks = inputs @ directions

    def fn(rows: Array) -> Array:
        z = rows @ directions
        edge = (np.abs(z[:, None] - kinks) ** EDGE).sum(axis=1)
        return np.stack([x_sin_x(z), edge], axis=1)

    return inputs, fn


PROBLEMS = {"scalar": scalar_problem, "vector": vector_problem}


def sizes_of(seed: int, nominal: list[int]) -> list[int]:
    """Give one input set's sizes, within 2^(1/4) of the nominal ones and even.

    BACC errs several times less at odd N than at even.
    """
    factors = 2.0 ** np.random.default_rng([44, seed]).uniform(-0.25, 0.25, len(nominal))
    return [2 * round(n * factor / 2) for n, factor in zip(nominal, factors, strict=True)]


def squares(outputs: Array, reference: Array) -> Array:
    """Give the MSE of each draw and function, shape (draws, 2), of outputs (draws, K, 2, ...)."""
    errors = (outputs - reference) ** 2
    return np.asarray(errors.reshape(*errors.shape[:3], -1).sum(axis=-1).mean(axis=1))


def loss(
    problem: tuple[Array, Function], scheme: Scheme, stragglers: StragglerModel, *, draws: int
) -> Array:
    """Give the MSE of both functions: its mean over draws, or its largest over all blocks."""
    inputs, fn = problem
    worst = isinstance(stragglers, EveryBlock)
    repeats = scheme.n_workers - stragglers.count + 1 if worst else draws
    simulation = simulate(fn, inputs, scheme, stragglers=stragglers, repeats=repeats)
    each = squares(np.asarray(simulation.outputs), np.asarray(simulation.reference))
    return np.asarray(each.max(axis=0) if worst else each.mean(axis=0))


def noisy_losses(seed: int, n_workers: int, *, draws: int) -> Array:
    """Give the mean MSE of both functions by each decoder in `DECODERS`, shape (decoders, 2)."""
    inputs, fn = scalar_problem(seed)
    rng = np.random.default_rng([43, seed, n_workers])
    lam = n_workers**-0.8
    alpha, beta = chebyshev_first(K), equidistant(n_workers)
    splines = [PlacedSpline(alpha, beta, lam_dec=c * lam) for c in CONSTANTS]
    splines += [PlacedSpline(alpha, beta), PlacedSpline(alpha, beta, lam_dec="gcv")]
    schemes = [*splines, BerrutScheme(K, n_workers)]
    model = UniformStragglers(S_NOISY)
    clean = [fn(scheme.encode(inputs)) for scheme in schemes]
    total = np.zeros((len(schemes), 2))
    for _ in range(draws):
        who = np.setdiff1d(np.arange(n_workers), model.draw(n_workers, rng))
        noise = SIGMA * rng.standard_normal((len(who), 2))
        for i, (scheme, answers) in enumerate(zip(schemes, clean, strict=True)):
            # A lam for each function: they share the noise's size, not the curve.
            decoded = [
                scheme.decode(answers[who, j] + noise[:, j], who) for j in range(len(FUNCTIONS))
            ]
            total[i] += squares(np.stack(decoded, axis=1)[None], fn(inputs))[0]
    return total / draws


DECODERS = [*(f"lam = {c:.0e} N^-4/5" for c in CONSTANTS), "lam = 0", "lam by GCV", "berrut"]


def slopes(sizes: list[list[int]], losses: Array) -> list[list[float]]:
    """Fit log loss against log size, (repeats, sizes, functions): intervals over repeats."""
    fits = [
        np.polyfit(np.log(own), np.log(one), 1)[0] for own, one in zip(sizes, losses, strict=True)
    ]
    return [interval(column) for column in np.array(fits).T]


def summary(sizes: list[list[int]], losses: Array) -> Numbers:
    """Give slopes and geometric means over repeats of losses (repeats, sizes, functions)."""
    means = np.exp(np.log(losses).mean(axis=0)).T
    return {
        name: {"slope": slope, "mse": [float(f"{value:.4g}") for value in mean]}
        for name, slope, mean in zip(FUNCTIONS, slopes(sizes, losses), means, strict=True)
    }


def run(*, quick: bool = False) -> Numbers:
    """Measure all slopes."""
    repeats, draws = (3, 4) if quick else (20, 20)
    nominal = SIZES[:5:2] if quick else SIZES
    lost = LOST[:4] if quick else LOST
    n_fixed = 128 if quick else N_FIXED
    numbers: Numbers = {"repeats": repeats, "draws": draws, "sizes": nominal, "lost": lost}
    numbers |= {"n_fixed": n_fixed, "against_n": {}, "against_s": {}}
    sizes = [sizes_of(seed, nominal) for seed in range(repeats)]
    some = range(max(3, repeats // 2))  # where each draw is a search for the worst block
    for kind, problem in PROBLEMS.items():
        for family, make in FAMILIES.items():
            for name, model in LOSSES.items():
                measured = [
                    [
                        loss(problem(seed), make(K, n, n_stragglers=n - 2), model(), draws=draws)
                        for n in sizes[seed]
                    ]
                    for seed in (some if "worst" in name else range(repeats))
                ]
                numbers["against_n"][f"{family}, {kind}, {name}"] = summary(
                    sizes[: len(measured)], np.array(measured)
                )
            fixed = [
                make(K, n, n_stragglers=n - 2) for seed in some for n in sizes_of(seed, [n_fixed])
            ]
            measured = [
                [loss(problem(seed), fixed[seed], EveryBlock(s), draws=draws) for s in lost]
                for seed in some
            ]
            numbers["against_s"][f"{family}, {kind}"] = summary(
                [[s + 1 for s in lost] for _ in some], np.array(measured)
            )
    noisy = np.array(
        [[noisy_losses(seed, n, draws=draws) for n in sizes[seed]] for seed in range(repeats)]
    )
    numbers["noisy"] = {name: summary(sizes, noisy[:, :, i]) for i, name in enumerate(DECODERS)}
    return numbers


def tables(numbers: Numbers) -> dict[str, str]:
    """Give the slopes against N without and with noise, and against S."""
    rows = []
    for family in FAMILIES:
        for name in LOSSES:
            found = [numbers["against_n"][f"{family}, {kind}, {name}"] for kind in PROBLEMS]
            cells = [judged(one[f]["slope"], LIMITS[family]) for one in found for f in FUNCTIONS]
            rows.append([family, name, *cells])
    header = ["", "workers lost", *(f"{f}, {kind}" for kind in PROBLEMS for f in FUNCTIONS)]
    sizes = numbers["sizes"]
    draws = f"{numbers['repeats']} input sets, {numbers['draws']} draws each"
    noiseless = (
        f"{to_markdown(header, rows, words=2)}\n\n"
        f"Slope of log MSE against log N, N near {sizes[0]} ... {sizes[-1]}, K = {K}, no noise; "
        f"{draws} (of the worst block, half the sets), 95 % intervals over input sets. "
        f"\\*: the upper end is above {LIMITS['letcc']} (`letcc`) or {LIMITS['berrut']} "
        "(`berrut`). The theorems' bounds fall with slopes -3 and -2; at x sin x errors fall "
        "faster, at the edge function, |x - x_k|^1.55 at each input, the local error falls with "
        "slope -3.1. Where many are lost slopes are steeper: too few workers are left at small N. "
        "`berrut` errs several times less at odd N: all N are even."
    )
    rows = []
    for decoder, found in numbers["noisy"].items():
        # Those do not average the noise: nothing is claimed of them.
        limit = np.inf if decoder in ("lam = 0", "berrut") else LIMITS["noisy"]
        cells = [judged(found[f]["slope"], limit) for f in FUNCTIONS]
        rows.append([decoder, *cells, *(f"{found[f]['mse'][-1]:.1e}" for f in FUNCTIONS)])
    header = ["decoder", *(f"slope, {f}" for f in FUNCTIONS)]
    header += [f"MSE near N = {sizes[-1]}, {f}" for f in FUNCTIONS]
    noisy = (
        f"{to_markdown(header, rows)}\n\n"
        f"The same with noise of standard deviation {SIGMA} on each answer, S = {S_NOISY} lost at "
        f"random, equidistant workers (`berrut`: its own points); {draws}. \\*: the upper end is "
        f"above {LIMITS['noisy']}; the theorem's bound falls with slope -3/5. lam = 0 and `berrut` "
        "do not average the noise: they are not judged, and end near its variance, .01."
    )
    rows = [
        [name, *(tell(found[f]["slope"], 2) for f in FUNCTIONS)]
        for name, found in numbers["against_s"].items()
    ]
    against_s = (
        f"{to_markdown(['', *FUNCTIONS], rows)}\n\n"
        f"Slope of log MSE against log(S + 1), S = {numbers['lost'][0]} ... {numbers['lost'][-1]}, "
        f"the worst block of S neighbours lost, N near {numbers['n_fixed']}. Not judged: the "
        "theorem bounds MSE by S^3 N^-3 (camera-ready; the abstract says S^4 N^-3), `berrut`'s by "
        "S^4 N^-2, and errors far below a bound may rise faster than it does."
    )
    return {"rates": noiseless, "rates-noisy": noisy, "rates-stragglers": against_s}


def judged(slope: list[float], limit: float) -> str:
    """Write a slope, with a star where its interval's upper end is above the limit."""
    return tell(slope, 2) + (" \\*" if sum(slope) > limit else "")


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw MSE against N for both functions, against S, and with noise, all log-log."""
    figure = Figure(figsize=(9.6, 7.2), dpi=100, layout="constrained")
    smooth, edge, against_s, noisy = figure.subplots(2, 2).ravel()
    sizes = np.array(numbers["sizes"])
    styles = {"none": ":", "8, random": "--", "8, the worst block": "-"}
    for axes, function in ((smooth, "x sin x"), (edge, "edge")):
        for family, color in zip(FAMILIES, (OURS, THEIRS), strict=True):
            for name, style in styles.items():
                found = numbers["against_n"][f"{family}, scalar, {name}"][function]
                axes.plot(sizes, found["mse"], style, color=color, label=f"{family}, lost: {name}")
        end = numbers["against_n"]["letcc, scalar, none"][function]["mse"][-1]
        start = numbers["against_n"]["letcc, scalar, none"]["edge"]["mse"][0]
        anchor = 3 * start if function == "x sin x" else 8 * end * (sizes[-1] / sizes[0]) ** 3
        guide(axes, sizes, anchor, -3, "slope -3")
        finish(axes, "N workers", f"{function}, no noise")
    edge.set_ylim(bottom=1e-11)
    edge.legend(frameon=False, fontsize=8, loc="lower left")
    lost = np.array(numbers["lost"]) + 1
    for family, color in zip(FAMILIES, (OURS, THEIRS), strict=True):
        for function, style in zip(FUNCTIONS, ("--", "-"), strict=True):
            found = numbers["against_s"][f"{family}, scalar"][function]
            against_s.plot(lost, found["mse"], style, color=color, label=f"{family}, {function}")
    first = numbers["against_s"]["letcc, scalar"]["edge"]["mse"][0]
    guide(against_s, lost, first / 2, 3, "slope 3")
    finish(against_s, "S + 1, S neighbours lost", f"the worst block, N near {numbers['n_fixed']}")
    against_s.legend(frameon=False, fontsize=8)
    colors = (OURS, GREEN, GREY, PURPLE, THEIRS)
    for (decoder, found), color in zip(numbers["noisy"].items(), colors, strict=True):
        noisy.plot(sizes, found["edge"]["mse"], color=color, label=decoder)
    guide(noisy, sizes, 2 * numbers["noisy"]["lam by GCV"]["edge"]["mse"][0], -0.6, "slope -3/5")
    finish(noisy, "N workers", f"edge, noise {SIGMA}, S = {S_NOISY}")
    noisy.legend(frameon=False, fontsize=8)
    return {"rates.png": figure}


def guide(axes: Axes, x: NDArray[Any], start: float, slope: float, label: str) -> None:
    """Draw a straight line of that slope in the log-log plot."""
    axes.plot(x, start * (x / x[0]) ** slope, color="black", lw=0.9, alpha=0.7)
    axes.annotate(label, (x[-1], 1.6 * start * (x[-1] / x[0]) ** slope), fontsize=8, ha="right")


def finish(axes: Axes, x: str, title: str) -> None:
    """Name the axes."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel("MSE")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
