"""A scheme as a code of one operand, the inputs: K of them in, K outputs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coded.runtime.answers import coarsest, read_answer, read_finite, refuse_nest
from coded.runtime.nested_arrays import Kind, Layout, Rows, pack, together
from coded.runtime.order import spread
from coded.runtime.result import Indices
from coded.schemes.protocol import (
    ErrorEstimating,
    Function,
    Scheme,
    number_reader,
    require_scheme,
    worker_functions,
)
from fastspline.arrays import FloatArray

_Answer = tuple[FloatArray, Layout]


class SchemeCode:
    """Any scheme as a `Code`: it is bound to the inputs of each call and encodes them.

    Raises TypeError if `scheme` is none.
    """

    def __init__(self, scheme: Scheme) -> None:
        require_scheme(scheme)
        self.scheme = scheme
        self.n_workers = scheme.n_workers
        self.min_responders = scheme.min_responders

    def __repr__(self) -> str:
        """Give the scheme's own line."""
        return repr(self.scheme)

    def prepare(self, inputs: Any) -> SchemeJob:
        """Bind and encode K inputs, arrays or nests of them."""
        scheme = self.scheme
        array, layout = pack(inputs, "inputs", partial(read_finite, number_reader(scheme)))
        if array.ndim == 0 or len(array) != scheme.n_inputs or array.size == 0:
            raise ValueError(
                f"inputs has shape {array.shape}, but {scheme!r} needs {scheme.n_inputs} of them, "
                "not empty, along axis 0; stack the inputs, or make a scheme with that n_inputs"
            )
        if layout.form is not None and not getattr(scheme, "_takes_nests", True):
            refuse_nest(inputs)
        bound = scheme.bind(layout.unpack(array) if layout.form is None else array)
        coded_inputs = bound.encode(array)
        job = SchemeJob(bound, Rows(coded_inputs, layout), spread(array, coded_inputs))
        if isinstance(bound, ErrorEstimating):
            job.decode_with_std = partial(_decode_with_std, bound)
        if hasattr(bound, "find_liars"):
            job.liars = partial(_liars, bound)
        return job


class SchemeJob:
    """One call of a bound scheme; it orders tasks and reads answers too.

    It has `decode_with_std` and `liars` where the scheme tells errors, and who lies.
    """

    decode_with_std: Callable[..., Any]
    liars: Callable[..., Sequence[int]]

    def __init__(self, scheme: Scheme, payloads: Rows, order: Sequence[int]) -> None:
        self._scheme = scheme
        self._numbers = number_reader(scheme)
        self._functions: Sequence[Function] | None = None
        self._takes_dtype = "dtype" in signature(scheme.can_decode).parameters
        self._dtypes: set[np.dtype[Any]] = set()  # of the answers read
        self.payloads = payloads
        self.order = order
        self.min_responders = scheme.min_responders
        self.exact_first = getattr(scheme, "exact_first", False)

    def function(self, worker: int, fn: Function) -> Function:
        """Give f, unless the scheme has this worker evaluate another function."""
        if self._functions is None:  # once, for a scheme may make new ones whenever it is asked
            self._functions = worker_functions(self._scheme, fn)
        return self._functions[worker]

    def read(self, worker: int, answer: Any) -> tuple[Kind | str, _Answer]:  # noqa: ARG002 (as of the protocol)
        """Give an answer as an array of the scheme's numbers; alike are those of one shape."""
        array, layout = read_answer(answer, self._numbers)
        self._dtypes.update(restore.dtype for restore in layout.restores)
        is_number = array.dtype.kind in "biufc"  # text does not mix with numbers
        return layout.kind if is_number else f"{layout.kind} of objects", (array, layout)

    def can_decode(self, responders: Indices) -> bool:
        """Ask the scheme; where it matters, for the coarsest dtype of the answers so far."""
        if self._takes_dtype and self._dtypes:
            return self._scheme.can_decode(responders, dtype=coarsest(self._dtypes))  # type: ignore[call-arg]
        return self._scheme.can_decode(responders)

    def decode(self, answers: Sequence[_Answer], responders: Indices) -> Any:
        """Give the K outputs, in kind and nesting of the first answer and the dtype of all."""
        array, layout = together(answers)
        return layout.unpack(self._scheme.decode(array, responders))

    def exact_mask(self, responders: Indices) -> NDArray[np.bool_]:
        """Ask the scheme."""
        return self._scheme.exact_mask(responders)

    def own_outputs(self, worker: int, answer: _Answer) -> Iterator[tuple[int, Any]]:
        """Give the outputs that an answer is by itself, each with its index."""
        if self.exact_first:  # others combine answers
            for k in np.flatnonzero(self.exact_mask(np.array([worker]))):
                yield int(k), answer[1].unpack(answer[0], lead=0)

    def __repr__(self) -> str:
        """Give the bound scheme's own line."""
        return repr(self._scheme)


def _decode_with_std(
    scheme: ErrorEstimating, answers: Sequence[_Answer], responders: Indices
) -> tuple[Any, NDArray[np.float64]]:
    """Give the outputs, and the errors that the scheme expects."""
    array, layout = together(answers)
    outputs, std = scheme.decode_with_std(array, responders)
    return layout.unpack(outputs), std


def _liars(scheme: Any, answers: Sequence[_Answer], responders: Indices) -> Sequence[int]:
    """Give the workers whose answers contradict all others."""
    return tuple(scheme.find_liars(together(answers)[0], responders))
