"""Features of images that tell alike from unlike without knowing the function."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline.arrays import FloatArray, read_array, require_finite

_SIGMA = 0.7  # pixels
_RADIUS = 4  # of the blur: the Gaussian is 1e-7 of its peak there
_ORIENTATIONS = 8
_CELLS = 6  # along each axis; on 28 x 28 images 10 x 10 pixels each
_LARGE = 1e150  # the squares of smaller numbers do not overflow
_BLOCK = 1 << 16  # pixels at a time, so that they stay in the cache

SMALLEST_SIDE = 8  # pixels: fewer do not fill the cells


def pooled_gradients(images: ArrayLike) -> NDArray[np.float64]:
    """Describe images by their gradients: how strong in which direction, cell by cell.

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
    if array.ndim < 3 or min(array.shape[-2:]) < SMALLEST_SIDE:
        raise ValueError(
            f"images must be (n, ..., height, width), both sides at least {SMALLEST_SIDE} pixels, "
            f"got shape {array.shape}; describe other inputs by features of your own"
        )
    require_finite(array, "images")
    height, width = array.shape[-2:]
    count, channels = len(array), int(np.prod(array.shape[1:-2]))
    stack = array.reshape(count * channels, height, width)
    step = max(1, _BLOCK // (height * width))
    features = np.empty((len(stack), _ORIENTATIONS, _CELLS, _CELLS))
    for start in range(0, len(stack), step):
        features[start : start + step] = _describe(stack[start : start + step])
    return features.reshape(count, channels * _ORIENTATIONS * _CELLS**2)


def _describe(stack: FloatArray) -> NDArray[np.float64]:
    """Give (n, 8, 6, 6) features of (n, height, width) images."""
    pixels = stack.astype(np.float64)
    largest = np.abs(pixels).max(initial=0.0)
    if largest > _LARGE:  # differences and lengths must not overflow; roots grow as the root
        return np.asarray(_describe(pixels / largest) * np.sqrt(largest))
    blurred = _blurred(_blurred(pixels, axis=1), axis=2)
    across, down = np.zeros_like(blurred), np.zeros_like(blurred)
    across[:, :, 1:-1] = blurred[:, :, 2:] - blurred[:, :, :-2]
    down[:, 1:-1] = blurred[:, 2:] - blurred[:, :-2]
    length = np.hypot(across, down)
    scale = 1.0 / np.sqrt(length, out=np.ones_like(length), where=length > 0.0)
    across, down = across * scale, down * scale
    features = np.empty((len(stack), _ORIENTATIONS, _CELLS, _CELLS))
    half = _ORIENTATIONS // 2
    for k in range(half):
        angle = k * np.pi / half
        slope = np.cos(angle) * across + np.sin(angle) * down
        # max(0, v) and max(0, -v): half the sum and the difference of |v| and v.
        size, signed = _cell_means(np.abs(slope)), _cell_means(slope)
        features[:, k] = (size + signed) / 2.0
        features[:, k + half] = (size - signed) / 2.0
    return np.maximum(features, 0.0)


def _blurred(stack: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Convolve with the Gaussian along one axis, zeros outside."""
    reach = np.arange(-_RADIUS, _RADIUS + 1)
    kernel = np.exp(-(reach**2) / (2.0 * _SIGMA**2))
    kernel /= kernel.sum()
    length = stack.shape[axis]
    margins = [(0, 0)] * stack.ndim
    margins[axis] = (_RADIUS, _RADIUS)
    padded = np.moveaxis(np.pad(stack, margins), axis, 0)
    total = sum(weight * padded[i : i + length] for i, weight in enumerate(kernel))
    return np.moveaxis(np.asarray(total), 0, axis)


def _cell_means(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average (n, height, width) over 6 x 6 cells."""
    down, across = (_averaging(side) for side in stack.shape[1:])
    return np.asarray(down @ stack @ across.T)


def _averaging(side: int) -> NDArray[np.float64]:
    """Give the matrix (6, side) that averages pieces of a third of a side."""
    width = -(-side // 3)
    last = _CELLS - 1
    first = (2 * np.arange(_CELLS) * (side - width) + last) // (2 * last)
    pixel = np.arange(side)
    is_inside = (first[:, None] <= pixel) & (pixel < first[:, None] + width)
    return is_inside / width
