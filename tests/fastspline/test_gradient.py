"""Derivatives of a fit against differences of 100-digit fits, 30 digits apart."""

import numpy as np
import pytest
import torch
from gmpy2 import mpfr
from hypothesis import given, settings
from hypothesis import strategies as st

from fastspline import Smoother, smooth_spline
from tests.oracles.splines import ExactSmoother, HermiteSmoother, exact, rounded
from tests.support.strategies import KNOT_KINDS, LAMS, designs, make_knots, make_weights

STEP = mpfr(10) ** -30
CLOSE = 1e-10
NAMES = ("values", "lam", "weights", "knots")
SLOPES = ("slope", 2.0, -1.0)


class Reading:
    """L = sum(cotangent * curve), read at points or, with None, at the knots, as 100-digit number.

    `at` gives it for other knots, values, weights and lam.
    """

    def __init__(self, cotangent, points, bc="natural", roughness=None):
        self.cotangent, self.points = exact(cotangent), points
        self.bc, self.roughness = bc, roughness

    def at(self, x, y, w, lam):
        points = x if self.points is None else self.points
        if self.bc == "natural" and self.roughness is None:
            curve = ExactSmoother(x, lam=lam, weights=w).matrix(points) @ y
        else:
            plan = HermiteSmoother(x, lam=lam, weights=w, bc=self.bc, roughness=self.roughness)
            matrix = plan.matrix(points)
            curve = matrix[:, :-1] @ y + matrix[:, -1:]
        return (self.cotangent * curve).sum()

    def along(self, direction, x, y, w, lam):
        """Derivative along (dx, dy, dw, dlam); from one side where lam is 0."""
        here, moves = (exact(x), exact(y), exact(w), mpfr(lam)), direction
        ahead = self.at(*(a + STEP * b for a, b in zip(here, moves, strict=True)))
        one_sided = lam == 0 or min(w) == 0
        sign = 0 if one_sided else -1
        behind = self.at(*(a + sign * STEP * b for a, b in zip(here, moves, strict=True)))
        return (ahead - behind) / (STEP if one_sided else 2 * STEP)

    def gradient(self, x, y, w, lam):
        """Derivatives with respect to values (n, columns), lam, weights (n,), knots (n,)."""
        n, still = len(x), [0 * exact(x), 0 * exact(y), 0 * exact(w), mpfr(0)]
        gap, heaviest = min(np.diff(x)), max(w)

        def derivatives(which, units):
            for place, unit in units:
                moves = [part if i == which else 0 * part for i, part in enumerate(still)]
                if which < 3:
                    moves[which] = moves[which].copy()
                    moves[which][place] = mpfr(unit)
                else:
                    moves[which] = mpfr(unit)
                yield self.along(moves, x, y, w, lam) / mpfr(unit)

        def rounded_all(which, units):
            return rounded(np.array(list(derivatives(which, units)), dtype=object))

        return (
            rounded_all(1, [(i, 1.0) for i in np.ndindex(y.shape)]).reshape(y.shape),
            0.0 if lam == np.inf else rounded_all(3, [((), lam or gap**3 / heaviest)])[0],
            rounded_all(2, [(i, w[i] or heaviest) for i in range(n)]),
            rounded_all(0, [(i, gap) for i in range(n)]),
        )


def assert_close(ours, expected, names=NAMES, **rounding):
    for name, one in zip(NAMES, expected, strict=True):
        if name in names:
            error = np.abs(getattr(ours, name) - one).max()
            assert error <= CLOSE * np.abs(one).max() + rounding.get(name, 1e-25), name


def make_cotangent(points, x, columns=1):
    m = len(x) if points is None else len(points)
    return np.random.default_rng(11).standard_normal((m, columns))


def points_of(kind, x):
    if kind == "knots":
        return None
    span = x[-1] - x[0]
    return np.array([x[0] - 0.3 * span, *(0.7 * x[:-1] + 0.3 * x[1:])[::2], x[2], x[-1] + span])


