"""A torch model kept in the worker process: sent once, called as a plain function of arrays."""

from __future__ import annotations

import io
import os
import pickle
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from typing import IO, Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.arguments import read_count
from coded.extras import needing
from coded.workers.model_files import ModelFile

with needing("TorchWorker needs", "torch", extra="torch"):
    import torch

Nest: TypeAlias = Any  # an array or tensor, or nested tuples and dicts of them

_KEPT_MODELS = 8  # models kept per process; the one that was used longest ago goes first
_LOAD_LOCK = threading.Lock()
_BATCH_NORMS = (
    torch.nn.BatchNorm1d,
    torch.nn.BatchNorm2d,
    torch.nn.BatchNorm3d,
    torch.nn.SyncBatchNorm,
)


class TorchWorker:
    """A torch model as a function of arrays that is cheap to send to worker processes.

    What is pickled is small: the model itself is written once into a file, and each process that
    calls the worker loads it from there once and keeps it. The file lives as long as this object,
    so keep it while tasks are under way. Processes on other machines cannot read the file: give
    them a function that builds the model.

    To load a model is to execute what its file says. So the file lies in a folder of the temporary
    folder that only this user can enter, and processes load it only if it is this user's (on
    POSIX) and has the SHA-256 of what was written. It goes with this object and, at the latest,
    with this process; what a process that was killed leaves goes when a model is next written by
    this user on this machine (on Windows it stays).

    The model is a snapshot, called under `torch.inference_mode`, so backward through its answers
    is not possible. Training `model` further changes nothing here, and `model` itself is never
    touched. One worker serves many threads. In processes other than the one that made it, loading
    sets the number of torch's CPU threads, for the whole process; in its own process, where that
    is the program's business, it does not.

    A code needs a function: equal inputs, equal answers, whatever else is in the batch. So the
    model is put in eval mode, Dropout off and BatchNorm with its running statistics. A BatchNorm
    that keeps none is refused, and so is a model of which some module does not stay in eval mode.
    What no module tells cannot be seen: functions with ``training=True``, and modules that are
    held in plain lists.

    The model computes where its parameters lie. One on a GPU goes to the workers' GPU of the same
    number, and to the CPU of workers that have no GPU; for another choice, pass a function that
    builds the model on the device wanted.

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
        If `threads` is less than 1, or the module has a BatchNorm without running statistics.
    OSError
        If the model's file cannot be written.

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
        origin: ModelFile | Callable[[], torch.nn.Module]
        if isinstance(model, torch.nn.Module):
            _require_statistics(model)
            origin = ModelFile.write(lambda file: _save(model, file), owner=self)
        else:
            self._name, origin = getattr(model, "__name__", self._name), model
        self._source = _Source(uuid.uuid4().hex, origin, threads, _this_process())

    def __repr__(self) -> str:
        """One line with the model's name."""
        return f"TorchWorker({self._name}, batched={self._batched}, threads={self._source.threads})"

    def load(self) -> None:
        """Load the model into this process now, for example as an `initializer` of workers.

        Raises
        ------
        FileNotFoundError
            If the model's file is gone or on another machine.
        PermissionError
            If what lies in its place is not this user's regular file, or has another content
            than was written.
        TypeError
            If the function that builds the model gives something else.
        ValueError
            If the model does not go into eval mode, or that of a function has a BatchNorm
            without running statistics.
        """
        _load(self._source)

    def __call__(self, coded_input: Nest) -> Nest:
        """Apply the model.

        Parameters
        ----------
        coded_input : array_like or Tensor, or tuples and dicts of them
            One input without batch axis, with `batched` a stack of them. A tuple is the model's
            positional arguments, a dict its keyword arguments. Real numbers, integers and
            booleans too, are cast to the dtype of the model's parameters; where it has none,
            half precision becomes float32, integers and booleans float64. Arrays of the model's
            dtype are not copied if they are native, writeable and C-contiguous.

        Returns
        -------
        ndarray or Tensor, like `coded_input`, or tuples and dicts of them
            The model's answer, without batch axis or, with `batched`, with it. Lists come back
            as tuples, dataclasses and other mappings (as `ModelOutput` of transformers) as
            dicts; entries that are None are left out of those. Tensors if `coded_input` holds
            one.

        Raises
        ------
        FileNotFoundError
            If the model's file is gone or on another machine.
        PermissionError
            If what lies in its place is not this user's regular file, or has another content
            than was written.
        TypeError
            If `coded_input` holds no real numbers (complex, strings, objects) or is ragged, if
            the model's answer holds something else than tensors, or if the function that builds
            it gives no model.
        ValueError
            If `coded_input` has no batch axis though `batched`, the model's answer has not
            the batch axis of its input, or the model is not in eval mode.
        Exception
            Whatever the model raises, a RuntimeError for a shape that it does not take.
        """
        loaded = _load(self._source)
        given: list[torch.Tensor] = []
        taken = _map_nest(coded_input, lambda leaf: self._take(leaf, loaded, given))
        first = next(_leaves(taken), None)
        if first is None:
            raise ValueError(f"coded_input holds no array, got {coded_input!r}; pass one")
        with torch.inference_mode():
            if isinstance(taken, tuple):
                answer = loaded.model(*taken)
            elif isinstance(taken, dict):
                answer = loaded.model(**taken)
            else:
                answer = loaded.model(taken)
        self._require_eval(loaded)
        size = len(first)
        device = given[0].device if given else None
        return _map_answer(answer, lambda leaf, place: self._give(leaf, place, size, device))

    def _take(self, leaf: Any, loaded: _Loaded, given: list[torch.Tensor]) -> torch.Tensor:
        """Give one array of the input as the model takes it; note tensors in `given`."""
        is_tensor = isinstance(leaf, torch.Tensor)
        tensor: torch.Tensor = leaf if is_tensor else _to_tensor(leaf)
        if is_tensor:
            given.append(tensor)
        if tensor.is_complex():
            raise _not_real(f"dtype {tensor.dtype}")
        if self._batched and tensor.ndim == 0:
            raise ValueError(
                "coded_input must have a batch axis, got a single number; pass a stack of inputs, "
                "or make the TorchWorker with batched=False"
            )
        dtype = loaded.dtype
        if dtype is None and not tensor.is_floating_point():
            dtype = torch.float64
        if dtype is None and tensor.dtype.itemsize < 4:
            dtype = torch.float32
        tensor = tensor.to(loaded.device, dtype)
        return tensor if self._batched else tensor[None]

    def _give(
        self, leaf: object, place: str, size: int, device: torch.device | None
    ) -> NDArray[Any] | torch.Tensor:
        """Give one tensor of the answer as the caller gets it, an array if `device` is None."""
        if not isinstance(leaf, torch.Tensor):
            raise TypeError(
                f"the model {self._name} must give tensors, or tuples and dicts of them, but gave "
                f"a {type(leaf).__name__}{place and f' at {place}'}; wrap it in a module that "
                "returns the tensors wanted"
            )
        if leaf.ndim == 0 or len(leaf) != size:
            raise ValueError(
                f"the model {self._name} gave shape {tuple(leaf.shape)}{place and f' at {place}'} "
                f"for a batch of {size}; axis 0 must be the batch axis, in and out"
            )
        answer = leaf if self._batched else leaf[0]
        return _to_array(answer) if device is None else _compact(answer.to(device))

    def _require_eval(self, loaded: _Loaded) -> None:
        """Raise ValueError if a module has been switched to training, and switch it back."""
        changed = [module for module in loaded.modules if module.training]
        if not changed:
            return
        loaded.model.eval()
        raise ValueError(
            f"the forward of model {self._name} switched {_tell(loaded.model, changed)} to "
            "training, so that equal inputs have no equal answers; leave the mode alone in forward"
        )


