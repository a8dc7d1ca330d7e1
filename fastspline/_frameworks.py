"""Arrays of torch, JAX and CuPy: read as numpy arrays, and results put where they came from.

None of the three is imported for it: an array of theirs exists only where the caller did so.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_torch_tensor(values: object) -> bool:
    """Tell whether `values` is a torch tensor, without importing torch."""
    return _is_of("torch", "Tensor", values)


def read_device_array(values: Any, name: str) -> tuple[NDArray[Any], str] | None:
    """Give an array of a framework as a numpy array and where it lies, or None for all else.

    Where it lies is a tensor's device as torch writes it, or "jax cpu:0", "cupy cuda:0".

    Raises
    ------
    TypeError
        If numpy cannot hold its entries, or if it has none yet, as within ``jax.jit``.
    """
    if is_torch_tensor(values):
        try:
            held = values.detach().cpu().resolve_conj().resolve_neg()
            return held.numpy(), str(values.device)
        except TypeError as error:
            raise TypeError(
                f"{name} cannot be read as a numpy array: {error}; pass {name}.float()"
            ) from error
    if _is_of("jax", "Array", values):
        if isinstance(values, sys.modules["jax"].core.Tracer):
            raise TypeError(
                f"{name} is traced by JAX and holds no numbers yet; call this outside jit, grad "
                "and vmap, or through jax.pure_callback"
            )
        device = min(values.devices(), key=lambda one: int(one.id))
        return np.asarray(values), f"jax {device.platform}:{device.id}"
    if _is_of("cupy", "ndarray", values):
        return values.get(), f"cupy cuda:{values.device.id}"
    return None


def to_device(array: NDArray[Any], device: str) -> Any:
    """Give a numpy array as an array of the framework and on the device that `device` names."""
    framework, _, place = device.rpartition(" ")
    # The caller's process has it; one that unpickles a curve may not have imported it yet.
    module = importlib.import_module(framework or "torch")
    if not framework:
        tensor = module.from_numpy(array)
        return tensor if device == "cpu" else tensor.to(device)
    platform, _, index = place.partition(":")
    if framework == "cupy":
        with module.cuda.Device(int(index)):
            return module.asarray(array)
    own = [one for one in module.devices(platform) if one.id == int(index)]
    return module.device_put(array, own[0] if own else None)


def _is_of(module: str, name: str, values: object) -> bool:
    """Tell whether `values` is of a class of a module, which is loaded if it is."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(values, kind)
