"""Every system of the paper's references: where it is, what it promises, a figure of each.

Each figure is one that its authors state, or that follows from their formula, computed here by our
code; systems whose figures are measured by another experiment link to its table. Neither needs a
clock. Sections are those of the literature on the paper's reference list, from copies to policies.

    python -m bench.systems             measure and store
    python -m bench.systems --quick     a look; nothing is stored
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.experiments import main
from bench.records import Numbers
from coded import (
    BatchedCouponCode,
    BernoulliCode,
    CirculantMatmulCode,
    ConvolutionalMatmulCode,
    CrossSubspaceMatmulCode,
    CyclicCode,
    FieldLagrangeScheme,
    FieldMatmulCode,
    FractionalRepetitionCode,
    GASPMatmulCode,
    KhatriRaoMatmulCode,
    MDSScheme,
    OrthoPolyMatmulCode,
    OverSketchMatmulCode,
    PolynomialMatmulCode,
    ProductScheme,
    RandomCyclicCode,
    RotationMatmulCode,
    SecureDFTMatmulCode,
    SecureMatDotMatmulCode,
    ShufflePlan,
    UniformStragglers,
    encode_dataset,
    expected_answered,
    hadamard_frame,
    least_squares_gradient,
    simulate_latency,
    sketched_newton_step,
)
from coded.latency.policies import Hedged, Redundant
from coded.latency.service_times import Exponential


class System(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    section : str
        4.1 to 4.19, by kind of system.
    name : str
        Of the system and its authors.
    file : str
        Where it is, in `coded`.
    guarantee : str
        What is promised.
    figure : str
        What is measured; with ``{}`` where numbers go.
    published : str
        The authors' figure, or why there is none.
    measure : callable, optional
        ``measure(quick=...)`` gives the numbers.
    """

    section: str
    name: str
    file: str
    guarantee: str
    figure: str
    published: str
    measure: Callable[..., Sequence[float]] | None = None


def subsets(n: int, size: int) -> list[tuple[int, ...]]:
    """Give all sets of so many of n workers."""
    return list(itertools.combinations(range(n), size))


def threshold(code: Any) -> tuple[int]:
    """Give the least R with every R answers enough, by asking about all sets."""
    n = code.n_workers
    for needed in range(n, 0, -1):
        if not all(code.can_decode(np.array(who)) for who in subsets(n, needed)):
            return (needed + 1,)
    return (1,)


def conditions(code: Any) -> tuple[float, float]:
    """Give the worst and the mean condition number of all sets of R answers."""
    every = [code.condition(np.array(who)) for who in subsets(code.n_workers, code.min_responders)]
    return max(every), float(np.mean(every))


def answered(*, quick: bool) -> tuple[float]:  # noqa: ARG001 (one interface for all)
    """Give the expected share of 60 inputs that 100 workers answer of which 20 are lost."""
    return (expected_answered(np.arange(100) % 60, UniformStragglers(20), n_inputs=60),)


def redundant(*, quick: bool) -> tuple[float]:
    """Give the mean response of two copies of a request at 4 servers of load .7."""
    n_requests = 2_000 if quick else 400_000
    policy = Redundant(2)
    return (
        simulate_latency(policy, Exponential(), n_servers=4, load=0.7, n_requests=n_requests).mean,
    )


def hedged(*, quick: bool) -> tuple[float, float]:
    """Give p99 of exponential times without and with a copy at p95, at nearly idle servers."""
    n_requests = 2_000 if quick else 1_000_000
    laws = (Redundant(1), Hedged(math.log(20.0)))
    alone, copied = (
        simulate_latency(one, Exponential(), n_servers=100, load=0.01, n_requests=n_requests)
        for one in laws
    )
    return float(alone.quantile(0.99)), float(copied.quantile(0.99))


