"""What modules that code other arrays than floats for a linear code see of it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coded.maps.arrays import LinearMap
from coded.schemes.door import Reader
from coded.schemes.protocol import Responders
from fastspline.arrays import FloatArray


class LinearCode(Reader, Protocol):
    """A `LinearScheme`, which itself leads to those modules."""

    @property
    def _on_tensors(self) -> Any: ...
    def _held(self) -> NDArray[np.intp]: ...
    def _looks_at(self, responders: Responders) -> bool: ...
    def _decoder(self, responders: Responders) -> LinearMap: ...
    def _choose_decoder(self, coded_outputs: FloatArray, responders: Responders) -> LinearMap: ...
    def _require_enough(self, responders: Responders) -> None: ...
