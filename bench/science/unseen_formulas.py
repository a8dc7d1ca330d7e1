"""Functions that no constant of ours was set on: equations, prices, formulas, chaos, noise, steps.

Each maps (n, d) to (n, m), row by row, is finite well outside the sampled range, for some
codes ask there, and draws its inputs independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.special import erfinv, j0

from bench.science.functions import Array, Function, ZooFunction, integrate, uniform


def box(name: str, kind: str, fn: Function, *ranges: Sequence[float]) -> ZooFunction:
    """Give a function of numbers that are drawn from a box, a range each."""
    low, high = np.array(ranges, float).T
    return ZooFunction(name, kind, fn, uniform(low, high, len(low)))


def clipped(fn: Function, *ranges: Sequence[float]) -> Function:
    """Give a function that sees at most half a range's width beyond each range."""
    low, high = np.array(ranges, float).T
    beyond = (high - low) / 2
    positive = np.where(low > 0, low / 4, -np.inf)
    return lambda x: fn(np.clip(x, np.maximum(low - beyond, positive), high + beyond))


def physical(name: str, kind: str, fn: Function, *ranges: Sequence[float]) -> ZooFunction:
    """Give a function of numbers in a box, which is defined near that alone."""
    return box(name, kind, clipped(fn, *ranges), *ranges)


# Solutions of differential equations in their parameters.


def epidemic(x: Array) -> Array:
    """Infected over 80 days, S' = -b S I, I' = b S I - c I."""

    def slope(state: Array) -> Array:
        ill, well = state
        return np.stack([x[:, 0] * well * ill - x[:, 1] * ill, -x[:, 0] * well * ill])

    start = np.stack([np.full(len(x), 0.01), np.full(len(x), 0.99)])
    return integrate(slope, start, 80.0, 160)[8::8].T


def neuron(x: Array) -> Array:
    """FitzHugh's and Nagumo's membrane voltage under a constant current."""

    def slope(state: Array) -> Array:
        v, w = np.clip(state, -5.0, 5.0)
        return np.stack([v - v**3 / 3 - w + x[:, 0], 0.08 * (v + 0.7 - 0.8 * w)])

    return integrate(slope, np.full((2, len(x)), -0.8), 60.0, 300)[10::10].T


def brusselator(x: Array) -> Array:
    """u' = a + u^2 v - (b + 1) u, v' = b u - u^2 v over 12 time units."""

    def slope(state: Array) -> Array:
        u, v = np.clip(state, -20.0, 20.0)
        return np.stack([x[:, 0] + u**2 * v - (x[:, 1] + 1) * u, x[:, 1] * u - u**2 * v])

    return integrate(slope, np.ones((2, len(x))), 12.0, 400)[20::20].T


def projectile(x: Array) -> Array:
    """Heights at 12 times: speed in m/s, angle in degrees, quadratic drag a kilogram."""
    speed, angle = x[:, 0], np.deg2rad(x[:, 1])

    def slope(state: Array) -> Array:
        _, rise, run = state
        drag = np.maximum(x[:, 2], 0.0) * np.hypot(rise, run)
        return np.stack([rise, -9.81 - drag * rise, -drag * run])

    start = np.stack([0.0 * speed, speed * np.sin(angle), speed * np.cos(angle)])
    return integrate(slope, start, 3.0, 60)[5::5].T


def reactor(x: Array) -> Array:
    """Temperature of a stirred tank at 10 times: it ignites, or not."""

    def slope(state: Array) -> Array:
        heat, left = np.clip(state, -1.0, 20.0)
        rate = x[:, 0] * np.clip(left, 0.0, 1.0) * np.exp(heat / (1.0 + heat / 20.0))
        return np.stack([8.0 * rate - x[:, 1] * heat, 1.0 - left - rate])

    start = np.stack([np.zeros(len(x)), np.ones(len(x))])
    return integrate(slope, start, 10.0, 400)[40::40].T


def rod(x: Array) -> Array:
    """Steady temperature at 9 places of a rod whose conductivity grows with temperature."""
    place = np.linspace(0.1, 0.9, 9)
    source, end, growth = x[:, :1], x[:, 1:2], x[:, 2:3]
    flux = source * place * (1 - place) / 2 + (end + growth * end**2 / 2) * place
    return (np.sqrt(np.maximum(1.0 + 2.0 * growth * flux, 0.0)) - 1.0) / growth


# Prices by simulation, on the same random paths for all inputs.


@cache
def shocks(paths: int, steps: int) -> Array:
    return np.random.default_rng(7).standard_normal((paths, steps))


