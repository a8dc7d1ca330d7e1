"""How linear codes take torch tensors of real numbers: where they lie, and differentiably."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from coded.maps.arrays import LinearMap
from coded.maps.on_tensors import OnTensors
from coded.schemes.door import read_responders, require_answers, require_inputs
from coded.schemes.linear_code import LinearCode
from fastspline.arrays import FloatArray


def encode(scheme: LinearCode, build: Callable[[], LinearMap], inputs: Any) -> FloatArray:
    """Apply the map that `build` gives to a tensor of inputs."""
    require_inputs(tuple(inputs.shape), scheme.n_inputs, scheme)
    on_tensors: OnTensors = scheme._on_tensors
    return on_tensors.apply(build(), inputs, "inputs")


def decode(
    scheme: LinearCode, coded_outputs: Any, responders: ArrayLike, *, looks: bool = True
) -> FloatArray:
    """Decode a tensor of answers, which may choose the decoder unless they are not looked at."""
    workers = read_responders(responders, scheme.n_workers)
    require_answers(tuple(coded_outputs.shape), workers)
    if (require_stable := getattr(scheme, "_require_stable", None)) is not None:  # an exact code
        require_stable(workers, _dtype_of(coded_outputs))
        looks = looks and not coded_outputs.is_meta  # which has no numbers to look at
    on_tensors: OnTensors = scheme._on_tensors
    if looks and scheme._looks_at(workers):
        choose = partial(scheme._choose_decoder, responders=workers)
        return on_tensors.apply_chosen(choose, coded_outputs, "coded_outputs")
    return on_tensors.apply(scheme._decoder(workers), coded_outputs, "coded_outputs")


def _dtype_of(tensor: Any) -> np.dtype[Any]:
    """Give numpy's dtype for a tensor's, float64 where there is none."""
    name = str(tensor.dtype).removeprefix("torch.")
    return np.dtype(name if name in ("float16", "float32") else np.float64)
