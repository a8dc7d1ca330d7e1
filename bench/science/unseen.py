"""Functions that nobody tuned on: how far schemes and rivals are from the best of them, job by job.

A job is a function at a setting. Half of the functions of each kind, by a hash of their names, are
to set constants by, and the other half to report. All schemes have equal batches and equal draws.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.science import unseen_std
from bench.science.competition import label, relative_mse
from bench.science.functions import Array, Function, ZooFunction
from bench.science.trials import Batch, Contender, Counts, Trial, interval, remembered
from bench.science.trials import run as run_trial
from bench.science.unseen_formulas import formulas
from bench.science.unseen_models import models
from bench.science.unseen_rivals import Filled, gaussian_process, inverse_distance, ridge
from coded import KernelScheme, SplineScheme, path_order, recommend
from coded.schemes import codes
from coded.schemes.registry import Setting

__all__ = ["draw", "run", "tables"]

SETTINGS = (Counts(50, 90, 25), Counts(12, 40, 22))
BATCHES, DRAWS, SEED, PROBE_SEED = 12, 6, 21, 23
HALVES = ("tuning", "reporting")
PROCESSES = 2

UNFITTED, GUARDED = "kernel, fit=None", "spline, guarded"
GP, GP_DESIGN = "Gaussian process", "Gaussian process, kernel's points"
INVERSE, RIDGE = "inverse distance", "ridge"
COPIES = ("replication-nearest", "replication-mean")
LABELS = "kernel-labels"  # takes part where labels count
TABLE, PROBED = "recommend(K, N, S)", "recommend(K, N, S, fn=f, inputs=inputs)"
SHOWN = (*COPIES, "letcc, path", "spline", "kernel", GP, GP_DESIGN, PROBED)  # by kind
CANDIDATES = (*COPIES, "spline", "kernel", "kernel-copies", LABELS)  # of the probe
NONE = 1e-8  # of the variance of f: errors of a ten-thousandth of its spread
NEAR, SURE = 1.5, 0.9  # times the best; from where on a probe counts as sure

Numbers = dict[str, Any]


def functions() -> list[ZooFunction]:
    """Give all functions, each kind together."""
    return [*formulas(), *models()]


def halves(all_functions: Sequence[ZooFunction]) -> dict[str, str]:
    """Give each name its half: every other one of a kind, in the order of the names' hashes."""
    found = {}
    for kind in dict.fromkeys(one.kind for one in all_functions):
        names = [one.name for one in all_functions if one.kind == kind]
        names.sort(key=lambda name: sha256(name.encode()).hexdigest())
        found |= {name: HALVES[i % 2] for i, name in enumerate(names)}
    return found


def contenders(setting: Counts, function: ZooFunction) -> list[Contender]:
    """Give schemes and rivals, all with their defaults."""
    copies, kernel = (codes()[name].make(Setting(*setting)) for name in (COPIES[0], "kernel"))
    k, n, s = setting
    unfitted = KernelScheme(k, n, n_stragglers=s, fit=None)
    guarded = SplineScheme(k, n, n_stragglers=s, lam_dec="guarded")

    def filled(name: str, design: Any, regress: Any) -> Contender:
        return Contender(name, lambda _: Filled(design, regress))

    race = [
        *(Contender.of(name, setting) for name in (*COPIES, "berrut", "letcc")),
        *(Contender.of(name, setting, "path", order=path_order) for name in ("letcc", "bspline")),
        Contender.of("spline", setting),
        Contender(GUARDED, lambda _: guarded),
        Contender.of("kernel", setting),
        Contender.of("kernel-copies", setting),
        Contender(UNFITTED, lambda _: unfitted),
        filled(GP, copies, gaussian_process),
        filled(GP_DESIGN, kernel, gaussian_process),
        filled(INVERSE, copies, inverse_distance),
        filled(RIDGE, copies, ridge),
    ]
    if function.has_labels:
        race.append(Contender.of(LABELS, setting))
    return race


def batches(function: ZooFunction, k: int, count: int) -> list[Batch]:
    """Draw independent batches, equal for all schemes."""
    return [function.sample(np.random.default_rng([SEED, k, i]), k) for i in range(count)]


def seed_of(function: ZooFunction) -> int:
    """Give the seed of a function's losses: one for all would let luck decide all jobs alike."""
    return int(sha256(function.name.encode()).hexdigest()[:8], 16)


def loss(function: ZooFunction, trial: Trial) -> Array:
    """Give one number a batch: relative MSE, or of a classifier the share of labels that differ."""
    return 1.0 - trial.agreement if function.has_labels else relative_mse(trial)


def floor(function: ZooFunction, setting: Counts, size: tuple[int, int]) -> float:
    """Give the loss that counts as none, which is added to all before they are divided."""
    return 0.5 / (size[0] * size[1] * setting.n_inputs) if function.has_labels else NONE


