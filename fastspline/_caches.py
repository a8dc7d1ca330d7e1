"""Where compiled kernels are kept: by numba, and in the wheel, which brings those of its build.

numba reads no cache that it cannot write; here that of an image or of a read-only installation is
read as well. What the wheel brings is only read, and only where all is as it was at the build:
sources, CPU, Python, numba, llvmlite and numpy. Elsewhere it is as if it were not there.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

import llvmlite
import numba
import numpy as np
from numba import config
from numba.core.caching import FunctionCache, NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

Kernel: TypeAlias = Callable[..., Any]

PACKAGE = Path(__file__).parent
BROUGHT = PACKAGE / "_compiled"  # written by the build of a wheel, see _build.py
DIGEST = 32  # bytes of SHA-256


class _Kept(FunctionCache):
    """A cache that is only read: in NUMBA_CACHE_DIR, or else beside the package."""

    class _impl_class(FunctionCache._impl_class):  # type: ignore[misc,valid-type]
        pass


def _reading(locator: type) -> type:
    """Make of numba's class for a folder one that wants it to be there, not to be writable."""

    def ensure_cache_path(self: Any) -> None:
        if not Path(self.get_cache_path()).is_dir():
            raise NotADirectoryError

    return type(locator.__name__, (locator,), {"ensure_cache_path": ensure_cache_path})


_Kept._impl_class._locator_classes = [
    _reading(one) for one in FunctionCache._impl_class._locator_classes[:2]
]


def open_cache(kernel: Kernel, kind: type[FunctionCache] = FunctionCache) -> Any:
    """Give numba's cache of a kernel, or None where it finds no folder for its file."""
    try:
        return kind(kernel)
    except RuntimeError:
        return None


class Caches(NullCache):
    """All caches of a kernel, which are looked for when it is called first, not at an import."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        file = Path(kernel.__code__.co_filename)
        if file not in _IMPORTED:
            _IMPORTED[file] = _look_at(file)

    @cached_property
    def numbas(self) -> Any:
        """Give that of numba, or None: there is no folder, or it would be of other sources."""
        return open_cache(self._kernel) if _are_as_imported(self._kernel) else None

    @property
    def cache_path(self) -> str | None:
        """Give the folder of numba's cache, if there is any."""
        return self.numbas and str(self.numbas.cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Give the kernel compiled for a list of types, or None."""
        target_context.refresh()
        if not _are_as_imported(self._kernel):
            return None
        if BROUGHT.is_dir() and (found := load(BROUGHT, self._kernel, sig, target_context)):
            return found
        for one in (self.numbas, open_cache(self._kernel, _Kept)):
            if one is not None and (found := one.load_overload(sig, target_context)):
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled in numba's cache, where there is one."""
        if self.numbas is not None:
            self.numbas.save_overload(sig, data)


def load(folder: Path, kernel: Kernel, sig: Any, target: Any) -> Any:
    """Load a kernel for a list of types, or give None: it is not there, or damaged."""
    try:
        content = _name(folder, kernel, sig, target).read_bytes()
    except OSError:  # of the sources too: there may be bytecode alone
        return None
    digest, made = content[:DIGEST], content[DIGEST:]
    if hashlib.sha256(made).digest() != digest:
        return None
    return CompileResult._rebuild(target, *pickle.loads(made))  # type: ignore[no-untyped-call]


def keep_compiled(folder: Path) -> None:
    """Write all that this process has compiled, a file for a kernel and a list of types."""
    modules = [
        module for name, module in sys.modules.items() if name.startswith(("fastspline", "coded"))
    ]
    kernels = {id(one): one for module in modules for one in vars(module).values()}
    for kernel in kernels.values():
        if isinstance(getattr(kernel, "_cache", None), Caches):
            for sig, made in kernel.overloads.items():
                if made.library.has_dynamic_globals:  # addresses of this process
                    continue
                content = dumps(made._reduce())  # type: ignore[no-untyped-call]
                path = _name(folder, kernel.py_func, sig, made.target_context)
                path.write_bytes(hashlib.sha256(content).digest() + content)


def _name(folder: Path, kernel: Kernel, sig: Any, target: Any) -> Path:
    """Name a kernel's file by all that its machine code depends on."""
    code = kernel.__code__
    what = (
        [one.__version__ for one in (numba, llvmlite, np)],
        (sys.implementation.cache_tag, getattr(sys, "abiflags", "")),
        target.codegen().magic_tuple(),  # the CPU
        getattr(config, "USING_SVML", False),
        _hash_sources(Path(code.co_filename)),
        (code.co_firstlineno, str(sig)),
    )
    digest = hashlib.sha256(repr(what).encode()).hexdigest()
    return folder / f"{kernel.__module__}.{kernel.__qualname__}-{digest[:DIGEST]}.bin"


def _list_sources(file: Path) -> list[Path]:
    """List what kernels of a file are made of, those inlined too, and the compiler's options."""
    return [file, PACKAGE / "jit.py", *sorted((PACKAGE / "_kernels").glob("*.py"))]


def _look_at(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:  # in an archive: numba knows
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _are_as_imported(kernel: Kernel) -> bool:
    """Tell whether sources are as this process found them: no edit or update came in between."""
    sources = _list_sources(Path(kernel.__code__.co_filename))
    return all(file in _IMPORTED and _look_at(file) == _IMPORTED[file] for file in sources)


_IMPORTED = {file: _look_at(file) for file in _list_sources(PACKAGE / "jit.py")}


@cache
def _hash_sources(file: Path) -> str:
    digest = hashlib.sha256()
    for path in _list_sources(file):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()
