"""How kernels are compiled, here and in `coded`: without the GIL, and cached where numba can.

What is really compiled, and not loaded from a cache, is told to the logger "fastspline", and is
compiled by one process at a time: those that wait load what it has kept. `_caches` says where.
"""

from __future__ import annotations

import inspect
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import config
from numba.core.compiler import Compiler, Flags

from fastspline._caches import Caches, open_cache
from fastspline._collector import paused_collector

try:
    import fcntl
except ImportError:  # on Windows: every process compiles for itself
    fcntl = None  # type: ignore[assignment]

INTERPRETED = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]  # numba sets it at import
LONGEST_WAIT = 60.0  # seconds for another process; a kernel takes two, on a busy machine ten
TURN = 0.02  # seconds between looks

_log = logging.getLogger("fastspline")


UNUSED = {  # passes for what kernels do without: closures, array expressions, inlined overloads
    "InlineClosureLikes",
    "NopythonRewrites",
    "InlineOverloads",
}


class _Flags(Flags):
    """numba's flags, hashed once: it does so at every call that it infers a type of."""

    __slots__ = ("_hash",)
    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            self._hash = super().__hash__()  # type: ignore[no-untyped-call]
        return self._hash


class KernelCompiler(Compiler):
    """numba's compiler, which says what it does, and does not do what another process does."""

    depth = 0  # of kernels that call each other; numba compiles one at a time in a process
    waits = True  # until another process has taken too long
    warns = True  # once

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a kernel, or load what another process has compiled."""
        if KernelCompiler.depth:
            return self._compile(func)
        with _alone() as has_waited:
            if has_waited and (found := self._load(func)) is not None:
                return found
            _log.info("compiling %s.%s", func.__module__, func.__name__)
            began = time.perf_counter()
            made = self._compile(func)
            caches = Caches(func)  # numba does so when others need not wait any more
            caches.save_overload(tuple(self.state.args), made)
            seconds = time.perf_counter() - began
            kept = "kept it" if caches.numbas else "could not keep it"
            _log.info("compiled %s in %.1f s and %s", func.__name__, seconds, kept)
        if CACHE is None and caches.numbas is None and KernelCompiler.warns:
            KernelCompiler.warns = False
            warnings.warn(HOMELESS, stacklevel=2)
        return made

    def _compile(self, func: Callable[..., Any]) -> Any:
        """Compile, without rounds of the garbage collector."""
        state = self.state
        state.flags = _Flags(state.flags)  # type: ignore[no-untyped-call]
        state.flags.enable_ssa = False  # kernels give a variable one type
        KernelCompiler.depth += 1
        try:
            with paused_collector():
                made = super().compile_extra(func)  # type: ignore[no-untyped-call]
                return made._replace(type_annotation="")  # a page of text, half of what is kept
        finally:
            KernelCompiler.depth -= 1

    def define_pipelines(self) -> Any:
        """Leave out the passes that do nothing."""
        pipelines = super().define_pipelines()  # type: ignore[no-untyped-call]
        for one in pipelines:
            one.passes = [step for step in one.passes if step[0].__name__ not in UNUSED]
        return pipelines

    def _load(self, func: Callable[..., Any]) -> Any:
        """Load a kernel from numba's cache, or give None."""
        target = self.state.targetctx
        if (cache := Caches(func).numbas) is None:
            return None
        made = cache._cache_file.load(cache._index_key(tuple(self.state.args), target.codegen()))
        if made is None:
            return None
        found = cache._impl.rebuild(target, made)
        found.library._compiled_object = made[0][2][0]  # numba saves what it takes for compiled
        return found


@contextmanager
def _alone() -> Iterator[bool]:
    """Let no other process that shares the cache compile meanwhile; tell if one has.

    Every wait has an end: then, and where files cannot be locked, all compile at once.
    """
    file = _open_lock() if KernelCompiler.waits else None
    if file is None:
        yield False
        return
    try:
        began, has_waited = time.monotonic(), False
        while not _lock(file):
            has_waited = True
            if time.monotonic() - began > LONGEST_WAIT:
                KernelCompiler.waits = False
                break
            time.sleep(TURN)
        try:
            yield has_waited
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a forked child may hold the file open
    finally:
        os.close(file)


def _open_lock() -> int | None:
    """Open the file that processes lock, in the folder of the cache."""
    if fcntl is None or CACHE is None:
        return None
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        return os.open(CACHE / "compiling.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None


def _lock(file: int) -> bool:
    """Lock a file, or give False where another process has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        KernelCompiler.waits = False
    return True


def _find_folder() -> Path | None:
    """Give the folder of numba's cache for kernels of this file, if there is any."""
    cache = None if INTERPRETED else open_cache(_find_folder)
    return cache and Path(cache.cache_path)


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate as numba's does, but look for caches when a kernel is called first."""

    def decorate(func: Callable[..., Any]) -> Any:
        func.__signature__ = inspect.signature(func)  # type: ignore[attr-defined]  # asked twice
        kernel = numba.njit(**options)(func)
        if cache and not INTERPRETED:
            kernel._cache = Caches(func)
        return kernel

    return decorate


CACHE = _find_folder()
HOMELESS = (
    "numba finds no folder that it can write its cache to, so fastspline compiles its "
    "kernels (seconds) in every process; set NUMBA_CACHE_DIR to a writable folder"
)
INLINED = {  # into the kernel that calls it, with which it is cached
    "inline": "always",
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "no_cfunc_wrapper": True,  # which C would call
}
JIT = {name: choice for name, choice in INLINED.items() if name != "inline"} | {
    "cache": True,
    "pipeline_class": KernelCompiler,
}
