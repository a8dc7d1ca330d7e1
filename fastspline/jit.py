"""How kernels are compiled, here and in `coded`: without the GIL, and cached where numba can.

What is really compiled, and not loaded from a cache, is told to the logger "fastspline", and is
compiled by one process at a time: those that wait load what it has kept. numba reads no cache that
it cannot write; here that of an image or of a read-only installation is read as well.
"""

from __future__ import annotations

import gc
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from numba import config
from numba.core.caching import FunctionCache
from numba.core.compiler import Compiler, Flags

try:
    import fcntl
except ImportError:  # on Windows: every process compiles for itself
    fcntl = None  # type: ignore[assignment]

Cache: TypeAlias = Callable[[Callable[..., Any]], Any]

INTERPRETED = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]  # numba sets it at import
LONGEST_WAIT = 60.0  # seconds for another process; a kernel takes two, on a busy machine ten
TURN = 0.02  # seconds between looks

_log = logging.getLogger("fastspline")


class Kept(FunctionCache):
    """A cache that is only read: in NUMBA_CACHE_DIR, or else beside the package."""

    class _impl_class(FunctionCache._impl_class):  # type: ignore[misc,valid-type]
        pass


def _reading(locator: type) -> type:
    """Make of numba's class for a folder one that wants it to be there, not to be writable."""

    def ensure_cache_path(self: Any) -> None:
        Path(self.get_cache_path()).stat()

    return type(locator.__name__, (locator,), {"ensure_cache_path": ensure_cache_path})


Kept._impl_class._locator_classes = [
    _reading(one) for one in FunctionCache._impl_class._locator_classes[:2]
]


def _find(cache: Cache) -> Path | None:
    """Give the folder of a kind of cache for kernels of this one, if there is any."""
    try:
        return Path(cache(_find).cache_path)
    except RuntimeError:
        return None


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

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a kernel, or load what another process has compiled."""
        if KEPT is not None and (found := self._load(Kept, func)) is not None:
            return found
        if KernelCompiler.depth:
            return self._compile(func)
        with _alone() as has_waited:
            if has_waited and (found := self._load(FunctionCache, func)) is not None:
                return found
            _log.info("compiling %s.%s", func.__module__, func.__name__)
            began = time.perf_counter()
            made = self._compile(func)
            if CACHE is not None:  # numba does so when others need not wait any more
                cache: Any = FunctionCache(func)  # type: ignore[no-untyped-call]
                cache.save_overload(tuple(self.state.args), made)
            seconds = time.perf_counter() - began
            kept = "kept it" if CACHE else "found no folder to keep it in"
            _log.info("compiled %s in %.1f s and %s", func.__name__, seconds, kept)
        return made

    def _compile(self, func: Callable[..., Any]) -> Any:
        """Compile, without rounds of the garbage collector, which take a sixth of the time."""
        state = self.state
        state.flags = _Flags(state.flags)  # type: ignore[no-untyped-call]
        state.flags.enable_ssa = False  # kernels give a variable one type
        collects = gc.isenabled()
        gc.disable()
        KernelCompiler.depth += 1
        try:
            return super().compile_extra(func)  # type: ignore[no-untyped-call]
        finally:
            KernelCompiler.depth -= 1
            if collects:
                if not gc.get_freeze_count():  # else nothing of the caller's may thaw
                    gc.freeze()  # both: what is young is old now, and not looked through
                    gc.unfreeze()
                gc.enable()

    def define_pipelines(self) -> Any:
        """Leave out the passes that do nothing."""
        pipelines = super().define_pipelines()  # type: ignore[no-untyped-call]
        for one in pipelines:
            one.passes = [step for step in one.passes if step[0].__name__ not in UNUSED]
        return pipelines

    def _load(self, kind: Cache, func: Callable[..., Any]) -> Any:
        """Load a kernel from a kind of cache, or give None."""
        target = self.state.targetctx
        target.refresh()
        try:
            cache = kind(func)
        except RuntimeError:  # there is no folder for this file
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


CACHE = None if INTERPRETED else _find(FunctionCache)
KEPT = None if INTERPRETED or _find(Kept) == CACHE else _find(Kept)
if CACHE is None and not INTERPRETED and not (KEPT and any(KEPT.parent.rglob("*.nbi"))):
    warnings.warn(
        "numba finds no folder that it can write its cache to, so fastspline compiles its "
        "kernels (seconds) in every process; set NUMBA_CACHE_DIR to a writable folder",
        stacklevel=2,
    )

INLINED = {  # into the kernel that calls it, with which it is cached
    "inline": "always",
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "no_cfunc_wrapper": True,  # which C would call
}
JIT = {name: choice for name, choice in INLINED.items() if name != "inline"} | {
    "cache": CACHE is not None,
    "pipeline_class": KernelCompiler,
}
