"""The function zoo: what people compute for many inputs, each a function of a stack of rows.

Every function maps (n, d) to (n, m), is defined well outside the sampled range, where codes ask for
it too, and comes with a sampler of K inputs. Where a cheaper solve of the same problem
exists, it is given too: a prior.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from bench.science.trials import Batch
from fastspline import resample

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Sampler = Callable[[np.random.Generator, int], Batch]


@dataclass(frozen=True, eq=False)
class ZooFunction:
    """A function, what its user knows about it, and how its inputs come.

    Attributes
    ----------
    name : str
    kind : {"smooth", "rough", "polynomial", "network"}
        "smooth" has up to three inputs, "network" many.
    fn : callable
        (n, d) to (n, m).
    sample : callable
        Generator and K to a batch of inputs (K, d).
    degree : int, optional
        Of a polynomial.
    prior : callable, optional
        A guess of fn that costs a tenth of it or less.
    has_labels : bool, optional
        Whether the largest output is a class, and batches come with the true ones.
    """

    name: str
    kind: str
    fn: Function
    sample: Sampler
    degree: int | None = None
    prior: Function | None = None
    has_labels: bool = False


def uniform(low: Array | float, high: Array | float, dimension: int) -> Sampler:
    """Draw inputs independently from a box."""
    return lambda rng, k: Batch(rng.uniform(low, high, (k, dimension)))


def sweep(low: Sequence[float], high: Sequence[float]) -> Sampler:
    """Lay a grid over one or two parameters, in random order, its ends up to a tenth inside."""
    lowest, highest = np.array(low), np.array(high)

    def sample(rng: np.random.Generator, k: int) -> Batch:
        inset = rng.uniform(0.0, 0.1, (2, lowest.size)) * (highest - lowest)
        counts = (k,) if lowest.size == 1 else near_square(k)
        axes = [
            np.linspace(a, b, count) if count > 1 else np.array([(a + b) / 2])
            for a, b, count in zip(lowest + inset[0], highest - inset[1], counts, strict=True)
        ]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(k, lowest.size)
        return Batch(rng.permutation(grid))

    return sample


def near_square(k: int) -> tuple[int, int]:
    """Give the two factors of k that are closest to each other, the smaller first."""
    small = max(i for i in range(1, int(k**0.5) + 1) if k % i == 0)
    return small, k // small


# Functions of one to eight numbers.


def x_sin_x(x: Array) -> Array:
    """x sin x."""
    return x * np.sin(x)


def runge(x: Array) -> Array:
    """1 / (1 + 25 x^2), Runge's."""
    return 1.0 / (1.0 + 25.0 * x**2)


def kinked(x: Array) -> Array:
    """|(x mod 3) - 1.5|: continuous, its derivative jumps every 1.5."""
    return np.abs(x % 3.0 - 1.5)


def polynomial(degree: int, variables: int, outputs: int = 3) -> Function:
    """Give random polynomials: sums of powers of random directions, all degrees up to `degree`."""
    rng = np.random.default_rng([degree, variables])
    directions = rng.normal(size=(variables, 8)) / np.sqrt(variables)
    coefficients = rng.normal(size=(degree + 1, 8, outputs))

    def evaluate(x: Array) -> Array:
        along = x @ directions
        return sum(along**power @ coefficients[power] for power in range(degree + 1))

    return evaluate


def random_sines(variables: int, outputs: int = 3) -> Function:
    """Give sums of 40 sine waves in random directions."""
    rng = np.random.default_rng(variables)
    directions = 1.5 * rng.normal(size=(variables, 40)) / np.sqrt(variables)
    phases, amplitudes = rng.normal(size=40), rng.normal(size=(40, outputs)) / 6.0
    return lambda x: np.sin(x @ directions + phases) @ amplitudes


