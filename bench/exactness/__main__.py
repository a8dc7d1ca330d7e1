"""Errors of every result against 500 bits: fits, derivatives, leverages, variances, adjoints.

Measured here are the cases that are too large for a test.
"""

from dataclasses import asdict

import numpy as np

from bench.documents import to_markdown
from bench.exactness.exact import Case, ExactCircle, ExactPlan
from bench.experiments import main
from fastspline import Smoother

KNOTS = ("uniform", "Chebyshev 1", "Chebyshev 2", "random", "clustered")
WEIGHTS = ("one", "6 decades", "some zero")
EXTREME = "16 decades"  # weights too
ENDS = {"natural": ExactPlan, "periodic": ExactCircle}
ROUGHNESS = ("one", "4 decades")
LAMS = (0.0, *(10.0**power for power in range(-12, 13, 3)), np.inf)
# Round a circle slopes far from steep ones keep what these leave.
BOUNDS = {"values": 1e-12} | dict.fromkeys(
    (f"{name} on a circle" for name in ("slopes", "slopes between", "adjoint of slopes")), 1e-8
)
BOUND = 1e-11  # the others'
SINGLE_BOUND = 4 * float(np.finfo(np.float32).eps)
SHORT = 1e-6  # the gaps in clusters, where the others are 1
DERIVATIVES = ("value", "slope", "curvature", "third derivative")


# One of KNOTS, or "groups" (ten clusters) or "pairs" (every second gap is short).
LARGE = tuple(
    Case(knots, n, lam, weights, *ends)
    for n in (20_000, 100_000)
    for knots, lam, weights, *ends in (
        ("uniform", np.inf, "one"),
        ("uniform", 1e12, "one"),
        ("uniform", 1e-12, "6 decades"),
        ("Chebyshev 1", 1e-12, "some zero"),
        ("Chebyshev 2", 1e6, "one"),
        ("random", 1e6, "one"),
        ("random", 0.0, "some zero"),
        ("clustered", 1e6, "one"),
        ("clustered", np.inf, "6 decades"),
        ("groups", 1e-12, "one"),
        ("groups", 1e12, "some zero"),
        ("pairs", 1e-6, "6 decades"),
        ("random", 1e6, EXTREME),
        ("groups", 1.0, EXTREME),
        ("pairs", 1e-6, "6 decades", "natural", "4 decades"),
        ("clustered", 1e-12, "some zero", "natural", "4 decades"),
        ("uniform", 1e-12, "one", "periodic"),
        ("random", 1.0, "6 decades", "periodic", "4 decades"),
        ("Chebyshev 2", 1e-6, EXTREME, "periodic"),
    )
)


