"""Lines' smoothing splines by a `Smoother` for each: the plain oracle of `fastspline.bundle`.

The decoder was computed so before; places without an answer get a weight of next to nothing.
"""

import numpy as np

from fastspline import Smoother

UNSEEN = 1e-18  # weight of a place without an answer: 0 but for the variance there


def variances(knots, points, lam, weights=None):
    """Posterior variance at each point of each line, (Q, m)."""
    own = np.ones(knots.shape[1]) if weights is None else weights
    result = np.empty(points.shape)
    for here, there, variance in zip(knots, points, result, strict=True):
        places, which = np.unique(np.concatenate([here, there]), return_inverse=True)
        weight = np.full(places.size, UNSEEN)
        weight[which[: here.size]] = own
        variance[:] = (Smoother(places, lam=lam, weights=weight).leverages / weight)[
            which[here.size :]
        ]
    return result


def left_out(knots, values, lam, weights=None):
    """Errors of answers that are left out, (n, columns), and their variances, by the leverages."""
    own = np.ones(knots.shape[1]) if weights is None else weights
    precision = np.zeros(len(values))
    residual = np.zeros((len(values), len(values)))
    for here in knots:
        order = np.argsort(here)
        smoother = Smoother(here[order], lam=lam, weights=own[order])
        fit = smoother.operator(here[order]).dense()
        precision[order] += own[order] * (1.0 - smoother.leverages)
        residual[np.ix_(order, order)] += own[order, None] * (np.eye(len(order)) - fit)
    return (residual / precision[:, None]) @ values, len(knots) / precision


def mean_matrix(knots, points, shares, lam, weights=None, beyond="line"):
    """Mean of the lines' smoothing splines as a matrix, (m, n)."""
    own = np.ones(knots.shape[1]) if weights is None else weights
    matrix = np.zeros((points.shape[1], knots.shape[1]))
    for here, there, share in zip(knots, points, shares, strict=True):
        order = np.argsort(here)
        smoother = Smoother(here[order], lam=lam, weights=own[order])
        reached = np.clip(there, here.min(), here.max()) if beyond == "constant" else there
        matrix[:, order] += share[:, None] * smoother.operator(reached).dense()
    return matrix


def smoothing_matrix(knots, points, lam, seen, weights=None):
    """Mean by inverse variances; several lines keep their last values."""
    shares = 1.0 / variances(knots, points, seen, weights)
    shares /= shares.sum(axis=0)
    beyond = "constant" if len(knots) > 1 else "line"
    return mean_matrix(knots, points, shares, lam, weights, beyond)


def risks(lines, lam):
    """Cube root of each input's variance with all others answered."""
    precision = np.zeros(lines.shape[1])
    for line in lines:
        order = np.argsort(line)
        leverages = Smoother(line[order], lam=lam).leverages
        precision[order] += (1.0 - leverages) / leverages
    return precision ** (-1.0 / 3.0)