def spots(start: Array, rate: Array, volatility: Array, years: Array, steps: int = 12) -> Array:
    """Give prices along 400 geometric Brownian paths, (n, paths, steps)."""
    step = (years / steps)[:, None, None]
    sigma = volatility[:, None, None]
    drift = (rate[:, None, None] - sigma**2 / 2) * step
    moves = drift + sigma * np.sqrt(step) * shocks(400, steps)
    return start[:, None, None] * np.exp(moves.cumsum(axis=2))


def asian_option(x: Array) -> Array:
    """A call on the mean price: start, strike, rate, volatility, years."""
    mean = spots(x[:, 0], x[:, 2], x[:, 3], x[:, 4]).mean(axis=2)
    gain = np.maximum(mean - x[:, 1:2], 0.0).mean(axis=1)
    return (np.exp(-x[:, 2] * x[:, 4]) * gain)[:, None]


def barrier_option(x: Array) -> Array:
    """A call that is void once the price was above a barrier: start, barrier, volatility."""
    n = len(x)
    path = spots(x[:, 0], np.full(n, 0.03), x[:, 2], np.ones(n))
    alive = path.max(axis=2) < x[:, 1:2]
    return (alive * np.maximum(path[:, :, -1] - 100.0, 0.0)).mean(axis=1)[:, None]


def spread_option(x: Array) -> Array:
    """A call on the better of two: second start, common volatility, correlation; three strikes."""
    first, second = shocks(800, 2).T
    rho = np.clip(x[:, 2:3], -0.99, 0.99)
    both = rho * first + np.sqrt(1.0 - rho**2) * second
    sigma = x[:, 1:2]
    ends = [
        start * np.exp(sigma * shock - sigma**2 / 2)
        for start, shock in ((100.0, first), (x[:, :1], both))
    ]
    best = np.maximum(*ends)
    return np.stack(
        [np.maximum(best - strike, 0.0).mean(axis=1) for strike in (90.0, 100.0, 115.0)], axis=1
    )


def stochastic_volatility(x: Array) -> Array:
    """Heston's calls at five strikes: first variance, its mean, its return, its own volatility."""
    moves = shocks(400, 48).reshape(400, 24, 2)
    variance = np.repeat(x[:, :1], 400, axis=1)
    price = np.zeros_like(variance)
    step = 1.0 / 24
    for first, second in moves.transpose(1, 2, 0):
        spread = np.sqrt(np.maximum(variance, 0.0) * step)
        price = price - np.maximum(variance, 0.0) * step / 2 + spread * first
        shock = -0.7 * first + np.sqrt(0.51) * second
        pull = x[:, 2:3] * (x[:, 1:2] - np.maximum(variance, 0.0)) * step
        variance = variance + pull + x[:, 3:4] * spread * shock
    strikes = np.array([80.0, 90.0, 100.0, 110.0, 120.0])
    return np.maximum(100.0 * np.exp(price)[:, :, None] - strikes, 0.0).mean(axis=1)


# Engineering formulas, columns in their own units.


def borehole(x: Array) -> Array:
    """Water flow through a borehole, m3 a year."""
    radius, influence, upper, upper_head, lower, lower_head, length, conductivity = x.T
    ratio = np.log(influence / radius)
    leak = 2 * length * upper / (ratio * radius**2 * conductivity)
    flow = 2 * np.pi * upper * (upper_head - lower_head) / (ratio * (1 + leak + upper / lower))
    return flow[:, None]


def wing_weight(x: Array) -> Array:
    """Weight of a light aircraft's wing, pounds."""
    area, fuel, aspect, sweep, pressure, taper, thickness, load, gross, paint = x.T
    tilt = np.cos(np.deg2rad(sweep))
    wing = 0.036 * area**0.758 * fuel**0.0035 * (aspect / tilt**2) ** 0.6 * pressure**0.006
    wing *= taper**0.04 * (100 * thickness / tilt) ** -0.3 * (load * gross) ** 0.49
    return (wing + area * paint)[:, None]


def piston(x: Array) -> Array:
    """Seconds that a piston takes for a cycle."""
    mass, surface, volume, spring, pressure, ambient, filling = x.T
    force = pressure * surface + 19.62 * mass - spring * volume / surface
    gas = pressure * volume * ambient / filling
    space = surface / (2 * spring) * (np.sqrt(force**2 + 4 * spring * gas) - force)
    stiffness = spring + surface**2 * gas / space**2
    return (2 * np.pi * np.sqrt(mass / stiffness))[:, None]