def measure(function: ZooFunction, *, size: tuple[int, int]) -> Numbers:
    """Run all schemes on one function, each point evaluated once."""
    fn, losses, probes = remembered(function.fn), {}, {}
    for setting in SETTINGS:
        given = batches(function, setting.n_inputs, size[0])
        losses[label(setting)] = {
            one.name: rounded(
                loss(
                    function,
                    run_trial(
                        fn, given, one,
                        stragglers=setting.n_stragglers, draws=size[1], seed=seed_of(function),
                    ),
                )
            )
            for one in contenders(setting, function)
        }  # fmt: skip
        probes[label(setting)] = recommended(function, fn, setting)
    return {
        "kind": function.kind,
        "floors": {label(setting): floor(function, setting, size) for setting in SETTINGS},
        "losses": losses,
        "probes": probes,
        "std": unseen_std.measure(function, fn, seed=seed_of(function), quick=size[0] < BATCHES),
    }


def recommended(function: ZooFunction, fn: Function, setting: Counts) -> Numbers:
    """Give what is recommended without a look at f, and with one at a batch that nothing else sees.

    Such a batch is K inputs, what a user has at hand.
    """
    objective = "labels" if function.has_labels else "outputs"
    inputs = function.sample(
        np.random.default_rng([PROBE_SEED, setting.n_inputs]), setting[0]
    ).inputs
    found = recommend(*setting, objective=objective, fn=fn, inputs=inputs)
    return {
        "table": recommend(*setting, objective=objective).name,
        "probe": found.name,
        "sure": found.sure,
        "evaluations": found.evaluations,
    }


def rounded(values: Array) -> list[float]:
    return [float(f"{value:.3e}") for value in values]


def _measure_by_name(name: str, size: tuple[int, int]) -> Numbers:
    (function,) = (one for one in functions() if one.name == name)
    return measure(function, size=size)


def run(*, quick: bool, which: Sequence[str] = HALVES) -> Numbers:
    """Run all functions of these halves; a few functions and batches if quick."""
    half = halves(functions())
    if quick:
        few = ("Gaussian hill", "beam", "terraces", "forest of tumours")
        size, names = (2, 2), [name for name in half if name in few]
        found = [_measure_by_name(name, size) for name in names]
    else:
        size, names = (BATCHES, DRAWS), [name for name in half if half[name] in which]
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, mp_context=spawn) as pool:
            found = list(pool.map(partial(_measure_by_name, size=size), names))
    return {
        "batches": size[0],
        "draws": size[1],
        "functions": {
            name: {"half": half[name], **one} for name, one in zip(names, found, strict=True)
        },
    }


# What the tables say.


Job = dict[str, Array]  # scheme to one loss a batch, floors added


def jobs(numbers: Numbers, half: str) -> dict[str, list[Job]]:
    """Give the jobs of a half by kind."""
    found: dict[str, list[Job]] = {}
    for one in numbers["functions"].values():
        if one["half"] == half:
            found.setdefault(one["kind"], []).extend(job(one, at) for at in one["losses"])
    return found


def job(one: Numbers, at: str) -> Job:
    """Give the losses of a function at a setting, floors added, what is recommended among them."""
    losses = {
        name: np.array(values) + one["floors"][at] for name, values in one["losses"][at].items()
    }
    said = one["probes"][at]
    return losses | {TABLE: losses[said["table"]], PROBED: losses[said["probe"]]}


def ratios(found: Sequence[Job], scheme: str, rivals: Sequence[str] | None = None) -> Array:
    """Give the scheme's mean loss over the least of its rivals', job by job; None is all."""
    kept = []
    for job in found:
        means = {name: values.mean() for name, values in job.items()}
        if scheme in means:
            kept.append(means[scheme] / min(means[name] for name in rivals or means))
    return np.array(kept)


def standing(found: Sequence[Job], scheme: str, rival: str) -> str:
    """Write in how many jobs a scheme is ahead of another, as many, and behind.

    That is where the interval of the paired difference, over batches, excludes 0.
    """
    signs = []
    for job in found:
        if scheme in job:
            difference, half_width = interval(job[scheme] - job[rival])
            signs.append(np.sign(difference) * (abs(difference) > half_width))
    return " : ".join(str(signs.count(sign)) for sign in (-1, 0, 1))


def geometric(values: Array) -> str:
    """Write a geometric mean over jobs and its 95 % interval."""
    mean, half_width = interval(np.log(values))
    ends = [factor(np.exp(end)) for end in (mean - half_width, mean + half_width)]
    return f"{factor(np.exp(mean))} ({ends[0]} to {ends[1]})"


def factor(value: float) -> str:
    return f"{value:.2g}" if value < 9.95 else f"{value:,.0f}"


