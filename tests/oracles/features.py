"""The features of images in plain numpy, blocks and all: the oracle of the compiled kernel."""

from itertools import pairwise

import numpy as np

SIGMA, RADIUS = 0.7, 4
ORIENTATIONS, CELLS = 8, 6
LARGE = 1e150  # the squares of smaller numbers do not overflow


def reference_features(images):
    """Give (n, channels * 288) features of (n, ..., height, width) images."""
    array = np.asarray(images).astype(np.float64)
    height, width = array.shape[-2:]
    stack = averaged(array.reshape(-1, height, width))
    features = [describe(image[None]) for image in stack]
    return np.reshape(features, (len(array), -1)) if features else np.empty((0, 288))


def averaged(stack):
    """Average sides of 128 pixels or more over blocks; the last block has the remainder."""
    for axis in (1, 2):
        side = stack.shape[axis]
        block = side // 64 if side >= 128 else 1
        edges = [*range(0, side - block + 1, block), side]
        blocks = [
            np.take(stack, range(start, stop), axis).mean(axis) for start, stop in pairwise(edges)
        ]
        stack = np.stack(blocks, axis)
    return stack


def describe(stack):
    """Give (n, 8, 6, 6) features of (n, height, width) images."""
    pixels = stack.astype(np.float64)
    largest = np.abs(pixels).max(initial=0.0)
    if largest > LARGE:  # differences and lengths must not overflow; roots grow as the root
        return np.asarray(describe(pixels / largest) * np.sqrt(largest))
    blurred = blurred_along(blurred_along(pixels, axis=1), axis=2)
    across, down = np.zeros_like(blurred), np.zeros_like(blurred)
    across[:, :, 1:-1] = blurred[:, :, 2:] - blurred[:, :, :-2]
    down[:, 1:-1] = blurred[:, 2:] - blurred[:, :-2]
    length = np.hypot(across, down)
    scale = 1.0 / np.sqrt(length, out=np.ones_like(length), where=length > 0.0)
    across, down = across * scale, down * scale
    features = np.empty((len(stack), ORIENTATIONS, CELLS, CELLS))
    half = ORIENTATIONS // 2
    for k in range(half):
        angle = k * np.pi / half
        slope = np.cos(angle) * across + np.sin(angle) * down
        # max(0, v) and max(0, -v): half the sum and the difference of |v| and v.
        size, signed = cell_means(np.abs(slope)), cell_means(slope)
        features[:, k] = (size + signed) / 2.0
        features[:, k + half] = (size - signed) / 2.0
    return np.maximum(features, 0.0)


def blurred_along(stack, axis):
    """Convolve with the Gaussian along one axis, zeros outside."""
    reach = np.arange(-RADIUS, RADIUS + 1)
    kernel = np.exp(-(reach**2) / (2.0 * SIGMA**2))
    kernel /= kernel.sum()
    length = stack.shape[axis]
    margins = [(0, 0)] * stack.ndim
    margins[axis] = (RADIUS, RADIUS)
    padded = np.moveaxis(np.pad(stack, margins), axis, 0)
    total = sum(weight * padded[i : i + length] for i, weight in enumerate(kernel))
    return np.moveaxis(np.asarray(total), 0, axis)


def cell_means(stack):
    """Average (n, height, width) over 6 x 6 cells."""
    down, across = (averaging(side) for side in stack.shape[1:])
    return np.asarray(down @ stack @ across.T)


def averaging(side):
    """Give the matrix (6, side) that averages pieces of a third of a side."""
    width = -(-side // 3)
    last = CELLS - 1
    first = (2 * np.arange(CELLS) * (side - width) + last) // (2 * last)
    pixel = np.arange(side)
    is_inside = (first[:, None] <= pixel) & (pixel < first[:, None] + width)
    return is_inside / width
