"""Functions to compare codes on, each with inputs: those of `python -m coded compare`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING
from zipfile import is_zipfile

import numpy as np

if TYPE_CHECKING:  # the command line reads this file for its help, which shall come at once
    from numpy.typing import ArrayLike, NDArray

    from coded.schemes.protocol import Function
    from fastspline.arrays import FloatArray

# The functions at hand, with (K, N, S) at which inputs are lost and most codes can serve.
BUNDLED = {
    "linear": (8, 16, 6),
    "polynomial": (6, 20, 8),
    "xsinx": (20, 40, 12),
    "pendulum": (20, 40, 12),
    "lenet5": (20, 60, 20),
}
_SEED = 5
_ODE_STEPS = 200


class FunctionFailedError(Exception):
    """The user's function raised an error; the message says which, and where."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A function and inputs to evaluate it on.

    Attributes
    ----------
    name : str
        What tables call it.
    fn : callable
        From a stack of inputs, shape (n, ...), to the stack of answers.
    inputs : ndarray, shape (M, ...)
        Several groups of K.
    labels : ndarray of int, shape (M,), optional
        Classes, where the answers are scores.
    degree : int, optional
        Where f is a polynomial; 1 for a linear map.
    """

    name: str
    fn: Function
    inputs: NDArray[np.number]
    labels: NDArray[np.intp] | None = None
    degree: int | None = None


def polynomial(inputs: NDArray[np.number]) -> NDArray[np.number]:
    """Evaluate three quadratic forms with whole coefficients of 6 numbers, (n, 6) to (n, 3)."""
    squares = inputs**2
    return np.stack(
        [
            squares.sum(axis=-1),
            (inputs * inputs[..., ::-1]).sum(axis=-1) - 2 * inputs.sum(axis=-1),
            squares[..., 0] - 3 * squares[..., 1] + inputs[..., 2] * inputs[..., 3] + 7,
        ],
        axis=-1,
    )


def x_sin_x(inputs: FloatArray) -> FloatArray:
    """Evaluate ``x sin x``."""
    values: FloatArray = inputs * np.sin(inputs)
    return values


def pendulum(inputs: FloatArray) -> FloatArray:
    """Solve a damped pendulum, (n, 2) to (n, 50).

    ``angle'' = -sin(angle) - damping angle'`` from rest, over 10 time units by the classical
    Runge-Kutta method; inputs are the starting angle and the damping, answers 50 angles.
    """
    damping = inputs[:, 1]

    def rate(state: FloatArray) -> FloatArray:
        angle, speed = state
        return np.stack([speed, -np.sin(angle) - damping * speed])

    state = np.stack([inputs[:, 0], np.zeros(len(inputs))])
    step = 10.0 / _ODE_STEPS
    angles = []
    for i in range(_ODE_STEPS):
        k1 = rate(state)
        k2 = rate(state + step / 2 * k1)
        k3 = rate(state + step / 2 * k2)
        k4 = rate(state + step * k3)
        state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if i % 4 == 3:
            angles.append(state[0])
    return np.stack(angles, axis=1)


def linear_map(inputs: FloatArray) -> FloatArray:
    """Multiply by a fixed matrix of 1s, 0s and -1s, (n, 64) to (n, 32)."""
    matrix = np.random.default_rng(_SEED).integers(-1, 2, size=(64, 32))
    product: FloatArray = inputs @ matrix
    return product


def _lenet5(count: int) -> Problem:
    from coded.digits.images import read_digits
    from coded.digits.lenet5 import load
    from coded.workers.torch_worker import TorchWorker

    digits = read_digits(_SEED).batch(0, count)
    fn = TorchWorker(load(), batched=True)
    return Problem("LeNet5 on digits", fn, digits.inputs, digits.labels)


def bundled(name: str, count: int) -> Problem:
    """Give one of the functions of `BUNDLED` with so many inputs."""
    rng = np.random.default_rng(_SEED)
    if name == "linear":
        return Problem("linear map", linear_map, rng.integers(-99, 100, (count, 64)), degree=1)
    if name == "polynomial":
        return Problem("polynomial", polynomial, rng.integers(-9, 10, (count, 6)), degree=2)
    if name == "xsinx":
        return Problem("x sin x", x_sin_x, rng.uniform(0.0, 10.0, (count, 1)))
    if name == "pendulum":
        angles_and_dampings = rng.uniform([0.2, 0.1], [2.5, 1.0], (count, 2))
        return Problem("pendulum", pendulum, angles_and_dampings)
    return _lenet5(count)


def read_problem(function: str, inputs: Path | None, degree: int | None, count: int) -> Problem:
    """Give the bundled function of that name, or the user's ``module:function`` with its inputs.

    Parameters
    ----------
    function : str
        A key of `BUNDLED`, or ``module:function``, from a stack of inputs to the stack of answers.
    inputs : Path, optional
        For the user's function: an npz file with ``inputs`` (M, ...), and ``labels`` (M,) where
        the answers are scores.
    degree : int, optional
        For the user's function, where it is a polynomial.
    count : int
        How many inputs a bundled function gets.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If there is no such function, or the file has no ``inputs``, or labels for other ones.
    ImportError, OSError
        If the module or the file cannot be read.
    """
    if function in BUNDLED:
        return bundled(function, count)
    module, colon, name = function.partition(":")
    if not colon:
        raise ValueError(
            f"function must be one of {', '.join(BUNDLED)} or module:function, got {function}"
        )
    fn = vars(import_module(module)).get(name)
    if fn is None:
        raise ValueError(f"function {function} is not there: module {module} has no {name}")
    if inputs is None:
        raise ValueError(f"inputs must be given for {function}: an npz file that holds inputs")
    points, labels = _read_arrays(inputs)
    return Problem(function, _telling(fn), points, labels, degree)


def _read_arrays(path: Path) -> tuple[NDArray[np.number], NDArray[np.intp] | None]:
    """Read inputs, and labels where there are some, from an npz file."""
    try:
        arrays = dict(np.load(path)) if is_zipfile(path) else {}
    except ValueError as error:
        raise ValueError(f"inputs file {path} holds other things than numbers: {error}") from error
    if "inputs" not in arrays:
        held = f"holds {sorted(arrays)}" if arrays else "is no npz file"
        path.open("rb").close()  # says so where there is no such file
        raise ValueError(f"inputs file {path} {held}; write it by np.savez(path, inputs=...)")
    points, labels = arrays["inputs"], arrays.get("labels")
    if points.ndim == 0 or points.size == 0 or points.dtype.kind not in "biuf":
        raise ValueError(
            f"inputs in {path} must be a stack of numbers, got shape {points.shape}, dtype "
            f"{points.dtype}; put one input in each row"
        )
    if labels is not None and labels.shape != points.shape[:1]:
        raise ValueError(
            f"labels in {path} have shape {labels.shape}, and there are {len(points)} inputs; "
            "give one class for each input"
        )
    return points, labels


def _telling(fn: Function) -> Function:
    """Let what f raises say where in f that was."""
    if not callable(fn):
        return fn  # refused by `compare`

    def call(inputs: NDArray[np.number]) -> ArrayLike:
        try:
            return fn(inputs)
        except Exception as error:
            inside = [
                f" ({frame.filename}, line {frame.lineno})"
                for frame in extract_tb(error.__traceback__)[1:]
            ]
            raise FunctionFailedError(
                f"it raised {type(error).__name__}: {error}{inside[0] if inside else ''}, called "
                f"with a numpy stack of inputs of shape {inputs.shape}, dtype {inputs.dtype}"
            ) from error

    return call
