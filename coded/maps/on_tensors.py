"""Maps on tensors for those who import no torch: it is there if a caller has a tensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from coded.maps.arrays import LinearMap
from fastspline.arrays import FloatArray

_KEPT = 16  # matrices on devices


class OnTensors:
    """Applies maps to torch tensors as `tensors` does; the latest matrices on devices are kept.

    Tensors pass here for arrays, as they do in `Restore`: the result is of the caller's kind.
    """

    def __init__(self) -> None:
        self._matrix_on: Any = lru_cache(maxsize=_KEPT)(_dense_on)

    def apply(self, linear_map: LinearMap, values: Any, name: str) -> FloatArray:
        """Apply a map to the rows of a tensor, where that lies."""
        from coded.maps.tensors import apply_to_tensor

        matrix_on = None if values.device.type == "cpu" else self._matrix_on
        return cast(FloatArray, apply_to_tensor(linear_map, values, name, matrix_on))

    def apply_chosen(
        self, choose: Callable[[FloatArray], LinearMap], values: Any, name: str
    ) -> FloatArray:
        """Apply the map that the numbers of the tensor choose on the CPU, where the tensor lies."""
        from coded.maps.tensors import apply_chosen

        matrix_on = None if values.device.type == "cpu" else self._matrix_on
        return cast(FloatArray, apply_chosen(choose, values, name, matrix_on))


def _dense_on(linear_map: LinearMap, device: Any) -> Any:
    from coded.maps.tensors import dense_on

    return dense_on(linear_map, device)
