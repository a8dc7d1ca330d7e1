"""How `KernelScheme` describes inputs by numbers, for distances and for what is fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from coded.estimation.spaces import FeatureMap, Space
from coded.estimation.views import Description
from coded.nearness.distances import flattened, natural_units
from coded.nearness.features import as_images, pooled_gradients, pooled_pixels
from fastspline.arrays import FloatArray, Restore, read_array, require_finite

Features: TypeAlias = Callable[[FloatArray], ArrayLike] | None

_SMOOTH = 1.8  # power p of the covariance r^p


def feature_map(
    features: Features, array: FloatArray, restore: Restore
) -> tuple[FeatureMap, float | None]:
    """Give phi, and the power of its distances unless that is for the inputs to decide."""
    if features is not None:

        def checked(stack: FloatArray) -> FloatArray:
            return _read_features(features(restore(stack.copy())), len(stack))  # phi may write

        return checked, _SMOOTH
    if as_images(array) is not None:
        return _gradients, _SMOOTH
    units = natural_units(flattened(array))
    return lambda stack: flattened(stack) / units, None


def describe(
    features: Features, space: Space, sites: FloatArray, past: FloatArray
) -> tuple[Description, ...]:
    """Give what views of sites and remembered inputs are made of, when they are needed."""
    rows = np.concatenate([space.rows, space.past])
    if features is not None:
        return (Description(rows, in_units=False),)
    if as_images(sites) is None:
        return (Description(rows),)
    pixels = np.concatenate([_pixels(stack) for stack in (sites, past) if len(stack)])
    # The first one tells which remembered inputs are near.
    return Description(rows, in_units=False), Description(pixels)


def _gradients(stack: FloatArray) -> FloatArray:
    images = as_images(stack)
    assert images is not None
    return pooled_gradients(images)


def _pixels(stack: FloatArray) -> FloatArray:
    images = as_images(stack)
    assert images is not None
    return pooled_pixels(images)


def _read_features(values: ArrayLike, count: int) -> FloatArray:
    """Check what the caller's features give."""
    array, _ = read_array(values, "features(inputs)")
    if array.ndim == 0 or len(array) != count:
        raise ValueError(
            f"features must give a vector for each of {count} inputs, gave shape {array.shape}; "
            "return a stack along axis 0"
        )
    require_finite(array, "features(inputs)")
    return array.reshape(count, -1)
