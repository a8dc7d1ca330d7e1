"""What a runtime needs of one call (`Job`), and of the code that prepares it (`Code`)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coded.schemes.protocol import Function


class Job(Protocol):
    """One call: what each of N workers runs on what, and how answers are put together.

    It has its operands already and is used once. `responders` are strictly ascending indices of
    workers. Answers that are no arrays of finite real numbers, or not of the shape that most
    have, are failures of their workers, unless the job is `ReadingAnswers`; it may be
    `OrderingTasks`, `GivingOutputs`, `FindingLiars` and `ErrorEstimating` too. With
    ``exact_first`` True a call waits for exact answers where the caller does not say; with
    ``need(responders)``, a str, errors say what these lack.
    """

    @property
    def payloads(self) -> Sequence[tuple[Any, ...]]:
        """The positional arguments of each worker's function, N of them; lengths may differ."""

    @property
    def min_responders(self) -> int:
        """How many answers are waited for where the caller does not say."""

    def function(self, worker: int, fn: Function) -> Function:
        """Give what a worker runs on its payload; `fn` is what the caller gave.

        One that has ``submit_to(executor, payload)`` is submitted by that: `Placed.function`.
        """

    def can_decode(self, responders: NDArray[np.intp]) -> bool:
        """Tell whether `decode` is defined for the answers of these, at least one."""

    def decode(self, answers: Sequence[Any], responders: NDArray[np.intp]) -> Any:
        """Put together the answers of these workers, as they came or as `read` gave them."""

    def exact_mask(self, responders: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which outputs along axis 0, or whether the one output, are exact answers."""


class Code(Protocol):
    """A family of codes: who suffices is known before the data, all else once it is prepared."""

    @property
    def n_workers(self) -> int:
        """N, the number of tasks of a call."""

    @property
    def min_responders(self) -> int:
        """How many answers are waited for where the caller does not say."""

    def prepare(self, *operands: Any) -> Job:
        """Check and encode the operands of one call.

        Raises TypeError or ValueError for operands that cannot be coded.
        """


class ResidentCode(Code, Protocol):
    """A code one of whose operands may stay with the workers from call to call."""

    def place(self, operand: Any) -> Any:
        """Encode an operand for N workers once; `prepare` takes what this gives in its place."""


class ReadingAnswers(Protocol):
    """A job that says what an answer must be, and which answers can be decoded together."""

    def read(self, worker: int, answer: Any) -> tuple[Hashable, Any]:
        """Give what alike answers have in common, which prints as a shape, and what `decode` gets.

        Raises whatever it likes for an answer that is none: its worker has failed then.
        """


class FindingLiars(Protocol):
    """A job that tells who answered wrongly, as far as spare answers show it."""

    def liars(self, answers: Sequence[Any], responders: NDArray[np.intp]) -> Sequence[int]:
        """Give the workers among these whose answers contradict all others, ascending.

        Raises InconsistentAnswersError where answers are contradictory and that is not to be told.
        """


class OrderingTasks(Protocol):
    """A job whose first tasks tell most if they are submitted in a certain order."""

    @property
    def order(self) -> Sequence[int]:
        """The workers, in the order in which a shared pool should come to their tasks."""


class GivingOutputs(Protocol):
    """A job some of whose answers are outputs by themselves."""

    def own_outputs(self, worker: int, answer: Any) -> Iterable[tuple[int, Any]]:
        """Give the outputs that an answer, as `read` gave it, is by itself, with their indices."""
