"""Privacy against precision: analog Lagrange codes as their masks grow.

Random polynomials as in `polynomials`, of random inputs in [-1, 1], decoded from R answers at
random. Beside AnalogLagrangeScheme the same code with inputs and masks on the workers' own
circle, turned as far away from the workers' points as they can be, masks last.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.documents import to_markdown
from bench.science.polynomials import polynomials, relative
from bench.science.trials import Array
from coded import AnalogLagrangeScheme
from coded.algebra.linear_decoder import least_norm_decoder
from coded.algebra.masking import gaussian_leakage, gaussian_masks

SETTINGS = [(2, 1, 8, 2), (4, 2, 20, 3)]  # K, T, N, degree
MASKS = [10.0**power for power in range(8)]
POWER = 1.0  # at least that of the inputs
COLORS = {"AnalogLagrangeScheme": "#D55E00", "all points on one circle": "#0072B2"}

Numbers = dict[str, Any]


@dataclass(frozen=True)
class OneCircle:
    """Analog LCC with the points of inputs and masks between those of the workers."""

    n_inputs: int
    n_colluders: int
    n_workers: int
    degree: int
    mask_std: float

    @property
    def encoder(self) -> NDArray[np.complex128]:
        """Of inputs and masks, shape (N, K + T)."""
        count = self.n_inputs + self.n_colluders
        powers = np.arange(count)
        workers = self.workers[:, None] ** powers
        return workers @ np.linalg.inv(self.points[:, None] ** powers)

    @property
    def workers(self) -> NDArray[np.complex128]:
        return np.exp(2j * np.pi * np.arange(self.n_workers) / self.n_workers)

    @property
    def points(self) -> NDArray[np.complex128]:
        """The roots of unity of order K + T, turned by half the smallest distance there can be."""
        count = self.n_inputs + self.n_colluders
        turn = 0.5 / math.lcm(count, self.n_workers)
        return np.exp(2j * np.pi * (np.arange(count) / count + turn))

    def leakage(self, workers: Sequence[int], *, power: float) -> float:
        rows = self.encoder[list(workers)]
        seen, masked = rows[:, : self.n_inputs], rows[:, self.n_inputs :]
        return gaussian_leakage(seen, masked, power=power, mask_std=self.mask_std)

    def encode(self, inputs: Array, rng: np.random.Generator) -> NDArray[np.complex128]:
        masks = gaussian_masks((self.n_colluders,), self.mask_std, rng)
        return np.asarray(self.encoder @ np.concatenate([inputs, masks]))

    def decode(self, coded_outputs: Array, who: NDArray[np.intp]) -> NDArray[np.complex128]:
        powers = np.arange((self.n_inputs + self.n_colluders - 1) * self.degree + 1)
        rows = self.workers[who][:, None] ** powers
        wanted = self.points[: self.n_inputs, None] ** powers
        return np.asarray(least_norm_decoder(rows, wanted) @ coded_outputs)


def worst_leakage(code: AnalogLagrangeScheme | OneCircle, together: int) -> float:
    """Give the largest leakage of so many workers together."""
    groups = itertools.combinations(range(code.n_workers), together)
    return max(code.leakage(group, power=POWER) for group in groups)


def measure(setting: tuple[int, int, int, int], mask_std: float, draws: int) -> Numbers:
    """Give leakages and errors of both codes, and how often `decode` warned."""
    n_inputs, n_colluders, n_workers, degree = setting
    threshold = (n_inputs + n_colluders - 1) * degree + 1
    circle = OneCircle(n_inputs, n_colluders, n_workers, degree, mask_std)
    errors, told = np.empty((draws, 2)), 0
    for seed in range(draws):
        scheme = AnalogLagrangeScheme(
            n_inputs,
            n_workers,
            degree=degree,
            n_colluders=n_colluders,
            mask_std=mask_std,
            rng=seed,
        )
        rng = np.random.default_rng([53, degree, seed])
        inputs, fn = rng.uniform(-1.0, 1.0, n_inputs), polynomials(degree, seed)
        who = np.sort(rng.permutation(n_workers)[:threshold])
        reference = fn(inputs)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outputs = scheme.decode(fn(scheme.encode(inputs))[who], who)
        told += bool(caught)
        errors[seed, 0] = relative(outputs, reference)
        outputs = circle.decode(fn(circle.encode(inputs, rng))[who], who)
        errors[seed, 1] = relative(outputs, reference)
    found: Numbers = {"mask": mask_std, "told": told / draws}
    for name, code, column in zip(COLORS, (scheme, circle), errors.T, strict=True):
        found[name] = {
            "leakage": [worst_leakage(code, together) for together in (1, n_colluders)],
            "error": np.quantile(column, [0.5, 0.9]).tolist(),
        }
    return found


def run(*, quick: bool = False) -> Numbers:
    """Measure both settings at all sizes of the masks."""
    draws, masks = (5, MASKS[::3]) if quick else (200, MASKS)
    cells = [
        {"setting": list(setting), "masks": [measure(setting, mask, draws) for mask in masks]}
        for setting in SETTINGS
    ]
    return {"draws": draws, "settings": cells}


def tables(numbers: Numbers) -> dict[str, str]:
    """Give leakages and errors at all sizes of the masks."""
    ours, theirs = COLORS
    rows = [
        [
            ", ".join(str(count) for count in cell["setting"]),
            f"{found['mask']:.0e}",
            *(tell_code(found[name]) for name in (ours, theirs)),
            f"{100 * found['told']:.0f} %",
        ]
        for cell in numbers["settings"]
        for found in cell["masks"]
    ]
    header = ["K, T, N, degree", "mask_std", ours, theirs, "decode warned"]
    return {
        "privacy": f"{to_markdown(header, rows, words=1)}\n\n"
        "Bits that the worst worker, and after the slash the worst T workers together, can learn "
        "about each entry of the inputs (bound for uncorrelated inputs of mean square 1); then "
        "the relative error, median and in brackets the 90 % quantile, over "
        f"{numbers['draws']} random polynomials, inputs in [-1, 1] and sets of R answers. "
        "All points on one circle: inputs and masks between the workers' points on the unit "
        "circle, unchecked."
    }


def tell_code(found: Numbers) -> str:
    """Write one code's leakages and errors."""
    one, group = found["leakage"]
    leaked = f"{one:.1e}" if one == group else f"{one:.1e} / {group:.1e}"
    median, high = found["error"]
    return f"{leaked}; {median:.0e} ({high:.0e})"


