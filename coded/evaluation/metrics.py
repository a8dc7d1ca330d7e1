"""How large the error is: the paper's two measures, and the interval that goes with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline.arrays import FloatArray, read_array, read_vector, require_finite

# Of the trapezoidal rule of label_confidence: relative errors of 1e-10 with 10000 classes, where
# Gauss-Hermite rules are far off, for the product is steep.
_NODES = np.linspace(-9.0, 9.0, 145)


def mean_l2(outputs: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Give the mean un-squared L2 error, ``(1 / K) sum_k ||outputs_k - reference_k||_2``.

    The paper calls it RMSE; it is not the root of the mean of squares.

    Parameters
    ----------
    outputs : array_like, shape (K, ...) or (repeats, K, ...)
        Estimates.
    reference : array_like, shape (K, ...)
        ``f(inputs)``.

    Returns
    -------
    ndarray, shape () or (repeats,)

    Raises
    ------
    TypeError
        If an argument holds no real numbers.
    ValueError
        If the shapes do not belong together, or a number is not finite.

    References
    ----------
    arXiv:2406.00300, experiments.

    Examples
    --------
    >>> float(mean_l2([[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]))
    3.0
    """
    return np.asarray(_norms(outputs, reference).mean(axis=-1))


def mean_square(outputs: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Give the mean squared L2 error, ``(1 / K) sum_k ||outputs_k - reference_k||_2^2``.

    Parameters
    ----------
    outputs : array_like, shape (K, ...) or (repeats, K, ...)
        Estimates.
    reference : array_like, shape (K, ...)
        ``f(inputs)``.

    Returns
    -------
    ndarray, shape () or (repeats,)

    Raises
    ------
    TypeError, ValueError
        As `mean_l2`.

    References
    ----------
    arXiv:2406.00300, the loss of the theorems.

    Examples
    --------
    >>> float(mean_square([[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]))
    13.0
    """
    return np.asarray((_norms(outputs, reference) ** 2).mean(axis=-1))


def relative_accuracy(
    outputs: ArrayLike, reference: ArrayLike, labels: ArrayLike
) -> NDArray[np.float64]:
    """Give the accuracy of the estimates divided by the accuracy of f itself.

    The predicted class is the position of the largest of C outputs.

    Parameters
    ----------
    outputs : array_like, shape (K, C) or (repeats, K, C)
        Estimates: scores, logits or probabilities.
    reference : array_like, shape (K, C)
        ``f(inputs)``.
    labels : array_like of int, shape (K,)
        True classes, in [0, C).

    Returns
    -------
    ndarray, shape () or (repeats,)
        1 where the estimates are right as often as f is.

    Raises
    ------
    TypeError
        If an argument holds no real numbers, or labels no integers.
    ValueError
        If the shapes do not belong together, a number is not finite, a label leaves
        [0, C), or f is right for no input.

    Examples
    --------
    >>> float(relative_accuracy([[0.9, 0.1], [0.8, 0.2]], [[1, 0], [0, 1]], [0, 1]))
    0.5
    """
    estimates, truth = _read_pair(outputs, reference)
    classes = read_labels(labels, truth)
    reference_accuracy = (truth.argmax(axis=-1) == classes).mean()
    if reference_accuracy == 0:
        raise ValueError(
            "reference must be right for at least one of labels, is right for none; "
            "check that the labels belong to these inputs"
        )
    return np.asarray((estimates.argmax(axis=-1) == classes).mean(axis=-1) / reference_accuracy)


def label_confidence(outputs: ArrayLike, std: ArrayLike) -> NDArray[np.float64]:
    """Give the probability that an estimate's largest output is the largest one of f.

    ``E prod_j Phi(m_j / sigma + Z)`` over the other outputs j, Z standard normal: the largest
    output exceeds output j by m_j, and all C outputs err independently, normally with
    ``sigma = std / sqrt(C)``, so that the error has the norm `std`. For two classes that is
    ``Phi(m / (sqrt(2) sigma))``.

    Parameters
    ----------
    outputs : array_like, shape (..., C)
        Estimates: scores or logits of C >= 2 classes.
    std : array_like, shape (...)
        The expected norms of their errors, as ``decode_with_std`` gives them; inf is allowed.

    Returns
    -------
    ndarray, shape (...)
        1 where std is 0, 1 / C where it is inf.

    Raises
    ------
    TypeError
        If an argument holds no real numbers, as the std None of a scheme that estimates no errors.
    ValueError
        If the shapes do not belong together, C < 2, an output is not finite, or a std is nan or
        negative.

    Examples
    --------
    >>> label_confidence([[3.0, 1.0], [3.0, 1.0], [3.0, 1.0]], [0.0, 2.0, 20.0]).round(3)
    array([1.   , 0.841, 0.54 ])
    """
    from scipy.special import ndtr

    estimates, _ = read_array(outputs, "outputs")
    if std is None:  # as in the results of a scheme without decode_with_std
        raise TypeError(
            "std must hold a number for each row of outputs, got None: the scheme estimates no "
            "errors; decode with one that has decode_with_std, such as KernelScheme"
        )
    spread, _ = read_array(std, "std")
    if estimates.ndim == 0 or estimates.shape[-1] < 2 or spread.shape != estimates.shape[:-1]:
        raise ValueError(
            f"outputs has shape {estimates.shape} and std {spread.shape}; outputs must be (..., C) "
            "with at least two classes, and std must hold a number for each of its rows"
        )
    require_finite(estimates, "outputs")
    if not (spread >= 0).all():
        i = int(np.argmin(spread.ravel() >= 0))
        raise ValueError(
            f"std must be >= 0 (inf is allowed), but number {i} of it is {spread.ravel()[i]}; "
            "pass what decode_with_std gives"
        )
    ordered = np.sort(estimates.astype(np.float64), axis=-1)
    with np.errstate(over="ignore"):
        margins = np.minimum(ordered[..., -1:] - ordered[..., :-1], np.finfo(np.float64).max)
    sigma = (spread / np.sqrt(estimates.shape[-1]))[..., None]
    certain = np.where(margins > 0, np.inf, 0.0)
    with np.errstate(over="ignore"):  # certain too
        ratios = np.divide(margins, sigma, out=certain, where=sigma > 0)
    weights = np.exp(-(_NODES**2) / 2.0)
    terms = (
        weight * ndtr(ratios + node).prod(axis=-1)
        for node, weight in zip(_NODES, weights / weights.sum(), strict=True)
    )
    return np.asarray(sum(terms)).clip(0.0, 1.0)


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Give the mean and the half width of its 95 % confidence interval (Student's t).

    Parameters
    ----------
    values : array_like, shape (n,)
        Independent draws; one draw alone has the half width inf.

    Returns
    -------
    mean, half_width : float
        The interval is ``mean - half_width`` to ``mean + half_width``.

    Raises
    ------
    TypeError
        If `values` holds no real numbers.
    ValueError
        If `values` is empty, not one-dimensional or not finite.

    Examples
    --------
    >>> mean, half_width = mean_interval([1.0, 2.0, 3.0])
    >>> round(mean, 6), round(half_width, 6)
    (2.0, 2.484138)
    """
    from scipy.stats import t

    draws = read_vector(values, "values")
    require_finite(draws, "values")
    if draws.size == 0:
        raise ValueError("values must hold at least one draw, got none; pass the draws to average")
    if draws.size == 1:
        return float(draws[0]), float("inf")
    standard_error = draws.std(ddof=1) / np.sqrt(draws.size)
    return float(draws.mean()), float(t.ppf(0.975, draws.size - 1) * standard_error)


def _norms(outputs: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Give the L2 norm of each output's error, shape (K,) or (repeats, K)."""
    estimates, truth = _read_pair(outputs, reference)
    errors = np.subtract(estimates, truth, dtype=np.float64)
    flat = errors.reshape(*errors.shape[: errors.ndim - truth.ndim + 1], -1)
    return np.asarray(np.linalg.norm(flat, axis=-1))


def _read_pair(outputs: ArrayLike, reference: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check that both have the same shape, but for a leading axis of repeats of outputs."""
    estimates, _ = read_array(outputs, "outputs")
    truth, _ = read_array(reference, "reference")
    is_alike = estimates.shape == truth.shape or estimates.shape[1:] == truth.shape
    if truth.ndim == 0 or truth.size == 0 or not is_alike:
        raise ValueError(
            f"outputs has shape {estimates.shape} and reference {truth.shape}; reference must be "
            "(K, ...) without empty axes, and outputs the same or (repeats, K, ...)"
        )
    require_finite(estimates, "outputs")
    require_finite(truth, "reference")
    return estimates, truth


def read_labels(labels: ArrayLike, truth: FloatArray) -> NDArray[np.intp]:
    """Check the classes of K inputs against their (K, C) scores."""
    classes = np.asarray(labels)
    if classes.dtype.kind not in "iu":
        raise TypeError(f"labels must hold integers, got dtype {classes.dtype}; pass class numbers")
    if truth.ndim != 2 or classes.shape != truth.shape[:1]:
        raise ValueError(
            f"labels has shape {classes.shape}, reference {truth.shape}; pass (K,) and (K, C)"
        )
    outside = (classes < 0) | (classes >= truth.shape[1])
    if outside.any():
        k = int(outside.argmax())
        raise ValueError(
            f"labels must lie in [0, C) = [0, {truth.shape[1]}), but labels[{k}] = {classes[k]}; "
            "number the classes from 0"
        )
    return classes