@pytest.mark.parametrize(
    ("weights", "reading"), [("one", "knots"), ("zeros", "knots"), ("zeros", "points")]
)
@pytest.mark.parametrize("kind", KNOT_KINDS)
@pytest.mark.parametrize("lam", LAMS)
def test_natural(kind, weights, lam, reading):
    x, w = make_knots(kind, 5), make_weights(weights, 5)
    y = np.random.default_rng(3).standard_normal((5, 1))
    points = points_of(reading, x)
    c = make_cotangent(points, x)
    ours = Smoother(x, lam=lam, weights=w).fit(y).gradient(c, points)
    used = np.ones(5) if w is None else w
    expected = Reading(c, points).gradient(x, y, used, lam)
    if lam == 0.0 and weights == "zeros":  # a little weight changes an interpolant at once
        assert np.isinf(ours.weights[used == 0.0]).all()
        assert not ours.weights[used > 0.0].max() > 1e-25
        assert_close(ours, expected, ("values", "lam", "knots"))
    else:
        # Where two knots all but coincide, tiny second derivatives are not exact in their own size.
        size = np.abs(c).max() * np.abs(y).max() if kind == "clustered" and lam else 0.0
        assert_close(ours, expected, lam=1e-16 * size / lam if size else 0.0)


@pytest.mark.parametrize("reading", ["knots", "points"])
@pytest.mark.parametrize(
    ("bc", "rough"),
    [("natural", True), (SLOPES, False), (SLOPES, True), ("periodic", False), ("periodic", True)],
    ids=str,
)
@pytest.mark.parametrize("lam", [1e-9, 1e-2, 1e9])
def test_boundaries_and_roughness(lam, bc, rough, reading):
    x = make_knots("clustered" if lam == 1e-2 else "random", 5)
    rng = np.random.default_rng(4)
    y, w = rng.standard_normal((5, 1)), 10.0 ** rng.uniform(-1.0, 1.0, 5)
    roughness = 10.0 ** rng.uniform(-1.0, 1.0, 4) if rough else None
    points = points_of(reading, x)
    c = make_cotangent(points, x)
    plan = Smoother(x, lam=lam, weights=w, bc=bc, roughness=roughness)
    expected = Reading(c, points, bc, roughness).gradient(x, y, w, lam)
    # Slopes on a circle, which goes to a constant, are exact relative to the values only.
    size = np.abs(c).max() * np.abs(y).max() if bc == "periodic" else 0.0
    rounding = {"lam": 1e-14 * size / lam, "knots": 1e-14 * size / np.diff(x).min()}
    assert_close(plan.fit(y).gradient(c, points), expected, **rounding)


@pytest.mark.parametrize("reading", ["knots", "points"])
def test_a_stiffer_gap_beyond_the_data(reading):
    x, w, roughness = make_knots("random", 5), np.array([1.0, 2.0, 0.5, 1.0, 0.0]), np.ones(4)
    roughness[-1] = 100.0  # no part of the penalty until the last knot has a weight
    y = np.random.default_rng(5).standard_normal((5, 1))
    points = points_of(reading, x)
    c = make_cotangent(points, x)
    plan = Smoother(x, lam=1e-2, weights=w, roughness=roughness)
    expected = Reading(c, points, "natural", roughness).gradient(x, y, w, 1e-2)
    assert_close(plan.fit(y).gradient(c, points), expected)


