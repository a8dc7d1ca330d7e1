"""What a code for a product, or for a sum, gives when workers are missing, without any workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coded.schemes.job import Code
from fastspline.arrays import FloatArray, Restore, read_array


class WholeCode(Code, Protocol):
    """A code that gives its result without workers, too."""

    def whole(self, fn: Callable[..., Any], *operands: Any) -> Any:
        """Give what is decoded, from `fn` itself."""


def run_job(
    fn: Callable[..., Any],
    operands: tuple[Any, ...],
    code: WholeCode,
    responders: Sequence[NDArray[np.intp]],
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], Restore]:
    """Run every task once, and decode from what each set of responders answers.

    Returns
    -------
    outputs : ndarray, shape (sets, ...)
    reference : ndarray
        The result without workers.
    exact : ndarray of bool, shape (sets,)
    restore : callable
        The way back to the kind of the result.
    """
    job = code.prepare(*operands)
    answers = [job.function(n, fn)(*payload) for n, payload in enumerate(job.payloads)]
    read = getattr(job, "read", lambda _, answer: ((), answer))
    answers = [read(n, answer)[1] for n, answer in enumerate(answers)]
    decoded = [job.decode([answers[n] for n in who], who) for who in responders]
    outputs = np.stack([read_array(one, "outputs")[0] for one in decoded])
    reference, restore = read_array(code.whole(fn, *operands), "fn(operands)")
    exact = np.array([bool(np.all(job.exact_mask(who))) for who in responders])
    return outputs, reference, exact, restore