@cache
def trained_regression() -> Function:
    """Train a tanh network, 5-32-32-1, on 2000 noisy samples of Friedman's first function.

    J. H. Friedman, "Multivariate adaptive regression splines", Ann. Statist. 19 (1991), eq. 61.
    """
    import torch

    rng = np.random.default_rng(0)
    x = rng.random((2000, 5))
    waves = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    y = waves + 10 * x[:, 3] + 5 * x[:, 4] + rng.normal(size=2000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tanh, linear = torch.nn.Tanh, partial(torch.nn.Linear, dtype=torch.float64)
        model = torch.nn.Sequential(linear(5, 32), tanh(), linear(32, 32), tanh(), linear(32, 1))
    mean, scale = y.mean(), y.std()
    inputs = torch.from_numpy(2.0 * x - 1.0)
    target = torch.from_numpy((y - mean) / scale)[:, None]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), target).backward()
        optimizer.step()
    layers = [
        (layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy())
        for layer in model
        if isinstance(layer, torch.nn.Linear)
    ]

    def predict(rows: Array) -> Array:
        state = 2.0 * rows - 1.0
        for weight, bias in layers[:-1]:
            state = np.tanh(state @ weight + bias)
        weight, bias = layers[-1]
        return mean + scale * (state @ weight + bias)

    return predict


# Differential equations, 200 points in time or 128 in space.

_STATES = 200


