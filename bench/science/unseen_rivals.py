"""Rivals on the answers of a design that others make: what people would fill the gaps with.

Each takes what workers evaluated, their answers and the lost inputs, and estimates f there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.science.functions import Array

Regress = Callable[[Array, Array, Array], Array]

FEW = 10  # columns up to which each has a length of its own, and products of two are features


class Filled:
    """The answers of a systematic code's design; lost outputs by a regression on all answers.

    `design` decides who evaluates what, and which outputs are answers themselves.
    """

    def __init__(self, design: Any, regress: Regress) -> None:
        self._design, self._regress = design, regress
        self.n_inputs, self.n_workers = design.n_inputs, design.n_workers
        self.min_responders = design.min_responders

    def bind(self, inputs: ArrayLike) -> Filled:
        bound = Filled(self._design.bind(inputs), self._regress)
        bound._inputs = np.asarray(inputs, float)
        return bound

    def encode(self, inputs: ArrayLike) -> Array:
        return self._design.encode(inputs)

    def can_decode(self, responders: ArrayLike) -> bool:
        return self._design.can_decode(responders)

    def exact_mask(self, responders: ArrayLike) -> NDArray[np.bool_]:
        return self._design.exact_mask(responders)

    def decode(self, coded_outputs: ArrayLike, responders: ArrayLike) -> Array:
        answers = np.asarray(coded_outputs, float)
        outputs = np.array(self._design.decode(answers, responders))
        lost = ~self.exact_mask(responders)
        if lost.any():
            sites = flat(self.encode(self._inputs)[np.asarray(responders)])
            sites, first = np.unique(sites, axis=0, return_index=True)
            guesses = self._regress(sites, flat(answers)[first], flat(self._inputs)[lost])
            outputs[lost] = guesses.reshape(outputs[lost].shape)
        return outputs


def flat(stack: Array) -> Array:
    return stack.reshape(len(stack), -1)


def in_spreads(sites: Array, targets: Array) -> tuple[Array, Array]:
    """Give both with columns centred and divided by their spread among the sites."""
    centre, spread = sites.mean(axis=0), sites.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (sites - centre) / spread, (targets - centre) / spread


def gaussian_process(sites: Array, answers: Array, targets: Array) -> Array:
    """Regress by scikit-learn's Gaussian process, the likelier of two covariances.

    Squared exponential or Matérn 5/2 with a length a column (one for all above ten columns),
    fitted nugget, columns and answers standardised.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

    rows, asked = in_spreads(sites, targets)
    dimension = rows.shape[1]
    start = np.ones(dimension) if dimension <= FEW else np.sqrt(dimension)
    bounds = (1e-2, 1e3)
    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for covariance in (RBF(start, bounds), Matern(start, bounds, nu=2.5)):
            kernel = ConstantKernel() * covariance + WhiteKernel(1e-4, (1e-10, 1.0))
            fit = GaussianProcessRegressor(kernel, normalize_y=True)
            fits.append(fit.fit(rows, answers))
    best = max(fits, key=lambda fit: fit.log_marginal_likelihood_value_)
    return best.predict(asked).reshape(len(targets), -1)


def inverse_distance(sites: Array, answers: Array, targets: Array) -> Array:
    """Shepard's mean: weights are the inverse squares of the distances, columns standardised."""
    rows, asked = in_spreads(sites, targets)
    squares = ((asked[:, None] - rows) ** 2).sum(axis=2)
    weights = 1.0 / np.maximum(squares, 1e-12)
    return weights @ answers / weights.sum(axis=1, keepdims=True)


def ridge(sites: Array, answers: Array, targets: Array) -> Array:
    """Ridge regression, the penalty by leaving one out, on columns and, if few, their products."""
    from sklearn.linear_model import RidgeCV

    rows, asked = in_spreads(sites, targets)
    dimension = rows.shape[1]
    if dimension <= FEW:
        pairs = np.triu_indices(dimension)
        rows, asked = (
            np.concatenate([part, part[:, pairs[0]] * part[:, pairs[1]]], axis=1)
            for part in (rows, asked)
        )
        rows, asked = in_spreads(rows, asked)
    guess = RidgeCV(alphas=np.logspace(-8, 4, 13)).fit(rows, answers).predict(asked)
    return guess.reshape(len(targets), -1)
