"""A torch model kept in the worker process: sent once, called as a plain function of arrays."""

from __future__ import annotations

import os
import pickle
import socket
import tempfile
import threading
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.counts import read_count

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError(
        'TorchWorker needs torch, which is not installed; pip install "fastspline[torch]"'
    ) from error

_KEPT_MODELS = 8  # models kept per process; the one that was used longest ago goes first
_LOAD_LOCK = threading.Lock()


class TorchWorker:
    """A torch model as a function of arrays that is cheap to send to worker processes.

    What is pickled is small: the model itself is written once into a temporary file, and each
    process that calls the worker loads it from there once and keeps it. The file lives as long as
    this object, so keep it while tasks are under way. Processes on other machines cannot read the
    file: give them a function that builds the model.

    The model is a snapshot, put in eval mode (Dropout off, BatchNorm with its running statistics)
    and called under `torch.inference_mode`, so backward through its answers is not possible.
    Training `model` further changes nothing here, and `model` itself is never touched. One worker
    serves many threads. In processes other than the one that made it, loading sets the number of
    torch's CPU threads, for the whole process; in its own process, where that is the program's
    business, it does not.

    Parameters
    ----------
    model : torch.nn.Module or callable
        A module, or a function without arguments that gives one; both must be importable in
        the workers, that is defined in a module and not in ``__main__``.
    batched : bool, optional
        False: the worker takes one input without batch axis and gives one answer without it.
        True: both have the batch axis, as the model's own.
    threads : int, optional
        CPU threads of torch in each worker process, at least 1.

    Raises
    ------
    ImportError
        If torch is not installed.
    TypeError
        If `model` is neither, or is a module that does not pickle, or another argument is of the
        wrong kind.
    ValueError
        If `threads` is less than 1.
    OSError
        If the temporary file cannot be written.

    Examples
    --------
    >>> worker = TorchWorker(torch.nn.ReLU())
    >>> worker(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def __init__(
        self,
        model: torch.nn.Module | Callable[[], torch.nn.Module],
        *,
        batched: bool = False,
        threads: SupportsIndex = 1,
    ) -> None:
        if not callable(model):
            raise TypeError(
                f"model must be a torch.nn.Module or a function that gives one, got {model!r}"
            )
        if not isinstance(batched, bool):
            raise TypeError(f"batched must be True or False, got {batched!r}")
        threads = read_count(threads, "threads", at_least=1)
        self._name = type(model).__name__
        self._batched = batched
        path, build = None, None
        if isinstance(model, torch.nn.Module):
            path = _write(model)
            weakref.finalize(self, _remove, path, os.getpid())
        else:
            self._name, build = getattr(model, "__name__", self._name), model
        self._source = _Source(uuid.uuid4().hex, path, build, threads, _this_process())

    def __repr__(self) -> str:
        """One line with the model's name."""
        return f"TorchWorker({self._name}, batched={self._batched}, threads={self._source.threads})"

    def load(self) -> None:
        """Load the model into this process now, for example as an `initializer` of workers.

        Raises
        ------
        FileNotFoundError
            If the model's file is gone or on another machine.
        TypeError
            If the function that builds the model gives something else.
        """
        _load(self._source)

    def __call__(
        self, coded_input: ArrayLike | torch.Tensor
    ) -> NDArray[np.floating] | torch.Tensor:
        """Apply the model.

        Parameters
        ----------
        coded_input : array_like or Tensor
            One input without batch axis, with `batched` a stack of them. Real numbers, integers
            and booleans too, are cast to the dtype of the model's parameters; where it has none,
            integers and booleans become float64. Arrays of the model's dtype are not copied if
            they are native, writeable and C-contiguous.

        Returns
        -------
        ndarray or Tensor, like `coded_input`
            The model's answer, without batch axis or, with `batched`, with it.

        Raises
        ------
        FileNotFoundError
            If the model's file is gone or on another machine.
        TypeError
            If `coded_input` holds no real numbers (complex, strings, objects) or is ragged, if
            the model gives no tensor, but for example a tuple, or if the function that builds
            it gives no model.
        ValueError
            If `coded_input` has no batch axis though `batched`, or the model's answer has not
            the batch axis of its input.
        Exception
            Whatever the model raises, a RuntimeError for a shape that it does not take.
        """
        loaded = _load(self._source)
        given = coded_input if isinstance(coded_input, torch.Tensor) else _to_tensor(coded_input)
        if given.is_complex():
            raise _not_real(f"dtype {given.dtype}")
        if self._batched and given.ndim == 0:
            raise ValueError(
                "coded_input must have a batch axis, got a single number; pass a stack of inputs, "
                "or make the TorchWorker with batched=False"
            )
        dtype = loaded.dtype
        if dtype is None and not given.is_floating_point():
            dtype = torch.float64
        tensor = given.to(loaded.device, dtype)
        batch = tensor if self._batched else tensor[None]
        with torch.inference_mode():
            answer = loaded.model(batch)
        if not isinstance(answer, torch.Tensor):
            raise TypeError(
                f"the model {self._name} must give one tensor, but gave a {type(answer).__name__}; "
                "wrap it in a module that returns the tensor wanted"
            )
        if answer.ndim == 0 or len(answer) != len(batch):
            raise ValueError(
                f"the model {self._name} gave shape {tuple(answer.shape)} for a batch of "
                f"{len(batch)}; axis 0 must be the batch axis, in and out"
            )
        if not self._batched:
            answer = answer[0]
        return answer.to(given.device) if given is coded_input else _to_array(answer)