def make_knots(kind, n, rng):
    """Knots (n,) in [0, 1], Chebyshev points in [-1, 1]."""
    step = np.arange(n)
    match kind:
        case "uniform":
            return np.linspace(0.0, 1.0, n)
        case "Chebyshev 1":
            return np.sort(np.cos((2 * step + 1) * np.pi / (2 * n)))
        case "Chebyshev 2":
            return np.sort(np.cos(step * np.pi / (n - 1)))
        case "random":
            return np.sort(rng.random(n))
        case "clustered":  # runs of five gaps, short and long in turn
            is_short = step[1:] // 5 % 2 == 0
        case "groups":
            is_short = step[1:] % max(n // 10, 2) != 0
        case "pairs":
            is_short = step[1:] % 2 == 1
        case _:
            raise ValueError(f"no knots are called {kind!r}")
    gaps = np.where(is_short, SHORT, 1.0) * rng.uniform(0.5, 1.5, n - 1)
    return np.concatenate([[0.0], gaps.cumsum()]) / gaps.sum()


def make_weights(kind, n, rng):
    """Weights (n,), or None for ones; of "some zero" a fifth, but never all but one."""
    if kind == "one":
        return None
    half = 8.0 if kind == EXTREME else 3.0
    weights = 10.0 ** rng.uniform(-half, half, n)
    if kind == "some zero":
        weights[rng.permutation(n)[: max(n // 5, 1)]] = 0.0
    return weights


def make_roughness(kind, weights, rng):
    """Roughness weights (n - 1,), alike on both sides of a weight 0; or None for ones."""
    if kind == "one":
        return None
    roughness = 10.0 ** rng.uniform(-2.0, 2.0, weights.size - 1)
    for i in np.flatnonzero(weights[1:-1] == 0.0) + 1:
        roughness[i] = roughness[i - 1]
    if weights[0] == weights[-1] == 0.0:  # on a circle the gaps at both ends are one
        roughness[np.flatnonzero(weights)[-1] :] = roughness[0]
    return roughness


def make_points(knots, rng):
    """Points (m,) between knots that are near, far or unequally far, and outside."""
    h = np.diff(knots)
    order, change = np.argsort(h), np.argsort(-np.abs(np.diff(np.log(h))))[:20]
    cells = [order[:15], order[-15:], change, change + 1, rng.integers(0, h.size, 30)]
    i = np.unique(np.concatenate(cells))
    between = np.concatenate([knots[i] + rng.random(i.size) * h[i], knots[i] + 1e-7 * h[i]])
    span = knots[-1] - knots[0]
    outside = [knots[0] - span, knots[0] - 0.1 * span, knots[-1] + 0.1 * span, knots[-1] + span]
    return np.concatenate([np.clip(between, knots[0], knots[-1]), outside])


def measure_errors(case):
    """Give the largest error of each result.

    Those of leverages, 1 - leverage, df and variances are relative to each entry. All others are
    relative to the largest entry that columns of like size have: a sine with noise, noise, a sine;
    those of values also to the largest value given.
    Float32's are against float64's.
    """
    n, lam, on_circle = case.n, case.lam, case.bc == "periodic"
    rng = np.random.default_rng(n)
    x, w = make_knots(case.knots, n, rng), make_weights(case.weights, n, rng)
    points, sine = make_points(x, rng), np.sin(6.0 * x)
    y = np.stack([sine + 0.3 * rng.standard_normal(n), rng.standard_normal(n), sine], axis=1)
    positive = np.ones(n, bool) if w is None else w > 0
    rough = make_roughness(case.roughness, np.where(positive, 1.0, 0.0), rng)
    outside = -4
    if on_circle:  # to be taken back into the period would round a point
        points, outside = points[:outside], None
    smoother = Smoother(x, lam=lam, weights=w, bc=case.bc, roughness=rough)
    exact = ENDS[case.bc](x, lam=lam, weights=w, roughness=rough)
    free = 1 if on_circle else 2  # values that are kept by every lam
    is_line = lam == np.inf or positive.sum() <= free  # which the reference only approaches
    curve, states = smoother.fit(y), [exact.fit(column) for column in y.T]
    single = y.astype(np.float32)
    errors = {}
    for nu, name in enumerate(DERIVATIVES):
        here, there = smoother.operator(x, nu=nu), smoother.operator(points, nu=nu)
        # On a circle the curve is a constant for large lam, all whose derivatives are rounding.
        flat = np.abs(y).max() / (x[-1] - x[0]) ** nu if nu == 0 or on_circle else 0.0
        errors[f"float32 {name}"] = max(
            _worst(operator(single), operator(single.astype(float)), flat)
            for operator in (here, there)
        )
        places = np.concatenate([x, points])
        expected = _round(exact.evaluate(s, places, nu) for s in states)
        cotangent = np.stack([rng.standard_normal(points.size), np.ones(points.size)])
        adjoint = _round(exact.adjoint(c, points, nu) for c in cotangent)
        if nu >= 2 and is_line:
            expected[:] = adjoint[:] = 0.0
        at_knots, at_points = expected[:n], expected[n:]
        within = slice(0, outside if nu == 0 else None)  # values outside have a size of their own
        scale = max(np.abs(at_knots).max(), np.abs(at_points[within]).max(), flat)
        results = [(curve(x, nu), curve(points, nu)), (here(y), there(y))]
        errors[f"{name}s"] = max(_worst(fitted, at_knots, scale) for fitted, _ in results)
        errors[f"{name}s between"] = max(
            _worst(fitted[within], at_points[within], scale) for _, fitted in results
        )
        if nu == 0 and outside is not None:
            errors["values outside"] = max(
                _worst(fitted[-4:], at_points[-4:]) for _, fitted in results
            )
        errors[f"adjoint of {name}s"] = _worst(
            there.adjoint(cotangent.T), adjoint, flat if on_circle else 0.0
        )
    plan = smoother._plan.solver.exact()
    levers, rest = (_round([numbers])[:, 0] for numbers in exact.leverages())
    if lam == 0.0 or positive.sum() <= free:
        rest = (~positive).astype(float)
    errors["leverages"] = _worst_entry(smoother.leverages, levers)
    if lam > 0.0 or not on_circle:  # where 0 is only approached
        errors["1 - leverages"] = _worst_entry(plan.leverages()[1], rest[positive])
    errors["df"] = _worst_entry(np.array([smoother.df]), levers.sum(keepdims=True))
    if lam > 0.0:
        places = np.concatenate([x, points[: 0 if is_line else None]])
        errors["variances"] = _worst_entry(
            plan.variances(places), _round([exact.variances(places)])[:, 0]
        )
    on_it = " on a circle" if on_circle else ""
    return {f"{name}{on_it}": error for name, error in errors.items()}


def exceeds(errors):
    """Give the errors that are larger than they may be."""
    return {name: error for name, error in errors.items() if not error <= bound_of(name)}


def bound_of(name):
    """Give the largest error that a result may have."""
    return SINGLE_BOUND if name.startswith("float32") else BOUNDS.get(name, BOUND)


def _round(columns):
    """Stack columns of 500-bit numbers as float64."""
    return np.stack([[float(number) for number in column] for column in columns], axis=1)


def _worst(actual, expected, scale=0.0):
    """Give the largest error relative to the largest entry, or to `scale` if that is larger."""
    scale = max(np.abs(expected).max(), scale)
    largest = np.abs(actual - expected).max()
    return float(largest / scale) if largest else 0.0


def _worst_entry(actual, expected):
    """Give the largest relative error; 0 must be 0."""
    misses = np.abs(actual - expected)
    wrong = misses > 0.0
    with np.errstate(divide="ignore"):
        return float((misses[wrong] / np.abs(expected[wrong])).max(initial=0.0))


def run(*, quick):
    """Give the worst error of each result at each n, over the large cases."""
    worst, cases = {}, LARGE[:1] if quick else LARGE
    for case in cases:
        errors = measure_errors(case)
        print(case, exceeds(errors) or "", flush=True)
        for name, error in errors.items():
            found = worst.setdefault(str(case.n), {}).get(name, {"error": -1.0})
            if not error <= found["error"]:
                where = {**asdict(case), "lam": f"{case.lam:g}"}
                worst[str(case.n)][name] = {"error": float(f"{error:.2g}"), **where}
    return {"cases": len(cases), "worst": worst}


def tables(numbers):
    """Make the one table."""
    sizes = list(numbers["worst"])
    header = ["result", *(f"n = {int(n):,}" for n in sizes), "bound"]
    names = dict.fromkeys(name for worst in numbers["worst"].values() for name in worst)
    rows = [
        [
            name,
            *(
                f"{numbers['worst'][n][name]['error']:.0e}" if name in numbers["worst"][n] else "-"
                for n in sizes
            ),
            f"{bound_of(name):.0e}",
        ]
        for name in names
    ]
    caption = (
        f"The worst of {numbers['cases']} cases, some round a circle or with roughness, uniform to "
        "clustered knots, weights over 16 decades or zero, lam from 0 to inf, against 500-bit "
        "arithmetic, relative to the largest value of the result."
    )
    return {"exact": f"{to_markdown(header, rows)}\n\n{caption}"}


def draw(numbers):  # noqa: ARG001 (one interface for all)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("exact")