def coded_work(*, quick: bool) -> tuple[float, float]:
    """Give the mean time of linear work on 100 workers, uncoded and from any 69."""
    code = MDSScheme(69, 100)
    rng = np.random.default_rng(0)
    times = np.sort(1.0 + rng.exponential(size=(100 if quick else 20_000, 100)), axis=1)
    return float(times[:, -1].mean() / 100), float(times[:, code.min_responders - 1].mean() / 69)


def product_threshold(*, quick: bool) -> tuple[int]:
    """Give the recovery threshold of a 3 x 3 of a 4 x 4 grid, or of 2 x 2 of 3 x 3."""
    side, many = (2, 3) if quick else (2, 4)
    return threshold(ProductScheme(side**2, many**2))


def shuffled(*, quick: bool) -> tuple[float]:
    """Give how many rows a shuffle of 1,200 to 6 workers sends that cache 400 each."""
    rng, sent = np.random.default_rng(0), []
    for _ in range(2 if quick else 20):
        order, following = rng.permutation(1200), rng.permutation(1200)
        wanted = np.split(following, 6)
        cached = []
        for own in np.split(order, 6):
            others = np.setdiff1d(np.arange(1200), own)
            cached.append(np.concatenate([own, rng.choice(others, 200, replace=False)]))
        sent.append(len(ShufflePlan(cached, wanted).messages))
    return (float(np.mean(sent)),)


def lagrange(*, quick: bool) -> tuple[int, int]:  # noqa: ARG001
    """Give of how many sets of (K + T - 1) d + 1 answers the outputs are exact, and all sets."""
    scheme = FieldLagrangeScheme(3, 9, degree=2, n_colluders=1, rng=0)
    inputs = np.arange(-6, 6).reshape(3, 4)
    answers = np.array([(one.astype(object) ** 2) % scheme.prime for one in scheme.encode(inputs)])
    every = subsets(9, scheme.min_responders)
    right = [
        np.array_equal(scheme.decode(answers[list(who)].astype(np.int64), who), inputs**2)
        for who in every
    ]
    return sum(right), len(every)


def field_thresholds(*, quick: bool) -> tuple[int, int]:  # noqa: ARG001
    """Give those of the polynomial code 2 x 3 and of the entangled one 2 x 2 x 2."""
    return (*threshold(FieldMatmulCode(2, 3, 8)), *threshold(FieldMatmulCode(2, 2, 10, p=2)))


def inner_thresholds(*, quick: bool) -> tuple[float, ...]:  # noqa: ARG001
    """Give that of MatDot with m = 3, and the worst condition of OrthoPoly at (10, 2)."""
    return (
        *threshold(PolynomialMatmulCode(1, 1, 7, p=3)),
        conditions(OrthoPolyMatmulCode(2, 4, 10))[0],
        conditions(PolynomialMatmulCode(2, 4, 10))[0],
    )


def embeddings(*, quick: bool) -> tuple[float, ...]:  # noqa: ARG001
    """Give the conditions of the published rotation code, and the threshold of a circulant."""
    return *conditions(RotationMatmulCode(4, 2, 11)), *threshold(CirculantMatmulCode(3, 5))


def khatri_rao(*, quick: bool) -> tuple[int, int]:  # noqa: ARG001
    """Give of how many sets of m n answers the product is determined, and all sets."""
    code = KhatriRaoMatmulCode(3, 3, 12)
    every = subsets(12, 9)
    return sum(code.can_decode(np.array(who)) for who in every), len(every)


def convolutional(*, quick: bool) -> tuple[float, float]:  # noqa: ARG001
    """Give the worst conditions at the authors' defaults, of A alone and of both."""
    both = ConvolutionalMatmulCode(3, 2, 8, sub_blocks=(16, 5))
    return conditions(ConvolutionalMatmulCode(4, 1, 6, sub_blocks=(9, 1)))[0], conditions(both)[0]