@dataclass(frozen=True)
class _Source:
    """Where a model comes from, known by its key; all that is pickled of it."""

    key: str
    path: Path | None = field(compare=False)
    build: Callable[[], torch.nn.Module] | None = field(compare=False)
    threads: int = field(compare=False)
    home: tuple[str, int] = field(compare=False)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A model in eval mode, and what it computes on and in."""

    model: torch.nn.Module
    device: torch.device | None
    dtype: torch.dtype | None


def _load(source: _Source) -> _Loaded:
    """Give the model of `source`, loaded once per process, whichever of its threads comes first."""
    with _LOAD_LOCK:
        return _load_once(source)


@lru_cache(maxsize=_KEPT_MODELS)
def _load_once(source: _Source) -> _Loaded:
    if source.home != _this_process():
        torch.set_num_threads(source.threads)
    model = _read(source.path) if source.build is None else source.build()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module or a function that gives one, but the function gave "
            f"{model!r}"
        )
    model.eval()
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is None:
        return _Loaded(model, None, None)
    return _Loaded(model, parameter.device, parameter.dtype)


def _write(model: torch.nn.Module) -> Path:
    """Write a model to a temporary file that only this user can read."""
    descriptor, name = tempfile.mkstemp(prefix="coded-", suffix=".pt")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            torch.save(model, file)
    except BaseException as error:
        path.unlink()
        if isinstance(error, pickle.PicklingError | AttributeError | TypeError):
            raise TypeError(
                f"model {type(model).__name__} does not pickle ({error}); define its parts in a "
                "module, or pass a function that builds it"
            ) from error
        raise
    return path


def _read(path: Path | None) -> object:
    assert path is not None  # a source has a path or a function
    try:
        return torch.load(path, weights_only=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the model's file {path} is gone or on another machine; keep the TorchWorker that "
            "wrote it, or pass it a function that builds the model"
        ) from error


def _remove(path: Path, owner: int) -> None:
    """Remove the file, unless this is a fork of the process that wrote it."""
    if os.getpid() == owner:
        path.unlink(missing_ok=True)


def _this_process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _to_tensor(values: ArrayLike) -> torch.Tensor:
    """Give a tensor on the memory of an array, where torch can share it."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise _not_real(f"a ragged {type(values).__name__}") from error
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:  # torch knows no longdouble
        raise _not_real(f"dtype {array.dtype}")
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "A", "W"]))


def _not_real(given: str) -> TypeError:
    """Make the error for an input that no model computes on."""
    return TypeError(
        f"coded_input must be an array or tensor of real numbers, got {given}; convert it first, "
        "for example with .astype(float)"
    )


def _to_array(answer: torch.Tensor) -> NDArray[np.floating]:
    """Give an array on the memory of a tensor; numpy knows no bfloat16."""
    answer = answer.float() if answer.dtype == torch.bfloat16 else answer
    array: NDArray[np.floating] = answer.cpu().numpy()
    return array
