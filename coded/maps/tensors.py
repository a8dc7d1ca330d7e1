"""Linear maps of torch tensors: differentiable, and on the device where the tensors lie."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from coded.extras import needing
from coded.maps.arrays import LinearMap, apply_map
from coded.maps.copies import FilledMap
from fastspline.arrays import FloatArray

with needing("coding tensors needs", "torch", extra="torch"):
    import torch

MatrixOn: TypeAlias = Callable[[LinearMap, torch.device], torch.Tensor]
Choose: TypeAlias = Callable[[FloatArray], LinearMap]

# Integers and booleans in float64.
_LARGEST = 2**53  # of whole numbers, up to which float64 holds all
_COMPUTED = {
    torch.float64: torch.float64,
    torch.float32: torch.float32,
    torch.float16: torch.float32,
}


def apply_to_tensor(
    linear_map: LinearMap, values: torch.Tensor, name: str, matrix_on: MatrixOn | None = None
) -> torch.Tensor:
    """Apply a map to the rows of a tensor, so that torch can differentiate it.

    Without `matrix_on` the map reads the tensor's own memory, if that is the CPU's, and results
    have the bits of numpy's. With it, the dense matrix is multiplied on the tensor's device, in
    float64 where the device has it: whatever `torch.set_float32_matmul_precision` says, copies
    of rows are exact.

    Gradients of any order and forward derivatives are those of the map; those that are not
    finite pass as through a product of matrices, as gradient scalers expect.

    Parameters
    ----------
    linear_map : LinearMap
        Of n rows.
    values : Tensor, shape (n, ...)
        Real numbers. Float16 is computed in float32 and comes back; integers become float64.
    name : str
        What the caller calls the values.
    matrix_on : callable, optional
        Gives the matrix of `linear_map` on a device, as `dense_on` does; the caller may keep it
        from call to call.

    Returns
    -------
    Tensor, shape (m, ...)

    Raises
    ------
    TypeError
        If `values` holds other numbers or is sparse.
    ValueError
        If a number is not finite, or a result overflows.
    """
    return _apply(values, _Outward(name, linear_map, None, matrix_on))


def apply_chosen(
    choose: Choose, values: torch.Tensor, name: str, matrix_on: MatrixOn | None = None
) -> torch.Tensor:
    """Apply the map that the values themselves choose; derivatives are that map's.

    `choose` gets the values as a numpy array, on the CPU; how its choice depends on them is not
    differentiated. Under `torch.func.vmap` each example chooses. Else as `apply_to_tensor`.
    """
    return _apply(values, _Outward(name, None, choose, matrix_on))


def dense_on(linear_map: LinearMap, device: torch.device) -> torch.Tensor:
    """Give the matrix of a map on a device, in the dtype that products are computed in there."""
    has_doubles = device.type != "mps"
    dtype = torch.float64 if has_doubles else torch.float32
    return torch.tensor(linear_map.dense(), device=device, dtype=dtype)


def multiply(matrix: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Multiply each column of (n, ...) by a matrix in its dtype; the dtype of `values` is kept."""
    columns = values.reshape(len(values), -1).to(matrix.dtype)
    product = (matrix @ columns).to(values.dtype)
    return product.reshape(len(matrix), *values.shape[1:])


def refuse_gradient(values: torch.Tensor, name: str, scheme: object) -> None:
    """Raise TypeError if a gradient would be lost without a word."""
    if torch.is_grad_enabled() and values.requires_grad:
        raise TypeError(
            f"{name} requires grad, but {scheme!r} is not differentiable; pass {name}.detach()"
        )


class _Mapped(torch.autograd.Function):
    """The values of a rule, and its derivatives, which are rules again."""

    @staticmethod
    def forward(values: torch.Tensor, rule: _Rule) -> torch.Tensor:
        return rule(values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, _Rule], output: Any) -> None:  # noqa: ARG004
        ctx.rule = inputs[1]

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _apply(cotangents[0], ctx.rule.derivative(is_adjoint=True)), None

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor) -> torch.Tensor:
        return _apply(tangents[0], ctx.rule.derivative(is_adjoint=False))

    @staticmethod
    def vmap(
        info: Any,  # noqa: ARG004
        in_dims: tuple[int | None, None],
        values: torch.Tensor,
        rule: _Rule,
    ) -> tuple[torch.Tensor, int]:
        """Take the examples as columns, or one by one where their values choose the map."""
        assert in_dims[0] is not None
        if rule.is_for_all:
            return _apply(values.movedim(in_dims[0], -1), rule), -1
        examples = values.unbind(in_dims[0])
        return torch.stack([_apply(one, replace(rule)) for one in examples]), 0