@dataclass(frozen=True)
class _Source:
    """Where a model comes from, known by its key; all that is pickled of it."""

    key: str
    origin: ModelFile | Callable[[], torch.nn.Module] = field(compare=False)
    threads: int = field(compare=False)
    home: tuple[str, int] = field(compare=False)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A model in eval mode, and what it computes on and in."""

    model: torch.nn.Module
    modules: tuple[torch.nn.Module, ...]
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
    origin = source.origin
    model = _read(origin) if isinstance(origin, ModelFile) else origin()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module or a function that gives one, but the function gave "
            f"{model!r}"
        )
    _require_statistics(model)
    model.eval()
    modules = tuple(model.modules())
    training = [module for module in modules if module.training]
    if training:
        raise ValueError(
            f"eval() of model {type(model).__name__} leaves {_tell(model, training)} in training, "
            "so that equal inputs have no equal answers; let train(mode) reach all its modules"
        )
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is None:
        return _Loaded(model, modules, None, None)
    return _Loaded(model, modules, parameter.device, parameter.dtype)


def _require_statistics(model: torch.nn.Module) -> None:
    """Raise ValueError if a BatchNorm takes its statistics from the batch even in eval mode."""
    without = [
        module
        for module in model.modules()
        if isinstance(module, _BATCH_NORMS) and module.running_mean is None
    ]
    if without:
        raise ValueError(
            f"model {type(model).__name__} has no running statistics in {_tell(model, without)}, "
            "so that an answer depends on the others in its batch; train it with "
            "track_running_stats=True, or take GroupNorm or InstanceNorm"
        )


def _tell(model: torch.nn.Module, modules: Sequence[torch.nn.Module]) -> str:
    """Name the first of some modules, and say how many more there are."""
    names = {module: name for name, module in model.named_modules()}
    first = f"{type(modules[0]).__name__} {names[modules[0]]!r}"
    return first if len(modules) == 1 else f"{first} and {len(modules) - 1} more modules"


def _save(model: torch.nn.Module, file: IO[bytes]) -> None:
    try:
        torch.save(model, file)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"model {type(model).__name__} does not pickle ({error}); define its parts in a "
            "module, or pass a function that builds it"
        ) from error


def _read(file: ModelFile) -> object:
    where = None if torch.cuda.is_available() else "cpu"
    return torch.load(io.BytesIO(file.read()), map_location=where, weights_only=False)


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


def _to_array(answer: torch.Tensor) -> NDArray[Any]:
    """Give an array on the memory of a tensor; numpy knows no bfloat16."""
    answer = answer.float() if answer.dtype == torch.bfloat16 else answer
    array: NDArray[Any] = answer.cpu().resolve_conj().resolve_neg().numpy()
    return array


def _compact(answer: torch.Tensor) -> torch.Tensor:
    """Give the tensor without the larger one that it is a part of, which would pickle with it."""
    is_part = answer.untyped_storage().nbytes() > answer.numel() * answer.element_size()
    return answer.clone() if is_part else answer


def _map_nest(nest: Nest, fn: Callable[[Any], torch.Tensor]) -> Nest:
    """Apply a function to each array in nested tuples and dicts."""
    if isinstance(nest, dict):
        return {key: _map_nest(value, fn) for key, value in nest.items()}
    if isinstance(nest, tuple):
        return _rebuilt(nest, [_map_nest(value, fn) for value in nest])
    return fn(nest)


def _map_answer(answer: Any, fn: Callable[[object, str], Nest], place: str = "") -> Nest:
    """Apply a function to each tensor, and its place, in whatever holds them; see the worker."""
    if is_dataclass(answer) and not isinstance(answer, dict | type):
        answer = {one.name: getattr(answer, one.name) for one in fields(answer)}
    if isinstance(answer, Mapping):
        held = {key: value for key, value in answer.items() if value is not None}
        return {key: _map_answer(value, fn, f"{place}[{key!r}]") for key, value in held.items()}
    if isinstance(answer, tuple | list):
        values = [_map_answer(value, fn, f"{place}[{i}]") for i, value in enumerate(answer)]
        return _rebuilt(answer, values)
    return fn(answer, place)


def _rebuilt(like: Any, values: list[Nest]) -> tuple[Nest, ...]:
    """Give a tuple, named as `like` is."""
    named: tuple[Nest, ...] = type(like)(*values) if hasattr(like, "_fields") else tuple(values)
    return named


def _leaves(nest: Nest) -> Iterator[torch.Tensor]:
    """Give the tensors in nested tuples and dicts."""
    if isinstance(nest, tuple | dict):
        for value in nest.values() if isinstance(nest, dict) else nest:
            yield from _leaves(value)
    else:
        yield nest