@settings(max_examples=60, deadline=None)
@given(designs(min_size=2, max_size=7), st.integers(0, 2**32 - 1), st.booleans())
def test_along_any_direction(design, seed, at_knots):
    x, w, lam = design
    rng = np.random.default_rng(seed)
    n, y = x.size, rng.standard_normal((x.size, 1))
    if n > 3 and lam > 0.0:
        w[rng.integers(n)] = 0.0
    span = x[-1] - x[0]
    points = None if at_knots else rng.uniform(x[0] - 0.2 * span, x[-1] + 0.2 * span, 4)
    c = rng.standard_normal((n if at_knots else 4, 1))
    dx = np.diff(x).min() * rng.uniform(-1.0, 1.0, n)
    dy, dw = rng.standard_normal((n, 1)), np.where(w > 0.0, w * rng.uniform(-1.0, 1.0, n), 1.0)
    dlam = lam or np.diff(x).min() ** 3
    dlam = 0.0 if lam == np.inf else dlam
    g = Smoother(x, lam=lam, weights=w).fit(y).gradient(c, points)
    terms = [*(g.values * dy).ravel(), g.lam * dlam, *(g.weights * dw), *(g.knots * dx)]
    directions = exact(dx), exact(dy), exact(dw), mpfr(dlam)
    expected = float(Reading(c, points).along(directions, x, y, w, lam))
    assert abs(sum(terms) - expected) <= CLOSE * np.abs(terms).sum() + 1e-25


def test_values_as_by_the_adjoint():
    x = make_knots("random", 40)
    y, points = np.zeros((40, 3)), np.linspace(-1.0, 2.0, 70)
    c = make_cotangent(points, x, 3)
    for lam in LAMS:
        for bc in ("natural", SLOPES):
            plan = Smoother(x, lam=lam, bc=bc)
            ours = plan.fit(y).gradient(c, points).values
            expected = plan.operator(points).adjoint(c)
            assert np.abs(ours - expected).max() <= 1e-11 * np.abs(expected).max()


