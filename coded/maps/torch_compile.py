"""Methods that torch.compile leaves alone: numpy and numba, which it cannot trace, are inside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from fastspline.arrays import is_torch_tensor

_Method = TypeVar("_Method", bound=Callable[..., Any])


def untraced(method: _Method) -> _Method:
    """Run a method as it is where a compiled program calls it with tensors.

    torch is looked up when there is a tensor, and never imported.

    Parameters
    ----------
    method : callable

    Returns
    -------
    callable
        Of the same signature.
    """

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is not None and any(map(is_torch_tensor, (*args, *kwargs.values()))):
            return torch.compiler.disable(method)(*args, **kwargs)
        return method(*args, **kwargs)

    return cast(_Method, call)
