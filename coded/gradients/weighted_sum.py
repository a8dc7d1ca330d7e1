"""What a worker of a gradient code runs; its process imports this file alone of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Part: TypeAlias = Callable[[Any, int], Any]


@dataclass(frozen=True)
class WeightedSum:
    """``sum_i weights[i] * part(parameters, parts[i])``, of arrays or nests of them.

    Answers keep their kind and dtype: numpy, torch on its device, or numbers; but integers and
    booleans of numpy and torch become float64, for sums of them need not fit their dtype.

    Attributes
    ----------
    part : callable
        From the parameters and the index of a part to that part's gradient.
    parts : tuple of int
        The parts that the worker holds, in the order in which they are computed.
    weights : tuple of float
        Of each.

    Examples
    --------
    >>> WeightedSum(lambda w, i: (i * w, w), (1, 3), (1.0, 0.5))(np.array([2.0]))
    (array([5.]), array([3.]))
    """

    part: Part
    parts: tuple[int, ...]
    weights: tuple[float, ...]

    def __call__(self, parameters: Any) -> Any:
        """Compute the worker's parts one after the other; only their sum is kept."""
        total = None
        for i, weight in zip(self.parts, self.weights, strict=True):
            answer = _scale(weight, self.part(parameters, i))
            told = f"part(parameters, {i})"
            total = answer if total is None else _add(total, answer, told)
        return total


@dataclass(frozen=True)
class SumOverData:
    """The weighted sum of ``part(parameters, block)`` over the blocks that stay with a worker.

    Attributes
    ----------
    part : callable
        From the parameters and the data of a part to that part's gradient.
    parts, weights
        As of `WeightedSum`.
    """

    part: Callable[[Any, Any], Any]
    parts: tuple[int, ...]
    weights: tuple[float, ...]

    def __call__(self, share: tuple[Any, ...], parameters: Any) -> Any:
        """Compute the worker's parts, whose data are the share."""
        blocks = dict(zip(self.parts, share, strict=True))
        on_data = WeightedSum(lambda w, i: self.part(w, blocks[i]), self.parts, self.weights)
        return on_data(parameters)


def _scale(weight: float, nest: Any) -> Any:
    """Multiply every array of a nest, in its own dtype, integers in float64."""
    if isinstance(nest, tuple | dict):
        return _build(nest, [_scale(weight, leaf) for leaf in _leaves(nest)])
    leaf: Any = _as_inexact(np.asarray(nest) if isinstance(nest, list) else nest)
    if weight == 1.0:
        return leaf
    dtype: Any = getattr(leaf, "dtype", None)
    if getattr(dtype, "kind", "") == "f":  # numpy 1 makes float64 of a single number in float32
        return dtype.type(weight) * leaf
    return weight * leaf


def _as_inexact(leaf: Any) -> Any:
    """Give integers and booleans that have a dtype as float64, which answers are decoded in."""
    if getattr(getattr(leaf, "dtype", None), "kind", "") in ("i", "u", "b"):
        return leaf.astype(np.float64)
    if hasattr(leaf, "is_floating_point") and not (leaf.is_floating_point() or leaf.is_complex()):
        return leaf.double()  # a tensor
    return leaf


def _add(total: Any, nest: Any, told: str) -> Any:
    """Add up two nests; ValueError where they are not alike, which would broadcast."""
    is_nest = isinstance(total, tuple | dict)
    if is_nest or isinstance(nest, tuple | dict):
        if type(total) is not type(nest) or _keys(total) != _keys(nest):
            raise ValueError(
                f"{told} is {_tell(nest)}, but the parts before are {_tell(total)}; "
                "each part must give the same nest of arrays"
            )
        pairs = zip(_leaves(total), _leaves(nest), strict=True)
        return _build(total, [_add(one, other, told) for one, other in pairs])
    if np.shape(total) != np.shape(nest):
        raise ValueError(
            f"{told} has shape {tuple(np.shape(nest))}, but the parts before have "
            f"{tuple(np.shape(total))}; each part must give a gradient of all parameters"
        )
    return total + nest


def _keys(nest: Any) -> Any:
    return set(nest) if isinstance(nest, dict) else len(nest)


def _leaves(nest: Any) -> list[Any]:
    """Give what is inside, of a dict in an order that does not depend on who made it."""
    return [nest[key] for key in sorted(nest, key=repr)] if isinstance(nest, dict) else list(nest)


def _build(nest: Any, leaves: list[Any]) -> Any:
    """Nest the leaves as they were in `nest`."""
    if isinstance(nest, dict):
        return dict(zip(sorted(nest, key=repr), leaves, strict=True))
    return nest._make(leaves) if hasattr(nest, "_make") else tuple(leaves)


def _tell(nest: Any) -> str:
    if isinstance(nest, dict):
        return f"a dict with keys {sorted(nest, key=repr)}"
    if isinstance(nest, tuple):
        return f"a tuple of {len(nest)}"
    return f"an array of shape {tuple(np.shape(nest))}"
