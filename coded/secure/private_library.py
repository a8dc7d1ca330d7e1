"""A product by one of many matrices that all workers have, and none learns by which."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.prime_field import (
    LARGEST_PRIME,
    IntArray,
    product,
    solve,
    vandermonde,
)
from coded.algebra.reed_solomon import check_matrix, locate_wrong_rows
from coded.arguments import read_count
from coded.products.blocks import in_blocks
from coded.products.residues import read_residues
from coded.runtime.goal import IsEnough
from coded.runtime.request import read_request
from coded.runtime.result import CodedResult
from coded.runtime.terms import Terms
from coded.runtime.waiting import answer
from coded.schemes.door import read_responders
from coded.schemes.protocol import (
    Function,
    InconsistentAnswersError,
    NotEnoughRespondersError,
)
from coded.secure.multiply import multiply_selected
from coded.secure.operands import Operand, joined, read_operand, require_multipliable, require_room
from coded.secure.residue_code import draw_residues, powers, read_secrecy
from coded.secure.secure_code import require_workers
from coded.secure.secure_matmul import require_separate
from coded.workers.placed import Placed
from fastspline.arrays import as_numpy


class PrivateLibrary:
    """Multiply a secret A by one of M public matrices, and tell no worker by which.

    All workers keep the library, cut into n column blocks. A product draws different points: x_i,
    one a worker, and z_k, one a matrix. Worker i gets ``A~ = sum_r A_r x_i^r + Z x_i^m`` of A's m
    row blocks and a mask, and for each matrix k a point q_k, at which it encodes the matrix,
    ``sum_j B_kj q_k^((j + 1) (m + 1))``; it multiplies A~ by the sum of these. For the wanted
    matrix q_k is x_i, for the others the z_k that all workers get: these add but a constant.
    Hence any (m + 1)(n + 1) answers give C.

    **Privacy.** A worker sees M different points in random order, and a block that is uniform:
    nothing of A, of C and of the index. Two workers who compare their points see in which they
    differ: T is 1. Points and masks are drawn anew for each product.

    Parameters
    ----------
    library : array_like of int, shape (M, s, c)
        Numpy array or torch tensor; sent to each worker once.
    m, n : int
        Row blocks of A and column blocks of the matrices, >= 1.
    n_workers : int
        N >= (m + 1)(n + 1).
    prime : int, optional
        p >= N + M, at most 2^31 - 1, the default.
    modular : bool, optional
        Whether A B modulo p is wanted where its entries may exceed (p - 1) / 2; else refused.
    rng : int or numpy.random.Generator, optional
        Gives points and masks, the same ones in each product: for tests. By default they come
        from the operating system's entropy.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, N or the prime too small, or the matrices cannot be cut.

    References
    ----------
    M. Kim, J. Lee, "Private Secure Coded Computation", IEEE Communications Letters 23(11), 2019,
    arXiv:1902.00167: the setting. The powers are chosen here, so that all sums up to
    ``(m + 1)(n + 1) - 1`` are taken once.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import PrivateLibrary
    >>> rng = np.random.default_rng(0)
    >>> matrices, a = rng.integers(-9, 9, (3, 5, 4)), rng.integers(-9, 9, (6, 5))
    >>> library = PrivateLibrary(matrices, 2, 2, 10)
    >>> with ThreadPoolExecutor() as pool:  # for N workers: their N executors
    ...     result = library.multiply(a, 1, pool)
    >>> library.min_responders, np.array_equal(result.outputs, a @ matrices[1])
    (9, True)
    """

    n_colluders = 1

    def __init__(
        self,
        library: ArrayLike,
        m: SupportsIndex,
        n: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        prime: SupportsIndex = LARGEST_PRIME,
        modular: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        self._m, self._n = read_count(m, "m", at_least=1), read_count(n, "n", at_least=1)
        self.min_responders = (self._m + 1) * (self._n + 1)
        self.n_workers = require_workers(n_workers, self.min_responders, "(m + 1)(n + 1)")
        points = self.n_workers + len(np.atleast_1d(as_numpy(library, "library")[0])) - 1
        self._secrecy = read_secrecy(1, prime, modular, rng, n_points=points)
        read = read_operand(library, "library", self.prime, ndim=3)
        # A copy, for it tells what fits, and workers keep what was given here.
        self._library = replace(read, array=read.array.copy())
        matrices = self._library.array
        blocks = np.stack([in_blocks(one, "library", (1, self._n)) for one in matrices])
        self._placed = Placed([blocks.astype(np.int32)] * self.n_workers)

    @property
    def prime(self) -> int:
        """The prime p, modulo which everything is computed."""
        return self._secrecy.prime

    @property
    def headroom(self) -> int:
        """Largest magnitude of entries of A, of the matrices, and of C, (p - 1) / 2."""
        return (self.prime - 1) // 2

    @property
    def n_stragglers(self) -> int:
        """How many answers may be missing, whichever they are."""
        return self.n_workers - self.min_responders

    @property
    def load(self) -> float:
        """What a worker multiplies, as a share of the product; it adds up the library besides."""
        return 1.0 / (self._m * self._n)

    def __repr__(self) -> str:
        """One line with the library's shape."""
        return (
            f"PrivateLibrary({self._library.array.shape}, {self._m}, {self._n}, "
            f"{self.n_workers}, prime={self.prime})"
        )

    def multiply(
        self,
        a: ArrayLike,
        index: SupportsIndex,
        executor: Executor | Sequence[Executor],
        *,
        wait_for: SupportsIndex | IsEnough | None = None,
        timeout: float | None = None,
    ) -> CodedResult:
        """Compute ``a @ library[index]``, both unknown to each worker.

        Parameters
        ----------
        a : array_like of int, shape (r, s)
            Of the kind of the library.
        index : int
            In [0, M).
        executor : Executor or sequence of Executor
            N executors, one for each worker, which do not pool what they get; or a single one,
            for trying out.
        wait_for : int or callable, optional
            Default: `min_responders`.
        timeout : float, optional
            The call ends at the latest after so many seconds.

        Returns
        -------
        CodedResult
            ``outputs`` is the product, int64 of the kind of `a`, exact.

        Raises
        ------
        TypeError
            If an argument is of the wrong kind; nothing has been submitted then.
        ValueError
            If `a` cannot be multiplied, cut, or might wrap, if the index is out of range, or if
            one of the executors would get two workers' tasks; nothing has been submitted then.
        NotEnoughRespondersError
            If fewer than `min_responders` answers came.
        InconsistentAnswersError
            If spare answers contradict the others, and it is not to be told which.
        """
        if not callable(wait_for) and wait_for is not None:
            wait_for = read_count(wait_for, "wait_for", at_least=1, at_most=self.n_workers)
        terms = Terms(wait_for=wait_for, timeout=timeout, retries=0)
        request = read_request(self.function, (a, index), self, executor, terms)
        require_separate(request.executors, self.n_workers, 1)
        return answer(request)

    @property
    def function(self) -> Function:
        """What workers run on the library, a share and points."""
        return partial(multiply_selected, step=self._m + 1, prime=self.prime)

    def prepare(self, a: ArrayLike, index: SupportsIndex) -> LibraryJob:
        """Read A, draw points and a mask, and encode.

        Parameters
        ----------
        a : array_like of int, shape (r, s)
            Of the kind of the library.
        index : int
            In [0, M).

        Returns
        -------
        Job
            Its ``decode`` gives the product.

        Raises
        ------
        TypeError, ValueError
            As `multiply`.
        """
        matrices = self._library.array
        index = read_count(index, "index", at_least=0, at_most=len(matrices) - 1)
        left = read_operand(a, "a", self.prime)
        wanted = Operand(matrices[index], self._library.device)
        require_multipliable(left, wanted)
        if not self._secrecy.modular:
            require_room(left.array, wanted.array, self.headroom)
        blocks = in_blocks(left.array, "a", (self._m, 1))
        seed = self._secrecy.seed
        rng = None if seed is None else np.random.default_rng(seed)
        mask = draw_residues((1, *blocks.shape[1:]), self.prime, rng)
        points = _distinct(self.n_workers + len(matrices) - 1, self.prime, rng)
        asked = self.questions(index, points)
        shares = self.encode(np.concatenate((blocks, mask)), points)
        return LibraryJob(self, left, (shares, asked), self._placed, points[: self.n_workers])

    def questions(self, index: int, points: IntArray) -> IntArray:
        """Give what each worker is asked: at which points it encodes the matrices.

        Parameters
        ----------
        index : int
            Which matrix is wanted.
        points : ndarray of int64, shape (N + M - 1,)
            Different and not 0: first the x_i, then the z_k of the matrices that are not wanted.

        Returns
        -------
        ndarray of int64, shape (N, M)
        """
        others = np.broadcast_to(
            points[self.n_workers :], (self.n_workers, len(points) - self.n_workers)
        )
        return np.insert(others, index, points[: self.n_workers], axis=1)

    def encode(self, sources: IntArray, points: IntArray) -> IntArray:
        """Give each worker's share of A's blocks and the mask, shape (N, h, s), balanced."""
        at_workers = powers(points[: self.n_workers], [*range(self._m + 1)], self.prime)
        columns = sources.reshape(self._m + 1, -1)
        mixed = product(at_workers, columns, self.prime, lowest=-self.headroom)
        return mixed.reshape(self.n_workers, *sources.shape[1:])

    def can_decode(self, responders: ArrayLike) -> bool:
        """Tell whether the answers of these workers, enough or too few, give C.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        bool

        Raises
        ------
        TypeError, ValueError
            If `responders` are no such indices.
        """
        return len(read_responders(responders, self.n_workers)) >= self.min_responders

    def put_together(self, columns: IntArray, points: IntArray) -> IntArray:
        """Give C's blocks, shape (m n, numbers of a block), from the answers at these points."""
        needed = self.min_responders
        degrees = [r + (j + 1) * (self._m + 1) for r in range(self._m) for j in range(self._n)]
        table = vandermonde(points[:needed], needed, self.prime)
        chosen = np.eye(needed, dtype=np.int64)[:, degrees]
        decoder = solve(np.ascontiguousarray(table.T), chosen, self.prime)
        assert decoder is not None  # Vandermonde's matrix of different points
        wanted = np.ascontiguousarray(decoder.T)
        return product(wanted, columns[:needed], self.prime, lowest=-self.headroom)

    @property
    def grid(self) -> tuple[int, int]:
        """Row blocks and column blocks of C."""
        return self._m, self._n

    @property
    def width(self) -> int:
        """Columns of the matrices."""
        return int(self._library.array.shape[2])


