"""Cross subspace alignment: a batch of products, each at a pole of its own."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from coded.algebra.prime_field import LARGEST_PRIME, IntArray, inverse
from coded.arguments import read_count
from coded.secure.operands import Operand
from coded.secure.residue_code import ResidueMatmulCode, powers, read_secrecy
from coded.secure.residue_job import ResidueJob
from coded.secure.secure_code import require_workers


class CrossSubspaceMatmulCode(ResidueMatmulCode):
    """Hide a batch of L products A_l B_l; any 2 (L + T) - 1 answers give all of them.

    ``A~(x) = D(x) (sum_l A_l / (f_l - x) + sum_t Z_t x^t)`` with ``D(x) = prod_l (f_l - x)``, and
    ``B~(x) = sum_l B_l / (f_l - x) + sum_t Y_t x^t``. In their product each wanted one stands
    alone, ``c_l A_l B_l / (f_l - x)``, and all else falls into the polynomials of degree L + 2 T -
    2. An answer is as large as one product, and L of them are worth 2 (L + T) - 1 answers: half of
    what comes back is wanted, however many colluders, for large batches.

    One product A B is a batch as well: of A's row blocks with B each time.

    Parameters
    ----------
    n_products : int
        L >= 1.
    n_workers : int
        N >= 2 (L + T) - 1.
    n_colluders : int, optional
        T >= 1.
    prime : int, optional
        p > N + L, for so many different points, at most 2^31 - 1, the default.
    modular, rng
        As for `GASPMatmulCode`.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a count is out of range, N too small, or `prime` not prime or too small.

    References
    ----------
    Z. Jia, S. A. Jafar, "On the Capacity of Secure Distributed Batch Matrix Multiplication", IEEE
    Trans. Information Theory 67(11), 2021, arXiv:1908.10463, section 5.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import secure_matmul
    >>> code = CrossSubspaceMatmulCode(2, 6)
    >>> a, b = np.arange(12).reshape(2, 2, 3), np.arange(12).reshape(2, 3, 2)
    >>> with ThreadPoolExecutor() as pool:
    ...     result = secure_matmul(a, b, code, pool)
    >>> code.min_responders, np.array_equal(result.outputs, a @ b)
    (5, True)
    """

    _ndim = 3

    def __init__(
        self,
        n_products: SupportsIndex,
        n_workers: SupportsIndex,
        *,
        n_colluders: SupportsIndex = 1,
        prime: SupportsIndex = LARGEST_PRIME,
        modular: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        self._n_products = read_count(n_products, "n_products", at_least=1)
        hidden = read_count(n_colluders, "n_colluders", at_least=1)
        needed = 2 * (self._n_products + hidden) - 1
        workers = require_workers(n_workers, needed, "2 (n_products + n_colluders) - 1")
        points = workers + self._n_products
        secrecy = read_secrecy(hidden, prime, modular, rng, n_points=points)
        super().__init__((1, 1, 1), workers, needed, secrecy)

    @property
    def n_products(self) -> int:
        """L, the number of products of a batch."""
        return self._n_products

    @property
    def load(self) -> float:
        """What a worker computes, as a share of all products."""
        return 1.0 / self._n_products

    def _encoders(self) -> tuple[IntArray, IntArray]:
        poles = np.arange(1, self._n_products + 1)
        points = np.arange(self._n_products + 1, self._n_products + self.n_workers + 1)
        differences = (poles - points[:, None]) % self.prime
        masks = powers(points, [*range(self.n_colluders)], self.prime)
        right = np.column_stack((inverse(differences, self.prime), masks))
        all_poles = np.ones(len(points), np.int64)
        for column in differences.T:
            all_poles = all_poles * column % self.prime
        return right * all_poles[:, None] % self.prime, right

    def _wanted(self) -> IntArray:
        """Make W: each product of two blocks of one index."""
        count = self._n_products
        wanted = np.zeros((count, *[count + self.n_colluders] * 2), np.int64)
        each = np.arange(count)
        wanted[each, each, each] = 1
        return wanted.reshape(count, -1)

    def prepare(self, a: ArrayLike, b: ArrayLike) -> ResidueJob:
        """Read the batch, draw masks, and encode.

        Parameters
        ----------
        a, b : array_like of int, shapes (L, r, s) and (L, s, c)
            Numpy arrays or torch tensors.

        Returns
        -------
        Job
            Its ``decode`` gives all products, int64, shape (L, r, c).

        Raises
        ------
        TypeError, ValueError
            If they are no such stacks, or a product's entries may exceed (p - 1) / 2.
        """
        left, right = self._read(a, b)
        return ResidueJob(self, self.encode(left.array, right.array), left.restore, left.restore)

    def whole(self, fn: Any, a: ArrayLike, b: ArrayLike) -> Any:
        """Give the products without workers, and without secrets."""
        left, right = self._read(a, b)
        pairs = zip(left.array, right.array, strict=True)
        return left.restore(np.stack([fn(x, y) for x, y in pairs]))

    def _read(self, a: ArrayLike, b: ArrayLike) -> tuple[Operand, Operand]:
        left, right = super()._read(a, b)
        if len(left.array) != self._n_products:
            raise ValueError(
                f"a and b must be stacks of n_products = {self._n_products} matrices, got "
                f"{len(left.array)}; make a code for so many"
            )
        return left, right

    def __repr__(self) -> str:
        """One line that could be typed."""
        return (
            f"CrossSubspaceMatmulCode({self._n_products}, {self.n_workers}, "
            f"n_colluders={self.n_colluders}, prime={self.prime})"
        )