def amplifier(x: Array) -> Array:
    """Mid-point voltage of a push-pull circuit of six parts, kilo-ohms and a gain."""
    b1, b2, f, c1, c2, gain = x.T
    base = 12.0 * b2 / (b1 + b2)
    load = gain * (c2 + 9.0)
    middle = (base + 0.74) * load / (load + f) + 11.35 * f / (load + f)
    return (middle + 0.74 * f * load / ((load + f) * c1))[:, None]


def pipe(x: Array) -> Array:
    """Pressure loss in Pa: flow in m3/s, diameter in m, roughness in m (Colebrook's equation)."""
    flow, diameter, roughness = x.T
    speed = 4 * flow / (np.pi * diameter**2)
    reynolds = speed * diameter / 1e-6
    root = np.full(len(x), 8.0)
    for _ in range(12):
        root = -2.0 * np.log10(roughness / (3.7 * diameter) + 2.51 * root / reynolds)
    return (1000.0 * speed**2 / (2 * diameter * root**2))[:, None]


def beam(x: Array) -> Array:
    """Deflection in mm at five places: modulus in Pa, moment in m4, length in m, load in N/m."""
    modulus, moment, length, load = (column[:, None] for column in x.T)
    place = np.linspace(0.2, 1.0, 5) * length
    bend = load * place**2 * (6 * length**2 - 4 * length * place + place**2)
    return 1000.0 * bend / (24 * modulus * moment)


# Chaos, noise, steps, many peaks.


def logistic_map(x: Array) -> Array:
    rate, state = np.clip(x[:, 0], 0.0, 4.0), np.clip(x[:, 1], 0.0, 1.0)
    for _ in range(7):
        state = rate * state * (1.0 - state)
    return state[:, None]


def henon_map(x: Array) -> Array:
    a, b = x.T
    u, v = np.zeros(len(x)), np.zeros(len(x))
    for _ in range(9):
        u, v = np.clip(1.0 - a * u**2 + v, -10.0, 10.0), b * u
    return np.stack([u, v], axis=1)


def lorenz(x: Array) -> Array:
    """Three states of Lorenz's system after 4 time units, from a start near (1, 1, 20)."""

    def slope(state: Array) -> Array:
        u, v, w = np.clip(state, -100.0, 100.0)
        return np.stack([10.0 * (v - u), u * (28.0 - w) - v, u * v - 8.0 / 3.0 * w])

    return integrate(slope, x.T, 4.0, 400)[40::40].T


def mandelbrot(x: Array) -> Array:
    """Smoothed count of steps until z^2 + c escapes, 30 at most."""
    c = x[:, 0] + 1j * x[:, 1]
    z, count = np.zeros_like(c), np.full(len(x), 30.0)
    for step in range(30):
        z = np.where(abs(z) < 1e3, z**2 + c, z)
        out = (abs(z) >= 4.0) & (count == 30.0)
        count = np.where(out, step + 1 - np.log2(np.log2(np.maximum(abs(z), 2.1))), count)
    return np.minimum(count, 30.0)[:, None]


def noise(x: Array) -> Array:
    """Standard normal numbers, fixed by the bits of each row: they are part of f."""
    mixed = (x * np.linspace(12.9898, 78.233, x.shape[1])).sum(axis=1, keepdims=True)
    share = np.abs(np.sin(mixed) * 43758.5453) % 1.0
    return np.sqrt(2.0) * erfinv(np.clip(2.0 * share - 1.0, -0.9999, 0.9999))


def friedman(x: Array) -> Array:
    wave = 10.0 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20.0 * (x[:, 2] - 0.5) ** 2
    return (wave + 10.0 * x[:, 3] + 5.0 * x[:, 4])[:, None]


def hills(x: Array) -> Array:
    near = np.exp(-4.0 * ((x - 0.3) ** 2).sum(axis=1))
    return (near - 0.6 * np.exp(-6.0 * ((x + 0.4) ** 2).sum(axis=1)))[:, None]


def tax(x: Array) -> Array:
    """Tax and a subsidy that ends at a threshold, on an income in thousands."""
    brackets = np.maximum(x - np.array([10.0, 30.0, 60.0]), 0.0) @ np.array([0.15, 0.1, 0.17])
    return (brackets - 3.0 * (x[:, 0] < 22.0) + 2.0 * (x[:, 0] > 70.0))[:, None]