def draw(numbers: Numbers) -> dict[str, Figure]:
    """Draw errors against what T workers together learn."""
    figure = Figure(figsize=(9.0, 4.2), dpi=100, layout="constrained")
    axes_row = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, cell in zip(axes_row, numbers["settings"], strict=True):
        n_inputs, n_colluders, n_workers, degree = cell["setting"]
        for name, color in COLORS.items():
            leaked = [found[name]["leakage"][1] for found in cell["masks"]]
            errors = [found[name]["error"][0] for found in cell["masks"]]
            axes.plot(leaked, errors, "o-", ms=4, color=color, label=name)
        for found in cell["masks"][::2]:
            code = found["AnalogLagrangeScheme"]
            at = code["leakage"][1], code["error"][0]
            axes.annotate(f"mask_std {found['mask']:.0e}  ", at, fontsize=8, ha="right", va="top")
        axes.axhline(1.0, color="black", lw=0.8, ls=":")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1e-17, 1e3)
        axes.set_ylim(1e-16, 1e8)
        together = "the worst worker learns" if n_colluders == 1 else "the worst 2 workers learn"
        axes.set_xlabel(f"bits an entry that {together}")
        axes.set_title(
            f"K = {n_inputs}, T = {n_colluders}, N = {n_workers}, degree {degree}", fontsize=10
        )
        axes.spines[["top", "right"]].set_visible(False)
    axes_row[0].set_ylabel("median relative error from R answers")
    figure.legend(
        *axes_row[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    return {"privacy.png": figure}
