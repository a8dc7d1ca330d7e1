"""How kernels are compiled, here and in `coded`: without the GIL, and cached where numba can."""

import warnings

from numba import config, njit

INTERPRETED = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]  # numba sets it at import


def _nothing() -> None:
    """Be what the probe compiles."""


def _finds_cache() -> bool:
    """Tell whether numba can keep compiled kernels of this folder somewhere."""
    try:
        njit(cache=True)(_nothing)
    except RuntimeError:
        warnings.warn(
            "numba finds no folder that it can write its cache to, so fastspline compiles its "
            "kernels (seconds) in every process; set NUMBA_CACHE_DIR to a writable folder",
            stacklevel=2,
        )
        return False
    return True


INLINED = {  # into the kernel that calls it, with which it is cached
    "inline": "always",
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "no_cfunc_wrapper": True,  # which C would call
}
JIT = {name: choice for name, choice in INLINED.items() if name != "inline"} | {
    "cache": _finds_cache()
}