def parcel(x: Array) -> Array:
    """Price of a parcel: kilograms, kilometres, the longest side in cm."""
    classes = np.ceil(np.clip(x[:, 0], 0.0, 40.0) / 5.0)
    zones = np.searchsorted([100.0, 300.0, 800.0], x[:, 1])
    return (3.0 + 1.7 * classes + 2.0 * zones + 6.0 * (x[:, 2] > 120.0))[:, None]


def rastrigin(x: Array) -> Array:
    return (x**2 - 3.0 * np.cos(2.0 * np.pi * x)).sum(axis=1)[:, None]


def ackley(x: Array) -> Array:
    root, wave = np.sqrt((x**2).mean(axis=1)), np.cos(2.0 * np.pi * x).mean(axis=1)
    return (-20.0 * np.exp(-0.2 * root) - np.exp(wave))[:, None]


def michalewicz(x: Array) -> Array:
    order = np.arange(1, x.shape[1] + 1)
    return -(np.sin(x) * np.sin(order * x**2 / np.pi) ** 20).sum(axis=1)[:, None]


# Equations that are solved, and very smooth functions of one to three numbers.


def kepler(x: Array) -> Array:
    """Place on an orbit: mean anomaly and eccentricity."""
    anomaly, shape = x[:, 0], np.clip(x[:, 1], 0.0, 0.95)
    angle = anomaly + shape * np.sin(anomaly)
    for _ in range(30):
        angle = angle - (angle - shape * np.sin(angle) - anomaly) / (1.0 - shape * np.cos(angle))
    return np.stack([np.cos(angle) - shape, np.sqrt(1.0 - shape**2) * np.sin(angle)], axis=1)


def market(x: Array) -> Array:
    """Price at which demand meets supply: income, taste, cost, elasticity."""
    low, high = np.full(len(x), 1e-3), np.full(len(x), 1e3)
    for _ in range(60):
        price = np.sqrt(low * high)
        surplus = price / x[:, 2] - x[:, 0] * x[:, 1] * price ** -x[:, 3]
        low, high = np.where(surplus < 0, price, low), np.where(surplus < 0, high, price)
    return np.log(np.sqrt(low * high))[:, None]


def energies(x: Array) -> Array:
    """The four eigenvalues of a symmetric matrix in three parameters."""
    fixed = np.random.default_rng(3).standard_normal((4, 4, 4))
    fixed = fixed + fixed.transpose(0, 2, 1)
    return np.linalg.eigvalsh(fixed[0] + np.einsum("ni,ijk->njk", x, fixed[1:]))


def franke(x: Array) -> Array:
    u, v = 9.0 * x[:, 0], 9.0 * x[:, 1]
    hill = 0.75 * np.exp(-((u - 2) ** 2 + (v - 2) ** 2) / 4)
    hill += 0.75 * np.exp(-((u + 1) ** 2) / 49 - (v + 1) ** 2 / 100)
    hill += 0.5 * np.exp(-((u - 7) ** 2 + (v - 3) ** 2) / 4)
    return (hill - 0.2 * np.exp(-((u - 4) ** 2) - (v - 7) ** 2))[:, None]


def branin(x: Array) -> Array:
    u, v = x.T
    curve = v - 5.1 * u**2 / (4 * np.pi**2) + 5 * u / np.pi - 6
    return (curve**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(u) + 10)[:, None]


def ishigami(x: Array) -> Array:
    return (np.sin(x[:, 0]) * (1 + 0.1 * x[:, 2] ** 4) + 7 * np.sin(x[:, 1]) ** 2)[:, None]


UNIT, SIGNED = (0.0, 1.0), (-1.0, 1.0)
BOREHOLE = (
    (0.05, 0.15), (100, 50000), (63070, 115600), (990, 1110),
    (63.1, 116), (700, 820), (1120, 1680), (9855, 12045),
)  # fmt: skip
WING = (
    (150, 200), (220, 300), (6, 10), (-10, 10), (16, 45),
    (0.5, 1), (0.08, 0.18), (2.5, 6), (1700, 2500), (0.025, 0.08),
)  # fmt: skip
PISTON = (
    (30, 60), (0.005, 0.02), (0.002, 0.01), (1000, 5000), (90000, 110000), (290, 296), (340, 360),
)  # fmt: skip
AMPLIFIER = ((50, 150), (25, 70), (0.5, 3), (1.2, 2.5), (0.25, 1.2), (50, 300))