class LibraryJob:
    """One product by one matrix of a library; made by ``library.prepare``, used once."""

    def __init__(
        self,
        library: PrivateLibrary,
        left: Operand,
        asked: tuple[IntArray, IntArray],
        placed: Placed,
        points: IntArray,
    ) -> None:
        self._library, self._left, self._placed, self._points = library, left, placed, points
        shares, questions = asked
        self.min_responders = library.min_responders
        blocks = placed.shares[0]
        self._answered = (shares.shape[1], blocks.shape[-1])
        self._shape = (left.array.shape[0], library.width)
        self.payloads: list[tuple[Any, ...]] = [
            (left.restore(share, np.int32), one)
            for share, one in zip(shares, questions, strict=True)
        ]

    def function(self, worker: int, fn: Function) -> Function:
        """Give f of the library that is with the worker."""
        return self._placed.function(worker, fn)

    def read(self, worker: int, answer: Any) -> tuple[tuple[int, int], IntArray]:  # noqa: ARG002 (as of the protocol)
        """Give an answer as residues; TypeError or ValueError if it is not of this product."""
        return self._answered, read_residues(answer, self._answered, self._library.prime)

    def can_decode(self, responders: NDArray[np.intp]) -> bool:
        """Tell whether there are enough."""
        return len(responders) >= self.min_responders

    def need(self, responders: NDArray[np.intp]) -> str:  # noqa: ARG002 (as of the protocol)
        """Say what answers that do not suffice lack."""
        return f"any {self.min_responders} answers"

    def exact_mask(self, responders: NDArray[np.intp]) -> NDArray[np.bool_]:
        """C is exact, or is not given."""
        return np.array(self.can_decode(responders))

    def liars(self, answers: Sequence[IntArray], responders: NDArray[np.intp]) -> Sequence[int]:
        """Tell whose answers contradict all others: half as many as are spare at most."""
        if len(responders) <= self.min_responders:
            return ()
        prime, points = self._library.prime, self._points[list(responders)]
        check = check_matrix(points, self.min_responders, prime)
        wrong = locate_wrong_rows(points, np.stack(answers).reshape(len(points), -1), check, prime)
        if wrong is None:
            raise InconsistentAnswersError(
                f"{len(points)} answers contradict each other, so that more workers answer wrongly "
                "than can be told; wait for two more answers per liar"
            )
        liars: list[int] = responders[wrong].tolist()
        return liars

    def decode(self, answers: Sequence[IntArray], responders: NDArray[np.intp]) -> Any:
        """Put C together."""
        if not self.can_decode(responders):
            raise NotEnoughRespondersError(
                f"{len(responders)} of {self._library.n_workers} workers answered, "
                f"{self._library!r} needs {self.need(responders)}; wait for more answers",
                responders=responders,
            )
        columns = np.stack(answers).reshape(len(answers), -1)
        blocks = self._library.put_together(columns, self._points[list(responders)])
        product_ = joined(blocks.reshape(-1, *self._answered), self._library.grid, self._shape)
        return self._left.restore(product_)

    def __repr__(self) -> str:
        """Give the library's own line."""
        return repr(self._library)


def _distinct(count: int, prime: int, rng: np.random.Generator | None) -> IntArray:
    """Draw different residues other than 0, each ordered choice of them as likely."""
    chosen: dict[int, None] = {0: None}
    while len(chosen) <= count:  # what was drawn before is drawn again
        chosen.update(dict.fromkeys(draw_residues((count,), prime, rng).tolist()))
    return np.array(list(chosen)[1 : count + 1])