def integrate(slope: Function, start: Array, duration: float, steps: int) -> Array:
    """Integrate by the classical Runge-Kutta method; give the first component at every step.

    start (s, n), one column a solve, to (steps + 1, n).
    """
    h, state, path = duration / steps, start, [start[0]]
    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(state + h / 2 * k1)
        k3 = slope(state + h / 2 * k2)
        k4 = slope(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        path.append(state[0])
    return np.stack(path)


def trajectory(
    slope_of: Callable[[Array], tuple[Function, Array]], duration: float, steps: int
) -> Function:
    """Give the solve with so many steps, its first component at 200 times after the start.

    slope_of: parameters (n, d) to the right-hand side and the start (s, n).
    """

    def solve(parameters: Array) -> Array:
        slope, start = slope_of(parameters)
        path = integrate(slope, start, duration, steps)
        if steps % _STATES == 0:
            return path[steps // _STATES :: steps // _STATES].T
        times = np.linspace(0.0, duration, steps + 1)
        return resample(times, path, np.linspace(0.0, duration, _STATES + 1)[1:]).T

    return solve


def van_der_pol(parameters: Array) -> tuple[Function, Array]:
    """x'' = mu (1 - x^2) x' - x from x = 1, x' = 0; the parameter is log mu."""
    mu = np.exp(parameters[:, 0])

    def slope(state: Array) -> Array:
        x, v = state
        return np.stack([v, mu * (1.0 - x**2) * v - x])

    return slope, np.stack([np.ones_like(mu), np.zeros_like(mu)])


def pendulum(parameters: Array) -> tuple[Function, Array]:
    """angle'' = -sin angle - damping angle'; the parameters are the first angle and the damping."""
    angle, damping = parameters.T

    def slope(state: Array) -> Array:
        return np.stack([state[1], -np.sin(state[0]) - damping * state[1]])

    return slope, np.stack([angle, np.zeros_like(angle)])


def lotka_volterra(parameters: Array) -> tuple[Function, Array]:
    """Log prey and log predators; the parameters are the logs of three of the four rates."""
    growth, death, hunger = np.exp(parameters.T)

    def slope(state: Array) -> Array:
        prey, predators = np.exp(state)
        return np.stack([growth - hunger * predators, prey - death])

    start = np.log([[1.5], [0.7]]) + np.zeros_like(growth)
    return slope, start


def burgers(grid: int, steps: int, *, points: int = 128, duration: float = 1.2) -> Function:
    """Solve u_t + u u_x = viscosity u_xx on a circle from amplitude sin x.

    Fourier collocation in space, diffusion exact (integrating factor), classical Runge-Kutta in
    time. The parameters are log viscosity and amplitude; the answer is u at `points` places.
    """
    wave = np.arange(grid // 2 + 1)
    h = duration / steps

    def slope(spectrum: Array) -> Array:
        u = np.fft.irfft(spectrum, grid)
        return -0.5j * wave * np.fft.rfft(u * u)

    def solve(parameters: Array) -> Array:
        viscosity, amplitude = np.exp(parameters[:, :1]), parameters[:, 1:]
        half = np.exp(-viscosity * wave**2 * h / 2)
        spectrum = np.fft.rfft(amplitude * np.sin(2 * np.pi * np.arange(grid) / grid))
        for _ in range(steps):
            k1 = slope(spectrum)
            k2 = slope(half * (spectrum + h / 2 * k1))
            k3 = slope(half * spectrum + h / 2 * k2)
            k4 = slope(half * (half * spectrum + h * k3))
            spectrum = half * (half * (spectrum + h / 6 * k1) + h / 3 * (k2 + k3)) + h / 6 * k4
        return np.fft.irfft(spectrum, points) * (points / grid)

    return solve


def zoo() -> list[ZooFunction]:
    """Give all functions that need no data."""
    return [
        ZooFunction("x sin x", "smooth", x_sin_x, uniform(0.0, 10.0, 1)),
        ZooFunction("Runge's function", "smooth", runge, uniform(-1.0, 1.0, 1)),
        ZooFunction("sines, R² to R³", "smooth", random_sines(2), uniform(-1.5, 1.5, 2)),
        ZooFunction(
            "van der Pol, 1-D sweep",
            "smooth",
            trajectory(van_der_pol, 12.0, 400),
            sweep([-1.5], [0.5]),
            prior=trajectory(van_der_pol, 12.0, 40),
        ),
        ZooFunction(
            "pendulum, 2-D sweep",
            "smooth",
            trajectory(pendulum, 10.0, 400),
            sweep([0.5, 0.05], [2.5, 0.5]),
            prior=trajectory(pendulum, 10.0, 40),
        ),
        ZooFunction(
            "Lotka-Volterra, 3 rates",
            "smooth",
            trajectory(lotka_volterra, 10.0, 400),
            uniform(-0.3, 0.3, 3),
            prior=trajectory(lotka_volterra, 10.0, 40),
        ),
        ZooFunction(
            "Burgers, 2 parameters",
            "smooth",
            burgers(128, 48),
            uniform(np.array([np.log(0.1), 0.5]), np.array([0.0, 1.5]), 2),
            prior=burgers(32, 12),
        ),
        ZooFunction("kinked", "rough", kinked, uniform(0.0, 10.0, 1)),
        ZooFunction(
            "cubic, 1 variable", "polynomial", polynomial(3, 1), uniform(-1.0, 1.0, 1), degree=3
        ),
        ZooFunction(
            "quadratic, 3 variables",
            "polynomial",
            polynomial(2, 3),
            uniform(-1.0, 1.0, 3),
            degree=2,
        ),
        ZooFunction(
            "cubic, 3 variables", "polynomial", polynomial(3, 3), uniform(-1.0, 1.0, 3), degree=3
        ),
        ZooFunction("sines, R⁸ to R³", "network", random_sines(8), uniform(-1.5, 1.5, 8)),
        ZooFunction(
            "trained regression, R⁵", "network", trained_regression(), uniform(0.0, 1.0, 5)
        ),
    ]


# Networks, on inputs that they were not trained on and nothing was tuned on.


def rows_of(inputs: Array, labels: NDArray[np.intp] | None) -> Sampler:
    """Draw K of the given inputs, none twice."""

    def sample(rng: np.random.Generator, k: int) -> Batch:
        rows = rng.permutation(len(inputs))[:k]
        return Batch(inputs[rows], None if labels is None else labels[rows])

    return sample


def digit_network() -> ZooFunction:
    """Give LeNet5 on MNIST's digits."""
    from bench.science import datasets, networks

    held_out = datasets.digits().evaluation
    sample = rows_of(held_out.inputs, held_out.labels)
    return ZooFunction("LeNet5, digits", "network", networks.lenet5(), sample, has_labels=True)


def fetched_networks() -> list[ZooFunction]:
    """Give the networks whose data `python -m bench.science.fetch` fetches."""
    from bench.science import datasets, networks

    held_out = datasets.cifar10().evaluation
    images = rows_of(held_out.inputs, held_out.labels)
    encoder = networks.SentenceEncoder()
    words = rows_of(encoder.read(datasets.sentences()[1]), None)
    return [
        ZooFunction("RepVGG, CIFAR-10", "network", networks.repvgg(), images, has_labels=True),
        ZooFunction(
            "ViT-S/14, CIFAR-10", "network", networks.vision_transformer(), images, has_labels=True
        ),
        ZooFunction("MiniLM-L6, sentences", "network", encoder, words),
    ]