def tables(numbers: Numbers) -> dict[str, str]:
    """Give the table of schemes in each half, that of kinds, and that of std."""
    return {
        **{f"unseen-{half}": tell_schemes(numbers, half) for half in HALVES},
        "unseen-kinds": tell_kinds(numbers),
        "unseen-std": tell_std(numbers),
    }


def tell_schemes(numbers: Numbers, half: str) -> str:
    """Write scheme by how far it is from the best, copies and the Gaussian process."""
    found = [job for kind in jobs(numbers, half).values() for job in kind]
    rows = []
    for name in dict.fromkeys(name for job in found for name in job):
        over_best, over_copies = ratios(found, name), ratios(found, name, COPIES)
        near = (over_best <= NEAR).sum()
        rows.append(
            [
                name,
                f"{near} of {len(over_best)} ({100 * near / len(over_best):.0f} %)",
                geometric(over_best),
                factor(over_best.max()),
                geometric(over_copies),
                factor(over_copies.max()),
                standing(found, name, COPIES[0]),
                geometric(ratios(found, name, [GP])),
                standing(found, name, GP),
            ]
        )
    header = [
        "", f"within {NEAR} x of the best", "over the best", "at worst", "over copies", "at worst",
        "against nearest copies", "over the Gaussian process", "against it",
    ]  # fmt: skip
    caption = (
        f"The {half} half: {len(found)} jobs. Losses over those of the best in hindsight of all "
        "rows, over the better fallback of copies, over the Gaussian process: geometric means over "
        "jobs, their 95 % intervals, the worst. Against: ahead : equal : behind, where the 95 % "
        "interval of the paired difference over batches excludes 0 or includes it. "
        f"{sizes_told(numbers)} {tell_probes(numbers, half)}"
    )
    return f"{to_markdown(header, rows)}\n\n{caption}"


def tell_probes(numbers: Numbers, half: str) -> str:
    """Say what a probe costs, and how often it was right where it said that it was sure."""
    near, sure, evaluations = [], [], []
    for one in numbers["functions"].values():
        for at, said in one["probes"].items() if one["half"] == half else ():
            means = {name: values.mean() for name, values in job(one, at).items()}
            tried = [means[name] for name in CANDIDATES if name in means]
            near.append(means[PROBED] <= NEAR * min(tried))
            sure.append(said["sure"])
            evaluations.append(said["evaluations"])
    is_sure = np.array(sure) >= SURE
    return (
        f"The probe is a batch that nothing else sees, {np.mean(evaluations):.0f} evaluations of f "
        f"on the mean. Where it was {100 * SURE:.0f} % sure or more ({is_sure.sum()} jobs), "
        f"nothing that it tried was {NEAR} times better in {sum(np.array(near)[is_sure])}, "
        f"elsewhere in {sum(np.array(near)[~is_sure])} of {sum(~is_sure)}."
    )


def sizes_told(numbers: Numbers) -> str:
    """Say how many batches and draws there were, and of what."""
    return (
        f"{numbers['batches']} independent batches of inputs x {numbers['draws']} draws of lost "
        f"workers in every job, the same for all schemes, at (K,N,S) = "
        f"{' and '.join(f'({label(setting)})' for setting in SETTINGS)}, uniform losses. Loss: "
        "mean square of the error over the variance of f; of classifiers the share of labels that "
        f"are not f's; {NONE:.0e}, or half a label, counts as none. All schemes as they are, "
        "nothing chosen for a function."
    )


def tell_kinds(numbers: Numbers) -> str:
    """Write kind by scheme: the geometric mean over the best in the reporting half."""
    by_kind = jobs(numbers, "reporting")
    rows = [
        [kind, str(len(found)), *(_mean_over_best(found, name) for name in SHOWN)]
        for kind, found in by_kind.items()
    ]
    caption = (
        "The reporting half by kind: geometric means over jobs of the loss over that of the best "
        "in hindsight."
    )
    return f"{to_markdown(['', 'jobs', *SHOWN], rows)}\n\n{caption}"


def _mean_over_best(found: Sequence[Job], scheme: str) -> str:
    return factor(float(np.exp(np.log(ratios(found, scheme)).mean())))


def tell_std(numbers: Numbers) -> str:
    """Write the table of std with its caption."""
    caption = (
        "Functions whose rms(error) / rms(std) over the lost outputs lies within "
        f"{unseen_std.BAND[0]} and {unseen_std.BAND[1]}, the least and the largest of these "
        "ratios, and the share of errors within 1.96 std, median and least over functions. "
        f"{unseen_std.BATCHES} batches of 3 draws, of one where the slowest are lost: seconds grow "
        f"along a diagonal of the inputs. Fewer than {unseen_std.LEAST} lost outputs do not count."
    )
    return f"{unseen_std.tell(numbers['functions'].values())}\n\n{caption}"


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001
    """Draw nothing: tables tell more."""
    return {}