def formulas() -> list[ZooFunction]:
    """Give the functions that need no data."""
    return [
        physical("epidemic", "equations", epidemic, (0.2, 0.6), (0.05, 0.2)),
        box("neuron", "equations", neuron, (0.2, 1.2)),
        physical("Brusselator", "equations", brusselator, (0.7, 1.3), (1.5, 3.0)),
        physical("projectile", "equations", projectile, (10, 40), (20, 80), (0.0, 0.02)),
        physical("reactor", "equations", reactor, (0.05, 0.2), (0.8, 2.0)),
        physical("heated rod", "equations", rod, (0.0, 8.0), (0.5, 2.0), (0.1, 2.0)),
        physical(
            "Asian option", "prices", asian_option,
            (80, 120), (80, 120), (0.0, 0.1), (0.1, 0.5), (0.25, 2.0),
        ),
        physical("barrier option", "prices", barrier_option, (80, 130), (120, 180), (0.1, 0.5)),
        physical("option on two", "prices", spread_option, (80, 120), (0.1, 0.5), (-0.9, 0.9)),
        physical(
            "stochastic volatility", "prices", stochastic_volatility,
            (0.02, 0.2), (0.02, 0.2), (0.5, 4.0), (0.1, 0.8),
        ),
        physical("borehole", "engineering", borehole, *BOREHOLE),
        physical("wing weight", "engineering", wing_weight, *WING),
        physical("piston", "engineering", piston, *PISTON),
        physical("amplifier", "engineering", amplifier, *AMPLIFIER),
        physical("pipe", "engineering", pipe, (0.01, 0.1), (0.1, 0.4), (1e-5, 2e-3)),
        physical("beam", "engineering", beam, (7e10, 2.1e11), (1e-6, 1e-5), (1, 4), (100, 2000)),
        box("logistic map", "chaos", logistic_map, (3.5, 4.0), (0.1, 0.9)),
        box("Hénon map", "chaos", henon_map, (1.0, 1.4), (0.1, 0.3)),
        box("Lorenz's system", "chaos", lorenz, (0.5, 1.5), (0.5, 1.5), (19.5, 20.5)),
        box("Mandelbrot set", "chaos", mandelbrot, (-2.0, 0.6), (-1.2, 1.2)),
        box("sine + noise .2", "noise", lambda x: np.sin(2 * x) + 0.2 * noise(x), (0.0, 6.0)),
        box("sine + noise .05", "noise", lambda x: np.sin(2 * x) + 0.05 * noise(x), (0.0, 6.0)),
        box("Friedman + noise 1", "noise", lambda x: friedman(x) + noise(x), *[UNIT] * 5),
        box("hills + noise .1", "noise", lambda x: hills(x) + 0.1 * noise(x), *[SIGNED] * 2),
        box("tax", "steps", tax, (0.0, 100.0)),
        box("parcel", "steps", parcel, (0.1, 30.0), (1.0, 1500.0), (10.0, 200.0)),
        box("disc", "steps", lambda x: 1.0 * ((x**2).sum(axis=1) < 0.5)[:, None], *[SIGNED] * 2),
        box("terraces", "steps", lambda x: np.floor(x @ [[2.0], [1.3]]), *[(0.0, 3.0)] * 2),
        box("Rastrigin, 2", "peaks", rastrigin, *[(-2.0, 2.0)] * 2),
        box("Ackley, 4", "peaks", ackley, *[(-2.0, 2.0)] * 4),
        box("Michalewicz, 2", "peaks", michalewicz, *[(0.0, np.pi)] * 2),
        box("waves, 6", "peaks", lambda x: np.cos(x @ np.arange(1, 7.0))[:, None], *[SIGNED] * 6),
        box("Kepler's equation", "solved", kepler, (0.0, 6.28), (0.0, 0.8)),
        physical("market", "solved", market, (10, 60), (0.5, 2.0), (0.5, 3.0), (0.5, 2.0)),
        box("energy levels", "solved", energies, *[SIGNED] * 3),
        box("cosine of exponential", "smooth", lambda x: np.cos(np.exp(x)), (0.0, 2.5)),
        box("Bessel's function", "smooth", j0, (0.0, 20.0)),
        box("arc tangent", "smooth", lambda x: np.arctan(5.0 * x), SIGNED),
        box("Franke's hills", "smooth", franke, UNIT, UNIT),
        box("Branin's function", "smooth", branin, (-5.0, 10.0), (0.0, 15.0)),
        box("Gaussian hill", "smooth", lambda x: np.exp(-(x**2) @ [[1.0], [2.0]]), SIGNED, SIGNED),
        box("Ishigami's function", "smooth", ishigami, *[(-np.pi, np.pi)] * 3),
        box("log of sums", "smooth", lambda x: np.log(np.exp(x) @ np.ones((3, 1))), *[(-2, 2)] * 3),
    ]  # fmt: skip
