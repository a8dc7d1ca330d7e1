"""Nested tuples and dicts of arrays, as one array with a row each: what models take and give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastspline.arrays import FloatArray, Restore

Read: TypeAlias = Callable[[ArrayLike, str], tuple[FloatArray, Restore]]
Form: TypeAlias = tuple[Any, ...] | None  # None: an array; else the kind, keys and forms inside


class Kind(NamedTuple):
    """What nests that can be mixed with each other have in common; prints as its shape."""

    form: Form
    shapes: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        """Give the shape, or the shapes inside."""
        return _tell(self.form, iter(self.shapes))


@dataclass(frozen=True)
class Layout:
    """What a nest of arrays looks like: enough to make one of a single array.

    Two nests can be mixed with each other if their layouts are equal.

    Attributes
    ----------
    form : hashable
        How tuples and dicts are nested.
    shapes : tuple of tuple of int
        Of each array.
    restores : tuple of Restore
        The way back to each array's kind and dtype; not compared.
    """

    form: Form
    shapes: tuple[tuple[int, ...], ...]
    restores: tuple[Restore, ...]

    def __eq__(self, other: object) -> bool:
        """Compare forms and shapes; answers of other dtypes can be mixed."""
        return isinstance(other, Layout) and self.kind == other.kind

    def __hash__(self) -> int:
        """Hash forms and shapes."""
        return hash(self.kind)

    @property
    def kind(self) -> Kind:
        """What equal layouts have in common."""
        return Kind(self.form, self.shapes)

    def __str__(self) -> str:
        """Give the shape, or the shapes inside."""
        return str(self.kind)

    def unpack(self, array: FloatArray, *, lead: int = 1) -> Any:
        """Give the nest of which `array` is the numbers; the first `lead` axes are kept."""
        if self.form is None:
            return self.restores[0](array)
        front, leaves, start = array.shape[:lead], [], 0
        for shape, restore in zip(self.shapes, self.restores, strict=True):
            size = int(np.prod(shape))
            leaf = array[..., start : start + size].reshape((*front, *shape))
            leaves.append(restore(leaf if leaf.flags.c_contiguous else leaf.copy()))
            start += size
        return _build(self.form, iter(leaves))


def together(answers: Sequence[tuple[FloatArray, Layout]]) -> tuple[FloatArray, Layout]:
    """Give arrays of equal layouts as one array, and the layout of what is made of it.

    It is that of the first, each of its arrays of the dtype to which numpy promotes all.
    """
    arrays, layouts = zip(*answers, strict=True)
    layout = layouts[0]
    if any(one.restores != layout.restores for one in layouts):
        from coded.runtime.mixed_nests import promoted_restores  # of answers of several dtypes

        layout = replace(layout, restores=promoted_restores([one.restores for one in layouts]))
    if arrays[0].ndim == 0:
        return np.array([array[()] for array in arrays], np.result_type(*arrays)), layout
    rows = np.concatenate(arrays)  # np.stack takes twice the time
    return rows.reshape(len(arrays), *arrays[0].shape), layout


class Rows(Sequence[tuple[object]]):
    """The coded inputs, each as its worker gets it; made when asked for, and not kept."""

    def __init__(self, coded_inputs: FloatArray, layout: Layout) -> None:
        self._coded_inputs, self._layout = coded_inputs, layout

    def __len__(self) -> int:
        """Give N."""
        return len(self._coded_inputs)

    def __getitem__(self, n: Any) -> Any:
        """Give the arguments of worker n."""
        return (self._layout.unpack(self._coded_inputs[n, ...], lead=0),)


def pack(nest: Any, name: str, read: Read, *, lead: int = 1) -> tuple[FloatArray, Layout]:
    """Give a nest of arrays as one array, and its layout.

    A single array stays as it is. Of several, the numbers of each row stand side by side.

    Parameters
    ----------
    nest : array_like, or tuples and dicts of them
        With the same first `lead` axes.
    name : str
        What the caller calls it.
    read : callable
        From an array_like and its name to a numpy array and the way back.
    lead : int, optional
        0: each array is a row by itself.

    Returns
    -------
    array : ndarray
        Shape (n, ...), or (n, numbers) of a nest.
    layout : Layout
        Of one row.

    Raises
    ------
    TypeError
        If a leaf is no array of numbers.
    ValueError
        If a tuple or dict is empty, or the arrays have not the same first axis.
    """
    if not isinstance(nest, tuple | dict):
        array, restore = read(nest, name)
        return array, Layout(None, (array.shape[lead:],), (restore,))
    leaves: list[tuple[FloatArray, Restore]] = []
    form = _take(nest, name, read, leaves)
    arrays = [array for array, _ in leaves]
    for array in arrays:
        if array.ndim < lead or array.shape[:lead] != arrays[0].shape[:lead]:
            raise ValueError(
                f"{name} must hold arrays with equal axis 0, got shapes "
                f"{', '.join(str(one.shape) for one in arrays)}; stack each along axis 0"
            )
    shapes = tuple(array.shape[lead:] for array in arrays)
    layout = Layout(form, shapes, tuple(restore for _, restore in leaves))
    flat = [array.reshape(*array.shape[:lead], -1) for array in arrays]
    if any(array.dtype.kind != "f" for array in flat):
        from coded.runtime.mixed_nests import side_by_side  # what few nests need

        flat = side_by_side(flat)
    return np.concatenate(flat, axis=lead), layout


def _take(nest: Any, name: str, read: Read, leaves: list[tuple[FloatArray, Restore]]) -> Form:
    """Append the arrays in order and give how they are nested."""
    if not isinstance(nest, tuple | dict):
        leaves.append(read(nest, name))
        return None
    if not nest:
        raise ValueError(f"{name} holds an empty {type(nest).__name__}; leave it out")
    if isinstance(nest, dict):
        keys = tuple(sorted(nest, key=repr))  # the order in which a worker made it is no matter
        inside = [_take(nest[key], f"{name}[{key!r}]", read, leaves) for key in keys]
        return (dict, keys, *inside)
    inside = [_take(value, f"{name}[{i}]", read, leaves) for i, value in enumerate(nest)]
    return (type(nest) if hasattr(nest, "_make") else tuple, (), *inside)


def _build(form: Form, leaves: Any) -> Any:
    """Nest the arrays again."""
    if form is None:
        return next(leaves)
    kind, keys, *inside = form
    values = [_build(one, leaves) for one in inside]
    if kind is dict:
        return dict(zip(keys, values, strict=True))
    return tuple(values) if kind is tuple else kind._make(values)  # a named tuple


def _tell(form: Form, shapes: Any) -> str:
    if form is None:
        return str(next(shapes))
    kind, keys, *inside = form
    told = [_tell(one, shapes) for one in inside]
    if kind is dict:
        return "{" + ", ".join(f"{k!r}: {one}" for k, one in zip(keys, told, strict=True)) + "}"
    return f"({', '.join(told)})"