@dataclass
class _Outward:
    """What the caller asked for: numbers are checked, and the values may choose the map."""

    name: str
    linear_map: LinearMap | None
    choose: Choose | None
    matrix_on: MatrixOn | None

    @property
    def is_for_all(self) -> bool:
        """Whether columns of other examples change nothing."""
        return self.choose is None and not _is_affine(self.linear_map)

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        computed = values.to(self._computed_dtype(values))
        if self.choose is not None:
            self.linear_map = self.choose(_on_cpu(computed))
        assert self.linear_map is not None
        if self.matrix_on is None or _is_affine(self.linear_map):
            array = apply_map(self.linear_map, _on_cpu(computed), self.name)
            result = torch.from_numpy(array).to(values.device)
        else:
            result = multiply(self.matrix_on(self.linear_map, values.device), computed)
            if not (result.is_meta or result.isfinite().all()):  # arrays tell where
                apply_map(self.linear_map, _on_cpu(computed), self.name)
        if values.dtype != torch.float16:
            return result
        halved = result.half()
        if not (halved.is_meta or halved.isfinite().all()):
            raise ValueError("a result overflows float16; pass float32 or float64")
        return halved

    def derivative(self, *, is_adjoint: bool) -> _Derivative:
        """Give the rule of gradients or, not `is_adjoint`, of tangents."""
        assert self.linear_map is not None
        return _Derivative(self.linear_map, is_adjoint, self.matrix_on)

    def _computed_dtype(self, values: torch.Tensor) -> torch.dtype:
        """Give the dtype that is computed in; refuse what is no array of real numbers."""
        if values.layout != torch.strided:
            raise TypeError(f"{self.name} must be a dense tensor, got {values.layout}")
        dtype = values.dtype
        if dtype in _COMPUTED:
            return _COMPUTED[dtype]
        if dtype.is_floating_point or dtype.is_complex:
            mend = f"pass {self.name}.float()" if dtype.is_floating_point else "take .real"
            raise TypeError(
                f"{self.name} must hold real numbers (float16, float32, float64, integers or "
                f"booleans), got dtype {dtype}; {mend}"
            )
        if dtype == torch.int64 and not values.is_meta:
            self._require_held(values)
        return torch.float64

    def _require_held(self, values: torch.Tensor) -> None:
        """Refuse whole numbers that float64 does not hold."""
        if bool(((values > _LARGEST) | (values < -_LARGEST)).any()):
            largest = max(abs(int(values.max())), abs(int(values.min())))
            raise ValueError(
                f"{self.name} hold whole numbers up to {largest}, and those beyond 2**53 are "
                "rounded where rows are mixed; let every input have an answer of its own "
                "(ReplicationScheme copies them as they are), or code the number's parts"
            )


@dataclass
class _Derivative:
    """The linear part of a map, or its transpose, of gradients that may hold any numbers."""

    linear_map: LinearMap
    is_adjoint: bool
    matrix_on: MatrixOn | None

    is_for_all = True

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        computed = values.to(_COMPUTED[values.dtype])
        matrix_on = self.matrix_on
        if matrix_on is None and _is_batch_of_gradients(values):
            matrix_on = dense_on
        if matrix_on is None:
            result = torch.from_numpy(self._on_arrays(_on_cpu(computed))).to(values.device)
        else:
            matrix = matrix_on(self.linear_map, values.device)
            result = multiply(matrix.T if self.is_adjoint else matrix, computed)
        return result.to(values.dtype)

    def derivative(self, *, is_adjoint: bool) -> _Derivative:
        """Give the rule of this one's own gradients or tangents."""
        return replace(self, is_adjoint=self.is_adjoint != is_adjoint)

    def _on_arrays(self, array: FloatArray) -> FloatArray:
        linear_map = self.linear_map
        if isinstance(linear_map, FilledMap):
            linear_map = linear_map.linear_part
        with suppress(ValueError):  # a number is not finite, or a sum overflows
            return linear_map.adjoint(array) if self.is_adjoint else linear_map(array)
        matrix = linear_map.dense().astype(array.dtype, copy=False)
        with np.errstate(all="ignore"):
            columns = (matrix.T if self.is_adjoint else matrix) @ array.reshape(len(array), -1)
            return columns.reshape(len(columns), *array.shape[1:])


_Rule: TypeAlias = _Outward | _Derivative


def _apply(values: torch.Tensor, rule: _Rule) -> torch.Tensor:
    result: torch.Tensor = _Mapped.apply(values, rule)  # type: ignore[no-untyped-call]
    return result


def _on_cpu(values: torch.Tensor) -> FloatArray:
    """Give a tensor's numbers as an array, on the same memory where that is the CPU's."""
    array: FloatArray = values.detach().cpu().resolve_neg().numpy()
    return array


def _is_batch_of_gradients(values: torch.Tensor) -> bool:
    """Tell whether a tensor stands for many, as under ``is_grads_batched=True``: it has no memory.

    `_Mapped.vmap` hears nothing of these batches; products of matrices know them.
    """
    try:
        values.data_ptr()
    except RuntimeError:
        return True
    return False


def _is_affine(linear_map: LinearMap | None) -> bool:
    return isinstance(linear_map, FilledMap) and linear_map.constant is not None
