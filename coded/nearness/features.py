"""Features of images that tell alike from unlike without knowing the function."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.nearness.gradients import gradient_means
from fastspline.arrays import FloatArray, read_array, require_finite

SMALLEST_SIDE = 8  # pixels: fewer do not fill the cells
_FEWEST_BLOCKS = 32  # along a large side, when images are compared block by block


def is_image(array: FloatArray) -> bool:
    """Tell whether a stack holds images: both of the last two axes at least 8 long."""
    return array.ndim >= 3 and min(array.shape[-2:]) >= SMALLEST_SIDE


def as_images(array: FloatArray) -> FloatArray | None:
    """Give a stack of images with height and width last, or None if it holds none.

    A last axis of less than 8 after two of at least 8 are channels, which are moved before them.

    Parameters
    ----------
    array : ndarray, shape (n, ...)

    Returns
    -------
    ndarray, shape (n, ..., height, width), or None

    Examples
    --------
    >>> as_images(np.zeros((5, 32, 20, 3))).shape
    (5, 3, 32, 20)
    """
    if is_image(array):
        return array
    if array.ndim >= 4 and min(array.shape[-3:-1]) >= SMALLEST_SIDE:
        return np.moveaxis(array, -1, -3)
    return None


def pooled_pixels(images: FloatArray) -> FloatArray:
    """Give the images themselves, large ones averaged over square blocks.

    Parameters
    ----------
    images : ndarray, shape (n, ..., height, width)

    Returns
    -------
    ndarray, shape (n, features)
        Means over blocks of ``side // 32`` pixels along each side; what is beyond the last whole
        block is left out. Sides of less than 64 pixels are as they are.

    Examples
    --------
    >>> pooled_pixels(np.ones((2, 3, 224, 224))).shape
    (2, 3072)
    """
    down, across = (max(side // _FEWEST_BLOCKS, 1) for side in images.shape[-2:])
    rows, columns = images.shape[-2] // down, images.shape[-1] // across
    pooled = images[..., : rows * down, : columns * across]
    if down * across > 1:  # twice as fast as a mean over axes of blocks
        pooled = sum((pooled[..., i::down, :] for i in range(1, down)), pooled[..., ::down, :])
        pooled = sum((pooled[..., i::across] for i in range(1, across)), pooled[..., ::across])
        pooled = pooled / (down * across)
    return np.ascontiguousarray(pooled).reshape(len(images), -1)


def pooled_gradients(images: ArrayLike) -> NDArray[np.float64]:
    """Describe images by their gradients: how strong in which direction, cell by cell.

    A side of 128 pixels or more is first averaged over blocks of ``side // 64`` pixels (the last
    one has the remainder too), so that features tell of 1/64 of a picture, however large it is.
    Each channel is blurred (Gaussian, sigma 0.7 pixels, zeros outside) and differentiated by
    central differences (x[i + 1] - x[i - 1], 0 at the border). Of each gradient g the root of its
    length counts, so that faint strokes do: ``max(0, hx cos a + hy sin a)`` with
    ``h = g / sqrt(|g|)`` for a = 0, 45, ..., 315 degrees is averaged over 6 x 6 overlapping
    cells, each a third of the sides wide (rounded up), from border to border in steps as equal as
    they can be. Images that differ by a small shift or a changed background get near features.

    Parameters
    ----------
    images : array_like, shape (n, ..., height, width)
        Numbers, numpy or torch, both sides at least 8; axes between are channels.

    Returns
    -------
    ndarray of float64, shape (n, channels * 288)
        For each channel, for each direction, the 6 x 6 means.

    Raises
    ------
    TypeError
        If `images` holds no real numbers.
    ValueError
        If a side has less than 8 pixels, or a number is not finite.

    References
    ----------
    N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005
    (here with the root of the lengths in place of their normalisation of the cells).

    Examples
    --------
    >>> ramp = np.tile(np.arange(28.0), (1, 28, 1))  # brighter to the right
    >>> features = pooled_gradients(ramp).reshape(8, 6, 6)
    >>> features[[0, 1, 2, 4], 2, 2].round(6) + 0.0
    array([1.414214, 1.      , 0.      , 0.      ])
    """
    array, _ = read_array(images, "images")
    if not is_image(array):
        raise ValueError(
            f"images must be (n, ..., height, width), both sides at least {SMALLEST_SIDE} pixels, "
            f"got shape {array.shape}; describe other inputs by features of your own"
        )
    count, channels = len(array), math.prod(array.shape[1:-2])
    means = gradient_means(array.reshape(count * channels, *array.shape[-2:]))
    if not np.isfinite(means).all():
        require_finite(array, "images")
    return means.reshape(count, channels * math.prod(means.shape[1:]))
