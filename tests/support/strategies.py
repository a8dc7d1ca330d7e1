"""Knots, weights and lam: fixed families for parametrised tests, strategies for hypothesis."""

import pickle

import numpy as np
from hypothesis import strategies as st

KNOT_KINDS = ["uniform", "chebyshev", "random", "clustered"]
WEIGHT_KINDS = ["one", "random", "zeros"]
LAMS = [0.0, 1e-9, 1.0, 1e9, np.inf]


def through_buffers(thing):
    """Pickle with the arrays apart, as between processes, and read them from read-only memory."""
    buffers = []
    pickled = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(pickled, buffers=[bytes(buffer.raw()) for buffer in buffers])


def make_knots(kind, n, seed=0):
    """Ascending knots (n,) in [-1, 1] or [0, 1]."""
    if kind == "uniform":
        return np.linspace(0.0, 1.0, n)
    if kind == "chebyshev":
        return np.sort(np.cos((2 * np.arange(n) + 1) * np.pi / (2 * n)))
    if kind == "random":
        return np.sort(np.random.default_rng(seed).random(n))
    gaps = np.where(np.arange(n) % 4 < 2, 1e-5, 1.0)  # clustered: three close together, then one
    ends = np.cumsum(gaps)
    return ends / ends[-1]


def make_weights(kind, n, seed=0):
    """Weights (n,): None, ten to the power of -2 to 2, or the same with zeros at some knots."""
    if kind == "one":
        return None
    weights = 10.0 ** np.random.default_rng(seed).uniform(-2, 2, n)
    if kind == "zeros" and n > 1:
        weights[[0, n // 2]] = 0.0
        weights[-1] = 3.0
    return weights


def make_points(knots):
    """Points outside, at the knots and between them (m,)."""
    span = max(knots[-1] - knots[0], 1.0)
    between = (0.7 * knots[:-1] + 0.3 * knots[1:])[:: max(1, len(knots) // 8)]
    left, right = knots[0] - span * np.array([1.5, 0.1]), knots[-1] + span * np.array([0.1, 1.5])
    return np.concatenate([left, knots, between, right])


def numbers(low, high):
    """Floats of which 0 is the only one so small that products underflow."""
    floats = st.floats(low, high, allow_nan=False, allow_infinity=False)
    return floats.map(lambda number: number if abs(number) > 1e-100 else 0.0)


@st.composite
def knots(draw, min_size=1, max_size=12):
    gaps = draw(st.lists(numbers(-4.0, 1.0), min_size=min_size - 1, max_size=max_size - 1))
    start = draw(numbers(-3.0, 3.0))
    return start + np.concatenate([[0.0], np.cumsum(10.0 ** np.array(gaps))])


def lams():
    return st.one_of(
        st.sampled_from([0.0, np.inf]), numbers(-9.0, 9.0).map(lambda power: 10.0**power)
    )


@st.composite
def designs(draw, min_size=1, max_size=12):
    """Knots (n,), weights (n,) and lam."""
    places = draw(knots(min_size, max_size))
    powers = draw(st.lists(numbers(-2.0, 2.0), min_size=len(places), max_size=len(places)))
    return places, 10.0 ** np.array(powers), draw(lams())


def columns(n, count):
    """Values (n, count) of moderate size."""
    return st.lists(numbers(-100.0, 100.0), min_size=n * count, max_size=n * count).map(
        lambda entries: np.array(entries).reshape(n, count)
    )