def test_columns_add_up():
    n, columns = 100, 400  # more than one panel
    x, rng = make_knots("random", n), np.random.default_rng(0)
    w = make_weights("zeros", n)
    y, points = rng.standard_normal((n, columns)), rng.uniform(-0.1, 1.1, 30)
    c = rng.standard_normal((30, columns))
    plan = Smoother(x, lam=1e-4, weights=w)
    whole = plan.fit(y).gradient(c, points)
    parts = [plan.fit(y[:, j]).gradient(c[:, j], points) for j in range(columns)]
    np.testing.assert_array_equal(whole.values, np.stack([p.values for p in parts], axis=1))
    for name in ("lam", "weights", "knots"):
        total = np.sum([getattr(p, name) for p in parts], axis=0)
        np.testing.assert_allclose(getattr(whole, name), total, rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_lam_of_each_column(axis):
    x, rng = make_knots("random", 12), np.random.default_rng(1)
    lam = np.array([[1e-3, 1.0], [1.0, 0.0], [np.inf, 1e-3]])
    y, c = rng.standard_normal((2, 12, 3, 2))
    ours = smooth_spline(x, np.moveaxis(y, 0, axis), lam=lam, axis=axis)
    whole = ours.gradient(np.moveaxis(c, 0, axis))
    assert whole.values.shape == np.moveaxis(y, 0, axis).shape
    assert whole.lam.shape == lam.shape
    weights = places = 0.0
    for j in np.ndindex(lam.shape):
        part = Smoother(x, lam=lam[j]).fit(y[:, *j]).gradient(c[:, *j])
        np.testing.assert_array_equal(np.moveaxis(whole.values, axis, 0)[:, *j], part.values)
        assert abs(whole.lam[j] - part.lam) <= 1e-15 * abs(part.lam)
        weights, places = weights + part.weights, places + part.knots
    np.testing.assert_allclose(whole.weights, weights, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(whole.knots, places, rtol=1e-10, atol=1e-14)


def test_missing_values_have_no_derivative():
    x, w = np.arange(5.0), np.array([1.0, 0.0, 1.0, 2.0, 1.0])
    y = np.array([0.0, np.nan, 1.0, 0.0, 3.0])
    g = Smoother(x, lam=1.0, weights=w).fit(y).gradient(np.ones(5))
    there = Smoother(x[w > 0], lam=1.0, weights=w[w > 0]).fit(y[w > 0])
    expected = there.gradient(np.ones(5), x)
    assert g.values[1] == g.weights[1] == 0.0
    np.testing.assert_allclose(g.values[w > 0], expected.values, rtol=1e-14)
    np.testing.assert_allclose(g.weights[w > 0], expected.weights, rtol=1e-12)
    assert g.knots[1] == pytest.approx(there(x, 1)[1], rel=1e-15)


@pytest.mark.parametrize("weights", [[2.0], [0.0, 2.0, 0.0]])
def test_constant(weights):
    knots = np.arange(len(weights), dtype=float)
    g = (
        Smoother(knots, lam=1.0, weights=weights)
        .fit(np.full(len(weights), 7.0))
        .gradient([1.0, 2.0, 4.0], [-1.0, 0.0, 5.0])
    )
    np.testing.assert_array_equal(g.values, np.where(np.array(weights) > 0.0, 7.0, 0.0))
    assert g.lam == 0.0
    assert not g.weights.any()
    assert not g.knots.any()


@pytest.mark.parametrize("lam", LAMS)
def test_line_through_two(lam):
    g = Smoother([0.0, 2.0], lam=lam).fit([1.0, 5.0]).gradient([1.0], [3.0])
    np.testing.assert_allclose(g.values, [-0.5, 1.5], rtol=1e-15)
    np.testing.assert_allclose(g.knots, [1.0, -3.0], rtol=1e-14)  # - value * slope
    assert abs(g.lam) <= 1e-14
    assert np.abs(g.weights).max() <= 1e-14


@pytest.mark.parametrize("bc", ["natural", SLOPES, "periodic"], ids=str)
@pytest.mark.parametrize("lam", [0.0, 1e-20, 1e-3, np.inf])
@pytest.mark.parametrize("apart", [1e-300, 1e-16, 1e-13, 1e-7])
def test_points_next_to_knots(apart, lam, bc):
    x, y = np.array([-1.0, 0.0, 1.0, 3.0, 3.5]), np.array([0.0, 1.0, 5.0, 2.0, 1.0])
    spline = Smoother(x, lam=lam, bc=bc).fit(y)
    beside, at_knots = (
        spline.gradient([1.0, 2.0], [apart, 3.0]),
        spline.gradient([1.0, 2.0], [0.0, 3.0]),
    )
    for name in NAMES:
        ours, expected = getattr(beside, name), getattr(at_knots, name)
        scale = np.abs(expected).max() + 1.0
        assert np.abs(ours - expected).max() <= (1e-12 + 100.0 * apart) * scale, name


def test_no_columns_and_no_points():
    spline = Smoother(np.arange(4.0), lam=1.0).fit(np.zeros((4, 0)))
    g = spline.gradient(np.zeros((4, 0)))
    assert g.values.shape == (4, 0)
    assert g.lam == 0.0
    g = Smoother(np.arange(4.0), lam=1.0).fit(np.ones(4)).gradient([], [])
    assert not g.values.any()
    assert not g.knots.any()


def test_kinds_are_kept():
    x, y = np.arange(6.0), np.cos(np.arange(6.0))
    g = Smoother(x, lam=1.0).fit(torch.tensor(y, dtype=torch.float32)).gradient(np.ones(6))
    assert isinstance(g.values, torch.Tensor)
    assert g.values.dtype == torch.float32
    assert g.knots.dtype == np.float64


class TorchFit(torch.autograd.Function):
    """How a fit becomes a step of a torch model."""

    @staticmethod
    def forward(ctx, knots, values, weights, lam, points):
        ctx.spline = Smoother(knots, lam=lam.item(), weights=weights).fit(values)
        ctx.points = points
        return ctx.spline(points)

    @staticmethod
    def backward(ctx, cotangent):
        g = ctx.spline.gradient(cotangent, ctx.points)
        lam, weights, knots = (torch.as_tensor(part) for part in (g.lam, g.weights, g.knots))
        return knots, g.values, weights, lam, None


def test_torch_accepts_it():
    rng = np.random.default_rng(2)
    x, y, w = np.sort(rng.random(7)), rng.standard_normal((7, 2)), rng.uniform(0.5, 2.0, 7)
    arguments = [
        torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in (x, y, w, 0.01)
    ]
    points = torch.tensor([-0.1, 0.3, 0.55, 1.2], dtype=torch.float64)
    assert torch.autograd.gradcheck(TorchFit.apply, (*arguments, points), eps=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("cotangent", "points", "text"),
    [
        (np.ones(3), None, "4 knots need 4 cotangent"),
        (np.ones((4, 2)), None, "one entry for each entry"),
        (np.ones(2), [0.5], "1 points need 1 cotangent"),
        ([1.0, np.nan, 0.0, 0.0], None, r"cotangent\[1\] = nan"),
        ([1.0], [np.inf], r"points\[0\] = inf"),
        (1e308 * np.array([1.0, -1.0, 1.0, -1.0]), None, "overflows"),
    ],
)
def test_refusals(cotangent, points, text):
    spline = Smoother(np.arange(4.0), lam=1.0).fit([0.0, 1e10, 0.0, 1e10])
    with pytest.raises(ValueError, match=text):
        spline.gradient(cotangent, points)


@pytest.mark.parametrize("reading", ["knots", "inside", "anywhere"])
@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("idle", [[], [0, -1], [0], [-1], [2]], ids=str)
def test_circles(idle, rough, reading):
    rng = np.random.default_rng(8)
    x, y = np.sort(rng.random(5)), rng.standard_normal((5, 1))
    w, roughness = 10.0 ** rng.uniform(-1.0, 1.0, 5), 10.0 ** rng.uniform(-1.0, 1.0, 4)
    w[idle] = 0.0
    roughness[-1], roughness[2] = roughness[0], roughness[1]  # alike beside knots without weight
    points = None
    if reading == "inside":
        points = rng.uniform(x[0], x[-1], 4)
        points[0] = 0.5 * (x[0] + x[1])
    if reading == "anywhere":
        points = np.array([x[0], x[-1], x[-1] + 0.2, x[0] - 1.3, x[3]])
    c, used = make_cotangent(points, x), roughness if rough else None
    plan = Smoother(x, lam=1e-2, weights=w, bc="periodic", roughness=used)
    expected = Reading(c, points, "periodic", used).gradient(x, y, w, 1e-2)
    assert_close(plan.fit(y).gradient(c, points), expected)


def test_columns_that_lack_different_values():
    x, rng = make_knots("random", 9), np.random.default_rng(6)
    y, c = rng.standard_normal((9, 3)), rng.standard_normal((9, 3))
    y[2, 1] = y[5, 1] = y[2, 2] = np.nan
    g = smooth_spline(x, y, lam=1e-3, missing="omit").gradient(c)
    weights = places = 0.0
    for j in range(3):
        there = np.isfinite(y[:, j])
        one = Smoother(x, lam=1e-3, weights=there.astype(float)).fit(y[:, j]).gradient(c[:, j])
        np.testing.assert_array_equal(g.values[:, j], one.values)
        assert not one.weights[~there].any()
        weights, places = weights + one.weights, places + one.knots
    np.testing.assert_allclose(g.weights, weights, rtol=1e-12)
    np.testing.assert_allclose(g.knots, places, rtol=1e-12)


def test_merged_values_count_as_their_mean():
    x, y = [0.0, 1.0, 1.0, 2.0, 3.0, 3.0], [0.0, 1.0, 2.0, 0.0, 5.0, 7.0]
    w = [1.0, 1.0, 3.0, 2.0, 0.0, 0.0]
    curve = smooth_spline(x, y, lam=0.5, weights=w, duplicates="merge")
    merged = Smoother([0.0, 1.0, 2.0, 3.0], lam=0.5, weights=[1.0, 4.0, 2.0, 0.0])
    g, one = curve.gradient(np.ones(4)), merged.fit([0.0, 1.75, 0.0, np.nan]).gradient(np.ones(4))
    np.testing.assert_allclose(g.values, one.values, rtol=1e-14)
    np.testing.assert_allclose(g.weights, one.weights, rtol=1e-12)
    np.testing.assert_allclose(g.knots, one.knots, rtol=1e-12)
