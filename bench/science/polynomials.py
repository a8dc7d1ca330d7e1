"""Polynomials: Lagrange codes are exact there, as far as floating-point numbers allow.

Four random polynomials at once: sum_m c_m T_m with independent N(0, 1) coefficients on Chebyshev
polynomials, of random inputs in [-1, 1]. Errors are relative, ||error|| / ||f(inputs)|| over all K
inputs. All schemes lose the same workers; larger S only lose more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.science.trials import Array
from coded import (
    BerrutScheme,
    LagrangeScheme,
    NotEnoughRespondersError,
    ReplicationScheme,
    Scheme,
    SplineScheme,
    path_order,
)
from coded.algebra.barycentric import barycentric_matrix, polynomial_weights
from coded.stragglers import UniformStragglers

# Degree: K, N, numbers of stragglers.
SETTINGS = {
    3: (5, 20, [0, 3, 5, 7, 8, 10]),
    15: (10, 200, [0, 16, 32, 48, 64, 72]),
}
N_FUNCTIONS = 4
COLORS = {
    "lagrange, all answers": "#0072B2",
    "lagrange, any R answers": "#D55E00",
    "berrut, path": "#CC79A7",
    "letcc": "#8C8C8C",
    "letcc, path": "#009E73",
    "spline": "#E69F00",
    "replication-nearest": "#000000",
}

Numbers = dict[str, Any]


def polynomials(degree: int, seed: int) -> Callable[[Array], Array]:
    """Give random polynomials of that degree: (n,) to (n, 4)."""
    coefficients = np.random.default_rng([51, degree, seed]).standard_normal(
        (degree + 1, N_FUNCTIONS)
    )

    def fn(z: Array) -> Array:
        return np.polynomial.chebyshev.chebval(z, coefficients).T

    return fn


def schemes(n_inputs: int, n_workers: int, degree: int) -> dict[str, tuple[Scheme, bool]]:
    """Give the schemes to compare, and whether inputs are laid along their path first."""
    most = n_workers - 2
    paper = SplineScheme.paper(n_inputs, n_workers, n_stragglers=most)
    return {
        "lagrange, all answers": (LagrangeScheme(n_inputs, n_workers, degree=degree), False),
        "berrut, path": (BerrutScheme(n_inputs, n_workers, n_stragglers=most), True),
        "letcc": (paper, False),
        "letcc, path": (paper, True),
        "spline": (SplineScheme(n_inputs, n_workers), False),
        "replication-nearest": (ReplicationScheme(n_inputs, n_workers), False),
    }


def any_answers(
    lagrange: LagrangeScheme, answers: Array, who: NDArray[np.intp], rng: np.random.Generator
) -> Array:
    """Interpolate R of the answers, the R fastest, say, by the barycentric formula, unchecked."""
    some = np.sort(rng.permutation(len(who))[: lagrange.min_responders])
    nodes = lagrange.beta[who[some]]
    matrix = barycentric_matrix(nodes, polynomial_weights(nodes), lagrange.alpha)
    return np.asarray(matrix @ answers[who[some]])


def relative(outputs: Array, reference: Array) -> float:
    """Give ``||outputs - reference|| / ||reference||``."""
    return float(np.linalg.norm(outputs - reference) / np.linalg.norm(reference))


def errors_of(degree: int, seed: int, *, draws: int) -> tuple[Array, Array, list[str], str]:
    """Give one input set's errors, (S, draws, schemes), amplifications, names and a refusal.

    NaN where a scheme cannot decode.
    """
    n_inputs, n_workers, losses = SETTINGS[degree]
    rng = np.random.default_rng([52, degree, seed])
    inputs, fn = rng.uniform(-1.0, 1.0, n_inputs), polynomials(degree, seed)
    order = path_order(inputs)
    raced = schemes(n_inputs, n_workers, degree)
    names = ["lagrange, any R answers", *raced]
    lagrange = raced["lagrange, all answers"][0]
    laid = {name: inputs[order] if along else inputs for name, (_, along) in raced.items()}
    bound = {name: scheme.bind(laid[name]) for name, (scheme, _) in raced.items()}
    answers = {name: fn(bound[name].encode(laid[name])) for name in raced}
    errors = np.full((len(losses), draws, len(names)), np.nan)
    amplification = np.full((len(losses), draws), np.inf)
    refusal = ""
    for d in range(draws):
        state = int(rng.integers(2**32))
        for i, lost in enumerate(losses):
            model = UniformStragglers(lost)
            stragglers = model.draw(n_workers, np.random.default_rng(state))
            who = np.setdiff1d(np.arange(n_workers), stragglers)
            amplification[i, d] = lagrange.amplification(who)
            if len(who) >= lagrange.min_responders:
                decoded = any_answers(lagrange, answers["lagrange, all answers"], who, rng)
                errors[i, d, 0] = relative(decoded, fn(inputs))
            for j, name in enumerate(raced, start=1):
                try:
                    decoded = bound[name].decode(answers[name][who], who)
                except NotEnoughRespondersError as error:
                    refusal = str(error)
                    continue
                errors[i, d, j] = relative(decoded, fn(laid[name]))
    return errors, amplification, names, refusal


def run(*, quick: bool = False) -> Numbers:
    """Measure all schemes at both degrees."""
    count, draws = (3, 2) if quick else (40, 5)
    numbers: Numbers = {"sets": count, "draws": draws, "degrees": {}}
    for degree, (n_inputs, n_workers, losses) in SETTINGS.items():
        measured = [errors_of(degree, seed, draws=draws) for seed in range(count)]
        names, refusals = measured[0][2], [one[3] for one in measured if one[3]]
        errors = np.concatenate([one[0] for one in measured], axis=1)
        amplification = np.concatenate([one[1] for one in measured], axis=1)
        numbers["degrees"][str(degree)] = {
            "setting": [n_inputs, n_workers],
            "threshold": (n_inputs - 1) * degree + 1,
            "lost": losses,
            "amplification": [spread(row) for row in amplification],
            "errors": {
                name: [spread(row) for row in errors[:, :, j]] for j, name in enumerate(names)
            },
            "decoded": {
                name: np.isfinite(errors[:, :, j]).mean(axis=1).tolist()
                for j, name in enumerate(names)
            },
            "refusal": refusals[0] if refusals else "",
        }
    return numbers


def spread(values: Array) -> list[float] | None:
    """Give median and 90 % quantile of the finite values, None without any."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None
    return [float(f"{value:.3g}") for value in np.quantile(finite, [0.5, 0.9])]


