"""`secure_matmul`: a product of two matrices by workers that learn nothing of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from coded.arguments import read_count
from coded.runtime.goal import IsEnough
from coded.runtime.request import read_request
from coded.runtime.result import CodedResult
from coded.runtime.terms import OnAnswer, Terms
from coded.runtime.waiting import answer
from coded.schemes.job import Job
from coded.secure.residue_job import ResidueJob
from coded.secure.secure_code import SecureMatmulCode


def secure_matmul(
    a: ArrayLike,
    b: ArrayLike,
    code: SecureMatmulCode,
    executor: Executor | Sequence[Executor],
    *,
    wait_for: SupportsIndex | IsEnough | None = None,
    timeout: float | None = None,
    verify: bool = False,
    on_answer: OnAnswer | None = None,
) -> CodedResult:
    """Compute ``a @ b`` by N workers, any T of which learn nothing.

    Cuts the operands, mixes their blocks with new masks from the operating system's entropy, has
    each worker multiply its two shares modulo p, and decodes as soon as `wait_for` is met. What T
    workers hold is uniform whatever A and B are; they know shapes, the code and the prime.

    **Who must not meet.** Worker n is ``executor[n]``: N executors, of machines that do not pool
    what they get. A single pool, or Dask's one executor, sees everything: it is for trying out. A
    task is never given to another worker, hence no retries and no hedges. Whoever calls this sees
    everything too.

    **Where B is no secret**, half the masks will do: `coded_map` of ``partial(multiply_residues,
    b=b, prime=scheme.prime)`` on K row blocks of A by ``FieldLagrangeScheme(K, N, degree=1,
    n_colluders=T)``, any K + T answers (W.-T. Chang, R. Tandon, arXiv:1806.00469; the recipe:
    tests/coded/secure/test_one_sided.py). `PrivateLibrary` hides which one of many public
    matrices B is.

    When not to: encoding and decoding take passes over N shares here, modulo p, and this process
    could multiply: a secure product pays where it cannot, or where workers have the time.

    Parameters
    ----------
    a, b : array_like of int, shapes (r, s) and (s, c) or (s,)
        Numpy arrays or torch tensors; of a batch, stacks of L of them. Real numbers only for
        `AnalogMatmulCode`, behind whose masks they are hidden to a degree.
    code : SecureMatmulCode
        `GASPMatmulCode`, `SecureMatDotMatmulCode`, `SecureDFTMatmulCode`, or of batches
        `CrossSubspaceMatmulCode`.
    executor : Executor or sequence of Executor
        N executors, in the order of workers; or a single one.
    wait_for : int or callable, optional
        As for `coded_matmul`. Default: ``code.min_responders``.
    timeout : float, optional
        The call ends at the latest after so many seconds.
    verify : bool, optional
        Whether to multiply each answer by random vectors: a wrong one, which passes once in 2^40
        times at most, is its worker's failure, and the product is decoded without it.
    on_answer
        As for `coded_map`.

    Returns
    -------
    CodedResult
        ``outputs`` is C, int64 of the kind of the operands, exact; of reals up to rounding.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind; nothing has been submitted then.
    ValueError
        If the operands cannot be multiplied, cut or would wrap, if `verify` is asked of reals, or
        if one of the executors would get the shares of more than T workers; nothing has been
        submitted then.
    NotEnoughRespondersError
        If the answers that came do not suffice.
    InconsistentAnswersError
        If more answers came than are needed, they contradict each other, and it is not to be told
        who is wrong; with `verify` that does not happen.

    References
    ----------
    R. Freivalds, "Probabilistic machines can use less running time", IFIP Congress 1977, for
    `verify`.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import GASPMatmulCode, secure_matmul
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.integers(-99, 99, (6, 5)), rng.integers(-99, 99, (5, 4))
    >>> code = GASPMatmulCode(2, 2, 9, n_colluders=1)  # any 8 answers
    >>> with ThreadPoolExecutor() as pool:  # for N workers: their N executors
    ...     result = secure_matmul(a, b, code, pool)
    >>> np.array_equal(result.outputs, a @ b)
    True
    """
    if not isinstance(code, SecureMatmulCode):
        raise TypeError(
            f"code must be a SecureMatmulCode, got {type(code).__name__}; take GASPMatmulCode, or "
            "coded_matmul for codes without secrets"
        )
    if not isinstance(verify, bool | np.bool_):
        raise TypeError(f"verify must be True or False, got {verify!r}")
    if not callable(wait_for) and wait_for is not None:  # no "exact": tasks would move
        wait_for = read_count(wait_for, "wait_for", at_least=1, at_most=code.n_workers)
    terms = Terms(wait_for=wait_for, timeout=timeout, retries=0, on_answer=on_answer)
    request = read_request(
        code.function, (a, b), _Product(code, verify=bool(verify)), executor, terms
    )
    require_separate(request.executors, code.n_workers, code.n_colluders)
    return answer(request)


def require_separate(executors: Sequence[Executor], n_workers: int, n_colluders: int) -> None:
    """Refuse executors that get more shares than masks hide, but a single one, for trying."""
    shares = Counter(id(executors[n % len(executors)]) for n in range(n_workers))
    most = max(shares.values())
    if len(shares) > 1 and most > n_colluders:
        raise ValueError(
            f"executor must hold {n_workers} executors, one for each worker, got {len(shares)}: "
            f"one of them would get {most} workers' shares, and only n_colluders = {n_colluders} "
            "together tell nothing"
        )


class _Product:
    """A code as one call asks for it."""

    def __init__(self, code: SecureMatmulCode, *, verify: bool) -> None:
        self._code, self._verify = code, verify
        self.n_workers, self.min_responders = code.n_workers, code.min_responders

    def prepare(self, a: Any, b: Any) -> Job:
        """Encode the operands."""
        job = self._code.prepare(a, b)
        if self._verify:
            if not isinstance(job, ResidueJob):
                raise ValueError(
                    f"verify must be False for {self._code!r}, whose answers are rounded; take a "
                    "code of integers"
                )
            job.verify()
        return job

    def __repr__(self) -> str:
        return repr(self._code)
