"""Regression by owners of rows, none of whom sees the model before it is trained: COPML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from copy import copy
from functools import partial
from math import ceil, sqrt
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from coded.algebra.prime_field import LARGEST_PRIME, IntArray, balanced
from coded.arguments import read_count, read_number
from coded.private.owner import GradientStep, Message, Owner, share_gradient
from coded.private.quantiser import Floats, Quantiser, read_coefficients
from coded.private.rows import read_rows
from coded.private.truncation import Truncation
from coded.runtime.request import read_request
from coded.runtime.result import CodedResult, Indices
from coded.runtime.terms import Terms
from coded.runtime.waiting import answer
from coded.schemes.field_lagrange import FieldLagrangeScheme
from coded.seeds import derived
from coded.workers.placed import Placed

DEALER = -1  # who sends randomness that no owner may know
_MOST_BITS = 30


class CollaborativeRegression:
    """Logistic or linear regression on the rows of N owners, who learn nothing but the model.

    Training descends the gradient of all owners' rows X and labels y from ``w = 0``,

        ``X^T (g(X w) - y),   g(z) = c_0 + c_1 z``,

    with a line g in place of the sigmoid, in fixed-point numbers modulo p. Owner n is worker n too.
    Whatever is not coded is shared by Shamir's scheme, as points of polynomials of degree T:

    1. Each owner rounds its rows, puts them in its places of K blocks, codes these by
       `FieldLagrangeScheme` with T random masks, sends each owner a coded block, and shares its
       ``X^T (y - c_0)``. What an owner gets from all, it adds up.
    2. In a step T + 1 owners code their shares of w, with masks of their own, and send each owner
       its part: combined as shares are, that is the coded weight.
    3. Each owner computes ``X^T X w`` of its coded block and weight, and shares it. Any
       3 (K + T - 1) + 1 of these give shares of the gradient, by the decoder of the code.
    4. Secure truncation (`Truncation`) divides the gradient by 2^m: the scale of w does not grow.
       Each owner subtracts what it gets from its share of w. m is the least with
       ``2^m >= 4^input_bits n row_norm^2``, above the square of X's norm: no step overshoots.

    After the last step w is opened; nothing else ever is.

    **Privacy.** Any T owners together learn nothing, whatever they compute, of the rows and labels
    of others, of gradients, and of weights before the last, beside what follows from their own
    rows and labels and from the last weights, rounded by coins that all see (`Truncation`): what
    else they are sent is uniform. They follow the protocol (semi-honest). Numbers of rows, bounds,
    options, and who answered when, are public. The dealer, who is no owner, sees nothing; it gives
    a pair of shares for each entry of w and step, and another one where a sum is not accepted.

    **Nothing wraps.** Weights are secret, so that no step can check them. `fit` refuses beforehand
    numbers of steps after which a gradient may pass p / 4. None does where

        ``2^a sqrt(n) (sqrt(n) M + sqrt(2 d 2^m t)) + 2^m <= p / 4``

    with a and b bits of inputs and weights, t steps, and ``M = 1 + max |y - c_0| 2^(a + b) / c_1``:
    residuals of descent do not grow, and the roundings of w, each below one unit, add no more than
    the second term. This holds for all rows within the public bounds, for nobody sees all of them.

    **What is here.** All owners live in this process, as objects that tell each other by `Message`
    alone; what they compute on blocks runs on the executors. A deployment gives each owner its
    own process, authenticated private channels, and in place of the dealer a protocol for random
    bits (Damgard et al., TCC 2006), which can run before the data are there. A failed machine is a
    missing answer; its owner still answers for its shares, of which T + 1 would do. Wrong answers
    are not corrected: of owners who do not follow the protocol nothing is promised.

    Parameters
    ----------
    inputs : sequence of array_like, shapes (n_j, d)
        The rows of each owner, N of them, n in all: numbers in [-1, 1]. A column of ones gives an
        intercept.
    labels : sequence of array_like, shapes (n_j,)
        Numbers in [0, 1].
    n_blocks : int
        K in [1, n], with ``N >= 3 (K + T - 1) + 1``.
    n_colluders : int, optional
        T >= 1.
    coefficients : sequence of float, optional
        ``c_0, c_1`` with c_1 > 0. Default: of `sigmoid_polynomial`.
    input_bits, weight_bits : int, optional
        a and b, in [0, 30]: how many bits lie behind the binary point.
    row_norm : float, optional
        A public bound on the norm of any row, rounded. Default: sqrt(d), of ones. The learning
        rate grows with 1 / row_norm^2.
    prime : int, optional
        p, as for `FieldLagrangeScheme`.
    on_message : callable, optional
        Called with a copy of each `Message`, as a network would be.
    rng : int or numpy.random.Generator, optional
        Gives the dealer's numbers, hence the roundings: for tests. It is not advanced. By default
        they come from the operating system's entropy, as masks always do.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If shapes, counts or numbers are not allowed, or N is too small.

    References
    ----------
    J. So, B. Guler, A. S. Avestimehr, "A Scalable Approach for Privacy-Preserving Collaborative
    Machine Learning", NeurIPS 2020, arXiv:2011.01963. Other than there owners code rows and shares
    of w by themselves, with their own masks, instead of all with shared masks, and truncation
    hides perfectly (`Truncation`).

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from coded import CollaborativeRegression
    >>> inputs = np.column_stack([np.linspace(-1.0, 1.0, 40), np.ones(40)])
    >>> labels = inputs[:, 0] > 0.25
    >>> owners = [slice(5 * j, 5 * j + 5) for j in range(8)]
    >>> regression = CollaborativeRegression(
    ...     [inputs[own] for own in owners], [labels[own] for own in owners], 2, rng=0
    ... )
    >>> with ThreadPoolExecutor() as pool:  # for N owners: their N executors
    ...     weights = regression.fit(pool, n_steps=60)
    >>> float(np.mean((inputs @ weights > 0.0) == labels)) > 0.9
    True
    """

    def __init__(
        self,
        inputs: Sequence[ArrayLike],
        labels: Sequence[ArrayLike],
        n_blocks: int,
        *,
        n_colluders: int = 1,
        coefficients: Sequence[float] | None = None,
        input_bits: int = 4,
        weight_bits: int = 9,
        row_norm: float | None = None,
        prime: SupportsIndex = LARGEST_PRIME,
        on_message: Callable[[Message], object] | None = None,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        owned = _read_owners(inputs, labels)
        sizes = [len(rows) for rows, _ in owned]
        self._n_rows, self._n_columns = sum(sizes), owned[0][0].shape[1]
        self._n_blocks = read_count(n_blocks, "n_blocks", at_least=1, at_most=self._n_rows)
        n_colluders = read_count(n_colluders, "n_colluders", at_least=1)
        self._code, self._sharing = _make_codes(self._n_blocks, len(owned), n_colluders, prime)
        self._quantiser = Quantiser(
            read_count(input_bits, "input_bits", at_least=0, at_most=_MOST_BITS),
            read_count(weight_bits, "weight_bits", at_least=0, at_most=_MOST_BITS),
            _read_line(coefficients),
        )
        self._row_square: int = self._n_columns << 2 * self.input_bits  # of ones
        if row_norm is not None:
            norm = min(sqrt(self._n_columns), read_number(row_norm, "row_norm", "(0, inf)"))
            # Rows are whole numbers by now: a norm that is given to all digits is not passed.
            square = int(norm**2 * 4.0**self.input_bits * (1.0 + 1e-12))
            self._row_square = min(self._row_square, square)
        self._shift = max(self._n_rows * self._row_square - 1, 0).bit_length()
        if on_message is not None and not callable(on_message):
            raise TypeError(
                f"on_message must be callable or None, got {on_message!r}; pass a function"
            )
        self._on_message = on_message
        self._dealer_rng = None if rng is None else derived(rng)
        self._require_room(1)
        rounded = [self._round(*own, f"[{j}]") for j, own in enumerate(owned)]
        self._owners = [Owner(self._code, self._sharing, *own) for own in rounded]
        self._share_data(np.cumsum([0, *sizes[:-1]]).tolist())

    @property
    def n_workers(self) -> int:
        """N, the number of owners, all of whom are workers."""
        return self._code.n_workers

    @property
    def min_responders(self) -> int:
        """How many owners' answers a step waits for, ``3 (K + T - 1) + 1``."""
        return self._code.min_responders

    @property
    def coefficients(self) -> tuple[float, ...]:
        """The coefficients of g, ``(c_0, c_1)``."""
        return self._quantiser.coefficients

    @property
    def input_bits(self) -> int:
        """Bits of the inputs behind the binary point."""
        return self._quantiser.input_bits

    @property
    def weight_bits(self) -> int:
        """Bits of the weights behind the binary point."""
        return self._quantiser.weight_bits

    @property
    def learning_rate(self) -> float:
        """By what the gradient is multiplied, ``4^a / (2^m c_1)``."""
        return float(2.0 ** (2 * self.input_bits - self._shift) / self.coefficients[1])

    @property
    def most_steps(self) -> int:
        """After how many steps at most no gradient can have wrapped modulo p."""
        fit, too_many = 0, 2**31
        while too_many - fit > 1:
            middle = (fit + too_many) // 2
            fit, too_many = (middle, too_many) if self._has_room(middle) else (fit, middle)
        return fit

    def __repr__(self) -> str:
        """One line with the scheme and the bits."""
        return (
            f"CollaborativeRegression({self._code!r}, input_bits={self.input_bits}, "
            f"weight_bits={self.weight_bits}, learning_rate={self.learning_rate:.4g}, "
            f"most_steps={self.most_steps})"
        )

    def fit(
        self,
        executor: Executor | Sequence[Executor],
        n_steps: int,
        *,
        timeout: float | None = None,
        on_step: Callable[[int, CodedResult], object] | None = None,
    ) -> Floats:
        """Descend the gradient from 0 for some steps, and open the weights.

        Several trainings may go on at once, from threads or from `on_step`: each has its own.

        Parameters
        ----------
        executor : Executor or sequence of Executor
            N executors, owner n's is ``executor[n]``. Or a single one, to try it out. The
            caller's, as for `coded_map`.
        n_steps : int
            How many steps, in [1, most_steps].
        timeout : float, optional
            A step ends at the latest after so many seconds.
        on_step : callable, optional
            ``on_step(i, result)`` after step i = 0, 1, ...; `result` tells what became of the
            workers, and its `outputs` are the messages by which they share their answers.

        Returns
        -------
        ndarray, shape (d,)
            The weights.

        Raises
        ------
        TypeError
            If an argument is of the wrong kind.
        ValueError
            If `n_steps` is more than `most_steps`, or the executors are neither one nor N
            different ones; nothing has been submitted then.
        NotEnoughRespondersError
            If too few answers came to a step.
        """
        n_steps = read_count(n_steps, "n_steps", at_least=1)
        if on_step is not None and not callable(on_step):
            raise TypeError(f"on_step must be callable or None, got {on_step!r}; pass a function")
        self._require_room(n_steps)
        bound = self._gradient_bound(n_steps)
        truncation = Truncation(
            self._code.prime, self._shift, -(-bound >> self._shift) << self._shift
        )
        training = copy(self)
        training._owners = [owner.beginning() for owner in self._owners]
        helpers: Indices = np.arange(self._sharing.min_responders)
        for i in range(n_steps):
            result = training._step(helpers, truncation, executor, timeout)
            helpers = result.responders[: len(helpers)]
            if on_step is not None:
                on_step(i, result)
        shares = self._exchange(
            "shares of the model", {n: owner.show_weights() for n, owner in training._each()}
        )
        opened = training._owners[0].open(shares[0])
        return np.asarray(balanced(opened, self._code.prime) * 2.0**-self.weight_bits)

    def _step(
        self,
        helpers: Indices,
        truncation: Truncation,
        executor: Executor | Sequence[Executor],
        timeout: float | None,
    ) -> CodedResult:
        """Do one step, whose coded weights come from the shares of the helpers."""
        coded = self._exchange(
            "coded weights", {n: self._owners[n].code_weights() for n in helpers.tolist()}
        )
        payloads = [owner.open(got) for owner, got in zip(self._owners, coded, strict=True)]
        job = GradientStep(self._code, self._placed, payloads)
        fn = partial(share_gradient, sharing=self._sharing, prime=self._code.prime)
        request = read_request(fn, (), job, executor, Terms(timeout=timeout, retries=0))
        _require_separate(request.executors, self.n_workers)
        result = answer(request)
        shared = self._exchange(
            "shares of a gradient",
            dict(zip(result.responders.tolist(), result.outputs, strict=True)),
        )
        for owner, got in zip(self._owners, shared, strict=True):
            owner.take_gradient(got)
        self._truncate(truncation)
        return result

    def _truncate(self, truncation: Truncation) -> None:
        """Divide the shared gradient, and subtract it from the weights."""
        left = np.arange(self._n_columns)
        while left.size:
            pairs = truncation.draw((len(left),), self._dealer_rng)
            shares = self._sharing.encode(balanced(pairs[None], truncation.prime))
            dealt = self._exchange("dealt", {DEALER: shares})
            sums = {
                n: owner.to_all(truncation.masked(owner.gradient[left], dealt[n][DEALER]))
                for n, owner in self._each()
            }
            masked = self._exchange("masked", sums)
            for n, owner in self._each():
                opened = owner.open(masked[n])
                steps = truncation.result(opened, dealt[n][DEALER])
                accepted = truncation.accepts(opened)
                owner.descend(left[accepted], steps[accepted])
            left = left[~accepted]  # all owners have opened the same

    def _share_data(self, first_rows: Sequence[int]) -> None:
        """Let each owner code its rows and share its ``X^T (y - c_0)``."""
        n_rows = -(-self._n_rows // self._n_blocks)
        blocks = {
            n: owner.code_rows(first, n_rows)
            for (n, owner), first in zip(self._each(), first_rows, strict=True)
        }
        coded_rows = self._exchange("coded rows", blocks)
        pulls = self._exchange(
            "shares of X^T y", {n: owner.share_pull() for n, owner in self._each()}
        )
        coded = [owner.take_data(coded_rows[n], pulls[n]) for n, owner in self._each()]
        self._placed = Placed([block.astype(np.int32) for block in coded])  # all of the field fits

    def _exchange(self, kind: str, sent: Mapping[int, IntArray]) -> list[dict[int, IntArray]]:
        """Give each owner n what is row n of what each sender sends: the only way between them."""
        received: list[dict[int, IntArray]] = [{} for _ in range(self._code.n_workers)]
        for sender, rows in sent.items():
            for n, content in enumerate(rows):
                received[n][sender] = content
                if self._on_message is not None:
                    self._on_message(Message(kind, sender, n, content.copy()))
        return received

    def _each(self) -> Iterable[tuple[int, Owner]]:
        return enumerate(self._owners)

    def _round(self, rows: Floats, labels: Floats, owner: str) -> tuple[IntArray, IntArray]:
        """Give rows and ``(y - c_0) / c_1`` as integers; ValueError beyond the public bounds."""
        for name, values, low in ((f"inputs{owner}", rows, -1.0), (f"labels{owner}", labels, 0.0)):
            if values.min() < low or values.max() > 1.0:
                worst = values.flat[np.abs(values - (low + 1.0) / 2.0).argmax()]
                raise ValueError(
                    f"{name} must lie in [{low:g}, 1], a public bound, got {worst:g}; scale it"
                )
        rounded = self._quantiser.round_inputs(rows).astype(np.int64)
        largest = int((rounded**2).sum(axis=1).max())
        if largest > self._row_square:
            raise ValueError(
                f"inputs{owner} must have rows of a norm of at most row_norm = "
                f"{sqrt(self._row_square) / 2**self.input_bits:g} when rounded, got "
                f"{sqrt(largest) / 2**self.input_bits:g}; raise row_norm, for all owners"
            )
        c0, c1 = self.coefficients
        scale = 2.0 ** (self.input_bits + self.weight_bits) / c1
        return rounded, np.rint(scale * (labels - c0)).astype(np.int64)

    def _gradient_bound(self, n_steps: int) -> int:
        """Give what no entry of a gradient passes in so many steps, and no weight, in units."""
        n, d, a = self._n_rows, self._n_columns, self.input_bits
        c0, c1 = self.coefficients
        target = 1.0 + max(abs(c0), abs(1.0 - c0)) * 2.0 ** (a + self.weight_bits) / c1
        # max_x sqrt(x) (1 - x)^s < 1 / sqrt(2 s + 1) for x in [0, 1], the squared singular values
        # of X in parts of 2^m; the sum over all s < t is below this.
        growth = sqrt(2.0 * n_steps)
        largest = sqrt(1 << self._shift)  # singular value of X
        of_gradient = 2.0**a * sqrt(n) * (sqrt(n) * target + largest * growth * sqrt(d))
        of_weights = growth / largest * sqrt(n) * target + n_steps * sqrt(d)
        bound = max(of_gradient, of_weights) * (1.0 + 2.0**-20)
        return ceil(min(bound, 2.0**62))  # inf too: more than any field holds

    def _has_room(self, n_steps: int) -> bool:
        largest = self._code.prime // 4
        return self._gradient_bound(n_steps) + (1 << self._shift) <= largest

    def _require_room(self, n_steps: int) -> None:
        if self._has_room(n_steps):
            return
        most = self.most_steps
        possible = f"lie in [1, {most}]" if most else "be 0, and no training is possible"
        raise ValueError(
            f"n_steps must {possible}, for a gradient modulo {self._code.prime} might wrap with "
            f"input_bits = {self.input_bits}, weight_bits = {self.weight_bits}, coefficients = "
            f"{self.coefficients} and {self._n_rows} rows, got {n_steps}; take fewer bits or "
            "steps, or a smaller c_0 / c_1"
        )


def _make_codes(
    n_blocks: int, n_owners: int, n_colluders: int, prime: SupportsIndex
) -> tuple[FieldLagrangeScheme, FieldLagrangeScheme]:
    """Give the code of blocks and weights, and Shamir's scheme, or tell why N is too small."""
    needed = 3 * (n_blocks + n_colluders - 1) + 1
    if n_owners < needed:
        raise ValueError(
            f"inputs must be of at least 3 * (n_blocks + n_colluders - 1) + 1 = {needed} owners, "
            f"got {n_owners}; find more owners, or take fewer blocks"
        )
    code = FieldLagrangeScheme(n_blocks, n_owners, degree=3, n_colluders=n_colluders, prime=prime)
    sharing = FieldLagrangeScheme(1, n_owners, degree=1, n_colluders=n_colluders, prime=prime)
    return code, sharing


def _read_owners(
    inputs: Sequence[ArrayLike], labels: Sequence[ArrayLike]
) -> list[tuple[Floats, Floats]]:
    """Give the rows and labels of each owner, checked."""
    if len(inputs) != len(labels) or len(inputs) == 0:
        raise ValueError(
            "inputs and labels must hold one array for each owner, got "
            f"{len(inputs)} and {len(labels)}"
        )
    owned = [read_rows(*own, f"[{j}]") for j, own in enumerate(zip(inputs, labels, strict=True))]
    columns = owned[0][0].shape[1]
    for j, (rows, _) in enumerate(owned):
        if rows.shape[1] != columns:
            raise ValueError(
                f"inputs[{j}] must have {columns} columns, as inputs[0] has, got {rows.shape[1]}"
            )
    return owned


def _read_line(coefficients: Sequence[float] | None) -> tuple[float, ...]:
    """Give those of a line that rises."""
    line = read_coefficients(coefficients)
    if len(line) != 2 or line[1] < 0.0:
        raise ValueError(
            "coefficients must be c_0, c_1 of a line with c_1 > 0, for which alone it is proved "
            f"that nothing wraps, got {line}; PrivateRegression takes polynomials"
        )
    return line


def _require_separate(executors: Sequence[Executor], n_owners: int) -> None:
    """Refuse executors that get more than one owner's block, but a single one, for trying."""
    different = len({id(one) for one in executors})
    if different != 1 and not different == len(executors) == n_owners:
        raise ValueError(
            f"executor must hold {n_owners} executors, one for each owner, or be a single one to "
            f"try it out, got {different}"
        )