def tables(numbers: Numbers) -> dict[str, str]:
    """Give the errors at both degrees."""
    names = list(COLORS)
    rows = []
    for degree, found in numbers["degrees"].items():
        for i, lost in enumerate(found["lost"]):
            amplified = found["amplification"][i]
            cells = [cell(found["errors"][name][i], found["decoded"][name][i]) for name in names]
            told = "-" if amplified is None else f"{amplified[0]:.0e}"
            rows.append([degree, str(lost), told, *cells])
    header = ["degree", "S", "amplification", *names]
    thresholds = " and ".join(
        f"{found['threshold']} of N = {found['setting'][1]} (K = {found['setting'][0]}, degree "
        f"{degree})"
        for degree, found in numbers["degrees"].items()
    )
    return {
        "polynomials": f"{to_markdown(header, rows, words=0)}\n\n"
        f"Relative error, median and in brackets the 90 % quantile, over {numbers['sets']} sets of "
        f"random polynomials and inputs in [-1, 1], {numbers['draws']} draws each; a percentage "
        f"is the share of draws that were decoded, - is none; 0: each input was answered. "
        f"`lagrange` needs R = {thresholds}. "
        "Amplification: by how much all answers' rounding errors may grow; LagrangeScheme refuses "
        "above 1e8. Any R answers: the barycentric formula on R of them at random, unchecked."
    }


def cell(error: list[float] | None, decoded: float) -> str:
    """Write an error, and the share of draws that it is about where that is not all."""
    if error is None:
        return "-"
    median, high = (f"{value:.0e}" if value else "0" for value in error)
    share = "" if decoded == 1.0 else f", {100 * decoded:.0f} %"
    return f"{median} ({high}){share}"


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw median errors against S."""
    figure = Figure(figsize=(9.0, 4.2), dpi=100, layout="constrained")
    for axes, (degree, found) in zip(
        figure.subplots(1, 2), numbers["degrees"].items(), strict=True
    ):
        for name, color in COLORS.items():
            points = [
                (lost, max(error[0], 1e-17))
                for lost, error in zip(found["lost"], found["errors"][name], strict=True)
                if error is not None
            ]
            axes.plot(*zip(*points, strict=True), "o-", ms=3, color=color, label=name)
        n_inputs, n_workers = found["setting"]
        most = n_workers - found["threshold"]
        axes.axvline(most, color="black", lw=0.8, ls=":")
        axes.annotate(
            "S = N - R ", (most, 0.1), xycoords=("data", "axes fraction"), fontsize=8, ha="right"
        )
        axes.set_yscale("log")
        axes.set_xlabel("S, stragglers at random")
        axes.set_title(f"degree {degree}, K = {n_inputs}, N = {n_workers}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    first = figure.axes[0]
    first.set_ylabel("median relative error (0 drawn at 1e-17)")
    figure.legend(
        *first.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        frameon=False,
    )
    return {"polynomials.png": figure}
