"""What a code must offer (`Scheme`), and the errors when answers are too few or contradictory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastspline.arrays import FloatArray, Restore, read_array

Function: TypeAlias = Callable[..., ArrayLike]
Responders: TypeAlias = tuple[int, ...]
Numbers: TypeAlias = Literal["real", "complex", "integer"]


class NotEnoughRespondersError(ValueError):
    """Too few workers answered, or too many failed, for the scheme to decode.

    Parameters
    ----------
    message : str
        Who answered, what the scheme needs, what to do.
    responders : sequence of int
        Workers whose answers there were.
    failures : mapping of int to (Exception or str)
        Why each worker that failed did so, where that is known.

    Examples
    --------
    >>> error = NotEnoughRespondersError("1 of 3 workers answered", responders=[2])
    >>> error.responders, error.failures
    ((2,), {})
    """

    responders: Responders
    failures: dict[int, BaseException | str]

    def __init__(
        self,
        message: str,
        *,
        responders: ArrayLike = (),
        failures: Mapping[int, BaseException | str] | None = None,
    ) -> None:
        super().__init__(message)
        self.responders = tuple(int(worker) for worker in np.asarray(responders).tolist())
        self.failures = dict(failures or {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle message and attributes (keyword-only arguments need it)."""
        return type(self), self.args, self.__dict__


class InconsistentAnswersError(ValueError):
    """The answers contradict the code's model of f, or each other, beyond rounding.

    Parameters
    ----------
    message : str
        By how much, why that may be, what to do.
    residual : float
        By how much the code's model misses the answers, in parts of their own size: the largest
        over the columns, each by its own.
    suspects : sequence of int
        Workers one of which may be wrong, if that can be told.

    Examples
    --------
    >>> error = InconsistentAnswersError("answers disagree", residual=0.25, suspects=[3, 5])
    >>> error.residual, error.suspects
    (0.25, (3, 5))
    """

    residual: float
    suspects: Responders

    def __init__(self, message: str, *, residual: float = 0.0, suspects: ArrayLike = ()) -> None:
        super().__init__(message)
        self.residual = float(residual)
        self.suspects = tuple(int(worker) for worker in np.asarray(suspects).tolist())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle message and attributes (keyword-only arguments need it)."""
        return type(self), self.args, self.__dict__


@runtime_checkable
class Scheme(Protocol):
    """A code: K inputs become N coded inputs, any answers that suffice become K outputs.

    Schemes are immutable and picklable. The four arrays are, in this order,
    ``inputs (K, ...)``, ``coded_inputs (N, ...)``, ``coded_outputs (R, ...)`` and
    ``outputs (K, ...)``; only axis 0 is touched. `responders` are strictly ascending
    indices of the R workers whose answers `coded_outputs` holds. With an attribute
    ``exact_first`` that is True, calls wait for exact answers where they are not told what to
    wait for; only where `exact_mask` names outputs that are the answers of single workers.
    """

    @property
    def n_inputs(self) -> int:
        """K, the number of inputs and of outputs."""

    @property
    def n_workers(self) -> int:
        """N, the number of coded inputs."""

    @property
    def min_responders(self) -> int:
        """An exact code's recovery threshold; N - n_stragglers of an approximate one."""

    def bind(self, inputs: ArrayLike) -> Scheme:
        """Fix what depends on the data; a scheme that needs nothing of the kind returns itself."""

    def encode(self, inputs: ArrayLike) -> FloatArray:
        """Turn K inputs into N coded inputs."""

    def can_decode(self, responders: ArrayLike) -> bool:
        """Tell whether `decode` is defined for these responders."""

    def decode(self, coded_outputs: ArrayLike, responders: ArrayLike) -> FloatArray:
        """Give the outputs of all K inputs from the answers of R workers."""

    def exact_mask(self, responders: ArrayLike) -> NDArray[np.bool_]:
        """Tell which of the K outputs are exact answers, not estimates."""


@runtime_checkable
class ErrorEstimating(Protocol):
    """A scheme, or a job, that can tell how large the errors of its outputs are."""

    def decode_with_std(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Give the outputs and, shape (K,), the standard deviation of each one's error.

        That is the root mean square of ``||output_k - f(x_k)||_2`` that is to be expected, 0
        where the output is an exact answer.
        """


@runtime_checkable
class ReadingNumbers(Protocol):
    """A scheme that says which numbers its inputs and answers are made of."""

    def read_numbers(self, values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
        """Give `values` as a numpy array of these numbers, and the way back to their kind.

        Raises TypeError for other kinds of numbers, ValueError for values out of range; both
        begin with `name`.
        """


@runtime_checkable
class AssigningFunctions(Protocol):
    """A scheme whose workers do not all evaluate f."""

    def worker_functions(self, fn: Function) -> Sequence[Function]:
        """Give what each of the N workers evaluates; `fn` is f."""


def number_reader(scheme: Scheme) -> Callable[[ArrayLike, str], tuple[FloatArray, Restore]]:
    """Give what reads the numbers that the scheme codes, real ones unless it says otherwise."""
    return scheme.read_numbers if isinstance(scheme, ReadingNumbers) else read_array


def read_numbers(scheme: Scheme, values: ArrayLike, name: str) -> tuple[FloatArray, Restore]:
    """Read `values` as the numbers that the scheme codes."""
    return number_reader(scheme)(values, name)


def worker_functions(scheme: Scheme, fn: Function) -> Sequence[Function]:
    """Give what each of the N workers evaluates, f unless the scheme says otherwise."""
    if isinstance(scheme, AssigningFunctions):
        return scheme.worker_functions(fn)
    return [fn] * scheme.n_workers


def exact_of(mask: NDArray[np.bool_], std: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Give the outputs of `mask`, exact answers, but for those that are means: they have a std."""
    return mask if std is None else mask & (std == 0.0)


def require_scheme(scheme: object) -> None:
    """Raise TypeError unless `scheme` is a Scheme; a class of schemes is none."""
    if isinstance(scheme, type) or not isinstance(scheme, Scheme):
        raise TypeError(
            f"scheme must be a coded Scheme, got {scheme!r:.60}; make one "
            "and pass it, not its class: SplineScheme(n_inputs, n_workers), or .scheme of what "
            "recommend gives"
        )