def sketched(*, quick: bool) -> tuple[float]:
    """Give the mean squared error of a sketched product by what the formula says."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 300)), rng.normal(size=(300, 30))
    ratios = []
    for seed in range(20 if quick else 400):
        code = OverSketchMatmulCode(50, 8, rng=seed)
        job = code.prepare(a, b)
        answers = [job.read(n, left @ right)[1] for n, (left, right) in enumerate(job.payloads)]
        error = np.sum((job.decode(answers, np.arange(8)) - a @ b) ** 2)
        sizes = np.sum(a**2) * np.sum(b**2) + np.sum((a @ b) ** 2)
        sizes -= 2.0 * np.sum((a**2).sum(axis=0) * (b**2).sum(axis=1))
        ratios.append(error * 50 * 8 / sizes)
    return (float(np.mean(ratios)),)


def newton(*, quick: bool) -> tuple[float, float]:
    """Give the gradient's length before and after 10 sketched Newton steps, 10 d columns."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400 if quick else 4000, 40))
    y = (rng.random(len(x)) < 1.0 / (1.0 + np.exp(-x @ rng.normal(size=40) / 6.0))).astype(float)
    ridge, w, lengths = 1e-3, np.zeros(40), []
    with ThreadPoolExecutor(2) as pool:
        for k in range(11):
            share = 1.0 / (1.0 + np.exp(-x @ w))
            gradient = x.T @ (share - y) / len(x) + ridge * w
            lengths.append(float(np.linalg.norm(gradient)))
            root = (x * np.sqrt(share * (1.0 - share) / len(x))[:, None]).T
            code = OverSketchMatmulCode(400, 12, n_stragglers=2, rng=k)
            w = w - sketched_newton_step(root, gradient, code, pool, ridge=ridge)
    return lengths[0], lengths[-1]


def residuals(*, quick: bool) -> tuple[float, ...]:
    """Give the mean error of fractional repetition and of Bernoulli parts, decoded best."""
    repetition = FractionalRepetitionCode(6, 1)
    mean = np.mean([repetition.residual(np.array(who)) for who in subsets(6, 3)])
    rng, found = np.random.default_rng(0), []
    for seed in range(20 if quick else 400):
        code = BernoulliCode(12, 2, load=3, rng=seed)
        found.append(code.residual(np.sort(rng.permutation(12)[:8])))
    return float(mean), float(np.mean(found))


def largest_weights(*, quick: bool) -> tuple[float, float]:  # noqa: ARG001
    """Give the largest weight of an answer, over all sets of 7 of 10: cyclic MDS, best seed."""
    found = []
    for code in (CyclicCode(10, 3), RandomCyclicCode(10, 3)):
        every = [code.decode_vector(np.array(who)) for who in subsets(10, 7)]
        found.append(max(float(np.abs(one).max()) for one in every))
    return found[0], found[1]


def encoded_data(*, quick: bool) -> tuple[float, float]:
    """Give the loss over the least one after 500 steps by 4 of 8 workers: encoded, uncoded."""
    ratios = []
    for seed in range(1 if quick else 8):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(64, 8))
        y = x @ rng.normal(size=8) + rng.normal(size=64)
        least = np.linalg.lstsq(x, y, rcond=None)[1][0]
        plain = list(zip(np.split(x, 8), np.split(y, 8), strict=True))
        encoded = encode_dataset(x, y, 8, frame=hadamard_frame(64, rng=seed))
        ratios.append([_descended(x, y, shards) / least for shards in (encoded, plain)])
    coded, uncoded = np.mean(ratios, axis=0)
    return float(coded), float(uncoded)


def _descended(x: Any, y: Any, shards: Any) -> float:
    """Give the mean loss of steps 101 to 500, each with the shards of 4 workers drawn anew."""
    rng, w, losses = np.random.default_rng(9), np.zeros(x.shape[1]), []
    rate = 1.0 / (1.5 * np.linalg.norm(x, 2) ** 2)
    for _ in range(500):
        kept = rng.choice(8, 4, replace=False)
        w = w - 2.0 * rate * sum(least_squares_gradient(w, shards[i]) for i in kept)
        losses.append(np.sum((x @ w - y) ** 2))
    return float(np.mean(losses[100:]))


