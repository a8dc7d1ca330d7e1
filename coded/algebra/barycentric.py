"""Barycentric interpolation: what Berrut's rational functions and Lagrange's polynomials share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.places.points import Points, nearest_equal


def barycentric_matrix(nodes: Points, weights: Points, points: Points) -> NDArray[np.float64]:
    """Give the matrix that takes values at the nodes to the interpolant's values elsewhere.

    Row i is ``(w_j / (t_i - x_j))_j`` divided by its sum; where t_i equals a node (up
    to the rounding of points in [-1, 1]) it copies the value at that node exactly.

    Parameters
    ----------
    nodes : ndarray, shape (n,)
        Distinct x.
    weights : ndarray, shape (n,)
        Barycentric w; a common factor does not matter.
    points : ndarray, shape (m,)
        Where to evaluate, t.

    Returns
    -------
    ndarray, shape (m, n)
        Rows sum to 1.

    References
    ----------
    J.-P. Berrut, L. N. Trefethen, "Barycentric Lagrange Interpolation", SIAM Review
    46(3), 2004, equation (4.2).

    Examples
    --------
    >>> nodes = np.array([-1.0, 0.0, 1.0])
    >>> barycentric_matrix(nodes, alternating_signs(3), np.array([0.0, 3.0]))
    array([[ 0. ,  1. ,  0. ],
           [ 0.6, -0.8,  1.2]])
    """
    node = nearest_equal(points, nodes)
    matrix = np.eye(len(nodes))[node]
    is_between = node < 0
    terms = weights / (points[is_between, None] - nodes)
    matrix[is_between] = terms / terms.sum(axis=1, keepdims=True)
    return matrix


def alternating_signs(n: int) -> Points:
    """Give Berrut's weights for n ascending nodes, ``(-1)^j``.

    They belong to the rank among the nodes in use: weights kept from a larger set
    would have equal signs side by side, and a pole between them.

    References
    ----------
    J.-P. Berrut, "Rational functions for guaranteed and experimentally well-conditioned
    global interpolation", Computers & Mathematics with Applications 15(1), 1988.
    """
    signs = np.ones(n)
    signs[1::2] = -1.0
    return signs


def leave_one_out_matrix(nodes: Points) -> NDArray[np.float64]:
    """Give the matrix that predicts the value at each node from those at all others.

    Row i is Berrut's interpolant through the other nodes at ``x_i``. Their signs are ranked
    without node i, so that they change beyond it, as ``x_i - x_j`` does: what is left is
    ``(-1)^j / |x_i - x_j|``.

    Parameters
    ----------
    nodes : ndarray, shape (n,)
        Strictly ascending x, n >= 2.

    Returns
    -------
    ndarray, shape (n, n)
        Rows sum to 1; the diagonal is 0.

    Examples
    --------
    >>> leave_one_out_matrix(np.array([0.0, 1.0, 3.0])) @ [5.0, 8.0, 11.0]
    array([ 6.5,  7. , 14. ])
    """
    terms = left_out_terms(nodes)
    matrix: NDArray[np.float64] = terms / terms.sum(axis=1, keepdims=True)
    return matrix


def berrut_lengths(nodes: Points, points: Points) -> Points:
    """Give the length that Berrut's error is proportional to, ``1 / |sum_j (-1)^j / (t - x_j)|``.

    The interpolant r misses f by this length times ``|sum_j (-1)^j f[t, x_j]|``, a sum of
    divided differences that alternates and therefore stays near its first order.

    Parameters
    ----------
    nodes : ndarray, shape (n,)
        Strictly ascending x.
    points : ndarray, shape (m,)
        Where the interpolant is evaluated, t.

    Returns
    -------
    ndarray, shape (m,)
        0 at nodes.

    References
    ----------
    M. S. Floater, K. Hormann, "Barycentric rational interpolation with no poles and high rates
    of approximation", Numer. Math. 107, 2007, the case d = 0.
    """
    is_between = nearest_equal(points, nodes) < 0
    lengths = np.zeros(len(points))
    signs = alternating_signs(len(nodes))
    lengths[is_between] = 1.0 / np.abs((signs / (points[is_between, None] - nodes)).sum(axis=1))
    return lengths


def left_out_lengths(nodes: Points) -> Points:
    """Give `berrut_lengths` at each node, the node itself being left out, shape (n,)."""
    return np.asarray(1.0 / np.abs(left_out_terms(nodes).sum(axis=1)))


def left_out_terms(nodes: Points) -> NDArray[np.float64]:
    """Give ``(-1)^j / |x_i - x_j|``, 0 on the diagonal, shape (n, n)."""
    distances = np.abs(nodes[:, None] - nodes)
    np.fill_diagonal(distances, np.inf)
    terms: NDArray[np.float64] = alternating_signs(len(nodes)) / distances
    return terms


def polynomial_weights(nodes: Points) -> Points:
    """Give the weights of polynomial interpolation, ``w_j = 1 / prod_{i != j} (x_j - x_i)``.

    Scaled so that the largest is 1 in magnitude: the products themselves overflow.
    """
    differences = nodes[:, None] - nodes
    np.fill_diagonal(differences, 1.0)
    logarithms = -np.log(np.abs(differences)).sum(axis=1)
    signs: Points = np.prod(np.sign(differences), axis=1)
    weights: Points = signs * np.exp(logarithms - logarithms.max())
    return weights
