"""Gaussian masks for private codes over the complex numbers, and what they leave visible."""

from __future__ import annotations

import secrets
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Of complex128; Any, because codes over the reals say so of the same methods.
ComplexArray: TypeAlias = NDArray[Any]

_FRACTION_BITS = 53  # of a float64


def gaussian_masks(
    shape: tuple[int, ...], std: float, rng: np.random.Generator | None
) -> ComplexArray:
    """Draw circular complex Gaussian numbers Z with ``E |Z|^2 = std^2``.

    ``Z = std sqrt(-log(1 - U)) exp(2 pi i V)`` for uniform U and V of 53 bits (Box and Muller),
    so that ``|Z| <= 6.1 std``.

    Parameters
    ----------
    shape : tuple of int
        Of the result.
    std : float
        The deviation, > 0.
    rng : numpy.random.Generator or None
        Where U and V come from. None: the operating system's cryptographic source. What one
        worker can learn of a `Generator`'s numbers foretells all its others.

    Returns
    -------
    ndarray of complex128

    References
    ----------
    G. E. P. Box, M. E. Muller, "A Note on the Generation of Random Normal Deviates",
    Annals of Mathematical Statistics 29(2), 1958.

    Examples
    --------
    >>> masks = gaussian_masks((2, 50_000), 3.0, np.random.default_rng(0))
    >>> np.sqrt((np.abs(masks) ** 2).mean(axis=1)).round(1)
    array([3., 3.])
    """
    radius, angle = _uniform((2, *shape)) if rng is None else rng.random((2, *shape))
    masks: ComplexArray = std * np.sqrt(-np.log1p(-radius)) * np.exp(2j * np.pi * angle)
    return masks


def gaussian_leakage(
    inputs_seen: ComplexArray, masks_seen: ComplexArray, *, power: float, mask_std: float
) -> float:
    """Bound what linear sums of inputs and masks tell about the inputs, in bits an entry.

    Whoever sees ``y = A x + B z``, x uncorrelated with ``E |x_k|^2 <= power`` and z independent
    circular Gaussian of deviation `mask_std`, learns at most the capacity of that Gaussian
    channel, reached by Gaussian x: ``I(x; y) <= log2 det(I + (power / mask_std^2) C C^H)`` with
    ``C = B^+ A``.

    Parameters
    ----------
    inputs_seen : ndarray of complex128, shape (C, K)
        A.
    masks_seen : ndarray of complex128, shape (C, T)
        B; `inf` is the answer where its rows are linearly dependent (C > T, say), for then some
        combination of the sums is free of masks.
    power : float
        Mean square of the inputs' entries, > 0. Correlated inputs count for up to K times it.
    mask_std : float
        Deviation of the masks, > 0.

    Returns
    -------
    float

    References
    ----------
    E. Telatar, "Capacity of Multi-antenna Gaussian Channels", European Transactions on
    Telecommunications 10(6), 1999, theorem 1.

    Examples
    --------
    >>> row = np.ones((1, 1), dtype=complex)
    >>> gaussian_leakage(row, row, power=3.0, mask_std=1.0)
    2.0
    """
    left, sizes, _ = np.linalg.svd(masks_seen, full_matrices=False)
    floor = len(inputs_seen) * np.finfo(np.float64).eps * sizes.max(initial=0.0)
    if len(sizes) < len(inputs_seen) or sizes.min(initial=np.inf) <= floor:
        return np.inf
    in_units_of_masks = (left.conj().T @ inputs_seen) / (sizes[:, None] * mask_std)
    gains = np.linalg.svd(in_units_of_masks, compute_uv=False)
    return float(np.log1p(power * gains**2).sum() / np.log(2.0))


def _uniform(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw numbers in [0, 1) from the operating system."""
    count = int(np.prod(shape, dtype=np.int64))
    words = np.frombuffer(secrets.token_bytes(8 * count), dtype=np.uint64)
    fractions = (words >> (64 - _FRACTION_BITS)).astype(np.float64) * 2.0**-_FRACTION_BITS
    return fractions.reshape(shape)