def coupons(*, quick: bool) -> tuple[float]:
    """Give how many answers come, in the mean, until each of 3 batches has."""
    found, rng = [], np.random.default_rng(0)
    for seed in range(20 if quick else 1000):
        code, order = BatchedCouponCode(30, 3, 0, rng=seed), rng.permutation(30)
        found.append(next(r for r in range(3, 31) if code.can_decode(np.sort(order[:r]))))
    return (float(np.mean(found)),)


def gasp(*, quick: bool) -> tuple[int, ...]:  # noqa: ARG001
    """Give how many answers GASP needs at (K, L, T) = (3, 3, 2), (3, 3, 3) and (4, 4, 4)."""
    counts = ((3, 3, 2, 18), (3, 3, 3, 22), (4, 4, 4, 36))
    found = [GASPMatmulCode(k, n, most, n_colluders=t) for k, n, t, most in counts]
    return tuple(code.min_responders for code in found)


def other_secure(*, quick: bool) -> tuple[int, ...]:  # noqa: ARG001
    """Give the answers needed for p = L = 2, T = 1: secure MatDot, DFT, a batch."""
    return (
        *threshold(SecureMatDotMatmulCode(2, 6, n_colluders=1)),
        SecureDFTMatmulCode(2, n_colluders=1).n_workers,
        *threshold(CrossSubspaceMatmulCode(2, 6, n_colluders=1)),
    )


DERIVED = "derived here: the paper was read in its abstract"
SYSTEMS = (
    System(
        "4.1",
        "copies; Shah, Lee, Ramchandran; Gardner et al.",
        "schemes/replication.py, places/placement.py",
        "exact while a copy answers",
        "{:.6f} of 60 inputs by 100 workers, 20 lost",
        ".907744 by the formula",
        answered,
    ),
    System(
        "4.1",
        "redundancy-d",
        "latency/policies.py",
        "the first of d copies counts",
        "mean response {:.3f} at 4 servers, d = 2, load .7",
        "1.2545 by their theorem",
        redundant,
    ),
    System(
        "4.2",
        "MDS-coded linear work (Lee et al.)",
        "schemes/mds.py, products/mds.py",
        "exact from any K",
        "mean time {:.4f} uncoded, {:.4f} from any 69 of 100",
        ".0619, .0313 by their formula",
        coded_work,
    ),
    System(
        "4.2",
        "product codes (Lee, Suh, Ramchandran)",
        "schemes/product.py",
        "exact by peeling",
        "any {} of 16 answers, 3 x 3 inputs",
        "2 (m - 1) sqrt N - (m - 1)^2 + 1 = 13",
        product_threshold,
    ),
    System(
        "4.2",
        "coded shuffling (Lee et al.)",
        "data/shuffling.py",
        "each worker gets its rows, bit for bit",
        "{:.0f} rows sent of 1,200 to 6 workers, 400 cached",
        "308 for very many rows; uncoded 800",
        shuffled,
    ),
    System(
        "4.3",
        "BACC (Jahani-Nezhad, Maddah-Ali)",
        "schemes/berrut.py",
        "any answer; an estimate",
        "[slopes](../bench/README.md#the-paper-and-we)",
        "N^-2, there too",
    ),
    System(
        "4.3",
        "BSCC (Borah, Harshan, Lalitha)",
        "schemes/bspline.py",
        "any answer; an estimate",
        "[zoo](../bench/README.md#which-scheme-wins-where)",
        DERIVED,
    ),
    System(
        "4.4",
        "ApproxIFER (Soleymani et al.)",
        "schemes/approxifer.py",
        "estimates, wrong answers located",
        "[codes side by side](../bench/README.md#codes-on-jobs)",
        "networks and data differ",
    ),
    System(
        "4.5",
        "ParM (Kosaian, Rashmi, Venkataraman)",
        "schemes/parity.py",
        "one lost answer estimated by a parity network",
        "[parity networks](../bench/README.md#the-paper-and-we)",
        "networks and data differ",
    ),
    System(
        "4.6",
        "Lagrange coded computing (Yu et al.)",
        "schemes/field_lagrange.py",
        "exact, T colluders learn nothing, liars found",
        "{} of {} sets of (K + T - 1) d + 1 = 7 exact",
        "their theorem 1",
        lagrange,
    ),
    System(
        "4.7",
        "analog LCC (Soleymani, Mahdavifar, Avestimehr)",
        "schemes/analog_lagrange.py, schemes/lagrange.py",
        "exact to rounding, leakage bounded",
        "[privacy](../bench/README.md#the-paper-and-we)",
        "bound of their theorem, there too",
    ),
    System(
        "4.8",
        "polynomial, entangled polynomial codes (Yu et al.)",
        "products/field.py, products/polynomial.py",
        "exact",
        "any {} of 8 (m n = 6), any {} of 10 (p = m = n = 2)",
        "m n = 6, p m n + p - 1 = 9",
        field_thresholds,
    ),
    System(
        "4.9",
        "MatDot, OrthoMatDot, OrthoPoly (Dutta; Fahim, Cadambe)",
        "products/polynomial.py, products/orthogonal.py",
        "exact to rounding",
        "any {} of 7 (m = 3); worst condition at 8 of 10: {:.0f}, of monomials {:.0f}",
        "2 m - 1 = 5; grows as N^(2 lost), monomials' exponentially",
        inner_thresholds,
    ),
    System(
        "4.10",
        "circulant and rotation embeddings (Ramamoorthy, Tang)",
        "products/rotation.py, products/circulant.py",
        "exact to rounding",
        "condition at 8 of 11: {:.2f} worst, {:.2f} mean; any {} of 5 circulant",
        "29.21, 8.10 by the authors' programs; 3",
        embeddings,
    ),
    System(
        "4.11",
        "random Khatri-Rao (Subramaniam et al.)",
        "products/khatri_rao.py",
        "exact to rounding, blocks bit for bit",
        "{} of {} sets of m n = 9 of 12 determine C",
        "all, with probability 1",
        khatri_rao,
    ),
    System(
        "4.12",
        "convolutional codes (Das, Ramamoorthy, Vaswani)",
        "products/convolutional.py",
        "exact to rounding, by additions",
        "worst condition {:.2f} (A), {:.2f} (both)",
        "21.70, 90.76 by the authors' programs",
        convolutional,
    ),
    System(
        "4.13",
        "OverSketch (Gupta et al.)",
        "products/oversketch.py",
        "an unbiased estimate",
        "squared error {:.2f} of what the formula says",
        "1; 34 % less time on a cloud, not to be had here",
        sketched,
    ),
    System(
        "4.13",
        "OverSketched Newton (Gupta et al.)",
        "products/newton.py",
        "linear convergence",
        "gradient {:.0e} to {:.0e} in 10 steps, 10 d columns",
        "linear, by their theorem",
        newton,
    ),
    System(
        "4.14",
        "gradient coding (Tandon et al.), approximate",
        "gradients/fractional.py, gradients/bernoulli.py",
        "exact from N - s; the best estimate from fewer",
        "mean residual {:.2f} at 3 of 6 (s = 1), Bernoulli {:.2f} at 8 of 12 (s = 2)",
        "1.2; one-step decoding 2.4, 4.5",
        residuals,
    ),
    System(
        "4.14",
        "cyclic codes (Tandon; Raviv et al.)",
        "gradients/cyclic.py, gradients/random_cyclic.py",
        "exact from any N - s",
        "largest weight of an answer {:.1f} (MDS), {:.1f} (random, best seed) at (10, 3)",
        "1e2 to 1e5 of random draws",
        largest_weights,
    ),
    System(
        "4.14",
        "graph codes, heterogeneous, partial answers",
        "gradients/graph.py, gradients/unbiased.py, gradients/partial.py",
        "known error; right in the mean; exact once each part came",
        "[time to a loss](../bench/README.md#gradient-codes)",
        "clusters differ",
    ),
    System(
        "4.15",
        "data encoding (Karakus et al.)",
        "data/encoding.py, data/frames.py",
        "within the frame's bounds of the least loss",
        "loss / least {:.3f} with 4 of 8 workers, uncoded {:.3f}",
        "better than uncoded, at other sizes",
        encoded_data,
    ),
    System(
        "4.16",
        "batched coupon collector (Li et al.)",
        "gradients/coupon.py",
        "exact once each batch came",
        "{:.2f} of 30 answers, each batch dealt to 10",
        "fewer than L H_L = 5.50, with replacement",
        coupons,
    ),
    System(
        "4.17",
        "CodedPrivateML, COPML (So, Guler, Avestimehr)",
        "private/regression.py, private/collaborative.py",
        "the gradient of rounded data bit for bit, T learn nothing",
        "[tests](../tests/coded/private/test_regression.py): accuracy of plain descent on 3 / 8",
        "equal accuracy; 16 times faster than MPC, not to be had here",
    ),
    System(
        "4.18",
        "GASP (D'Oliveira et al.)",
        "secure/gasp.py",
        "exact, T learn nothing of A, B",
        "any {}, {}, {} answers at (3, 3, 2), (3, 3, 3), (4, 4, 4)",
        "18, 22, 36",
        gasp,
    ),
    System(
        "4.18",
        "secure MatDot; DFT (Mital et al.); CSA (Jia, Jafar)",
        "secure/matdot.py, secure/dft.py, secure/cross_subspace.py",
        "exact, T learn nothing",
        "{}, {}, {} answers (2 blocks or products, T = 1)",
        "2 (p + T) - 1 = 5, p + 2 T = 4, 2 L + 2 T - 1 = 5",
        other_secure,
    ),
    System(
        "4.18",
        "one-sided (Chang, Tandon); private library (Kim, Lee)",
        "schemes/field_lagrange.py, secure/private_library.py",
        "exact; which matrix is hidden",
        "[a recipe](../tests/coded/secure/test_one_sided.py)",
        DERIVED,
    ),
    System(
        "4.18",
        "analog secure products (Makkonen, Hollanti)",
        "secure/analog.py",
        "exact to rounding, leakage told",
        "[tests](../tests/coded/secure/test_analog.py)",
        DERIVED,
    ),
    System(
        "4.19",
        "hedging (Dean, Barroso)",
        "latency/policies.py, runtime/attempts.py",
        "the first answer counts",
        "p99 {:.3f} to {:.3f}, exponential times, copy at p95",
        "4.605 to 3.800 by the formula",
        hedged,
    ),
    System(
        "4.19",
        "tied requests, LATE (Zaharia), C3 (Suresh)",
        "latency/policies.py",
        "policies of a simulated cluster",
        "[tails](../bench/README.md#latency)",
        "1800 to 74 ms on BigTable, not to be had here",
    ),
)


def run(*, quick: bool) -> Numbers:
    """Measure every figure."""
    return {one.name: list(one.measure(quick=quick)) for one in SYSTEMS if one.measure is not None}


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table."""
    header = ["", "system", "in `coded/`", "promise", "here", "by its authors"]
    rows = []
    for one in SYSTEMS:
        files = ", ".join(f"[{file}]({file})" for file in one.file.split(", "))
        figure = one.figure.format(*numbers.get(one.name, ()))
        rows.append([one.section, one.name, files, one.guarantee, figure, one.published])
    caption = (
        "Sections: kinds of systems, from copies to policies. Figures that need no clock, computed "
        "by our codes; where a figure belongs to another table, a link. Times on their authors' "
        "clouds cannot be had on one machine."
    )
    return {"systems": f"{to_markdown(header, rows, words=6)}\n\n{caption}"}


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("systems")
