"""Copies of the inputs; lost answers by kriging over the inputs."""

from __future__ import annotations

import copy
import math
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.estimation.answer_memory import AnswerMemory
from coded.estimation.estimator import EarlierFits, Estimator
from coded.estimation.fit_memory import FitMemory
from coded.estimation.measured import Answered, answered_at
from coded.estimation.spaces import space_of
from coded.maps.arrays import LinearMap, Matrix, MatrixMap, columns_of
from coded.maps.copies import FilledMap
from coded.maps.torch_compile import untraced
from coded.nearness.distances import FEW
from coded.nearness.order import path_order
from coded.places.designs import Design, design_for_labels, design_for_outputs, design_for_smooth
from coded.places.input_lines import FEWEST_FOR_CURVE
from coded.places.placement import balanced_copies
from coded.schemes.copying import decode_with_std_as_it_is
from coded.schemes.decoding_with_std import apply_decoder
from coded.schemes.described_inputs import Features, describe, feature_map
from coded.schemes.door import is_float
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import FloatArray

Fit: TypeAlias = Literal["answers"] | None
Objective: TypeAlias = Literal["outputs", "labels"]

# Powers p of the covariance r^p: measured, not tuned.
_LINEAR, _RAW, _CUBIC = 1.0, 1.5, 3.0


class KernelScheme(LinearScheme):
    """Send inputs as they are; estimate lost answers by kriging over the inputs.

    Workers evaluate inputs, and an answer that arrives is that input's output, bit for bit. The
    others are the best linear prediction from all answers: kriging, over the inputs or features
    of them. By default the answers at hand decide how (`estimate` tells the details):

    - Up to ten numbers have a length each, on which f varies, so that their units do not matter;
      lengths and noise are those of the largest restricted likelihood. Of more numbers, and of
      images (pixels beside `pooled_gradients`, in either order of axes), all have one.
    - Covariances from rough to analytic, with and without a linear trend, ridge regression, the
      nearest answer and the mean are blended in inverse proportion to the fifth power of what each
      errs on answers that are left out: what the answers do not support has no weight.
    - Copies of an input that differ (by more than rounding) are measurements: their mean is the
      output, which is then not called exact (`CodedResult.exact`), and has a std.

    Where nothing is lost, nothing is fitted. That takes milliseconds for each batch with losses;
    and as the answers choose the decoder, it has no matrix. With ``fit=None`` the decoder is one,
    which depends on the responders alone: f is taken for a random function whose increments vary
    with the distance of the features as ``|phi(u) - phi(v)|^p``, without noise, and the first of
    the copies counts. That is for embedding, and where a decoder has to be linear.

    `bind` fixes the features and who evaluates
    what: inputs that all others would estimate badly get more copies (`copies_by_risk`, for S
    losses), but each gets at least ``floor(N / K) - 1``, and ``floor(N / K)`` where S is less,
    so that all outputs are exact then. With N < K, or ``between=False``, copies are dealt evenly
    (`balanced_copies`).
    Only what `bind` returns can encode and decode.

    With ``objective="labels"`` every input has max(1, round(0.6 N / K)) copies, and the other
    workers lie evenly on the straight lines between neighbours of `path_order` over the
    features: where more than half of the answers are lost, a network's labels are a little more
    often right; outputs err more. Eight or more inputs of at most 3 numbers are always coded like
    that, for f is expected to be smooth there, with max(floor((N - S) / K), round(0.6 N / K), 1)
    copies, and up to ceil(6 S / N) more of the two at the ends of the path. Where f is rough,
    ``between=False`` errs less: a point between inputs tells little there, and a copy keeps an
    input from being lost.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1; with N < K some inputs are evaluated by nobody and always estimated.
    n_stragglers : int, optional
        How many answers may be missing, in [0, N), for which copies are dealt. None means
        ``max(N - K, 0)``.
    fit : {"answers", None}, optional
        Whether the answers at hand choose the decoder, or it is linear.
    features : callable or None, optional
        phi: maps a stack (n, ...) of inputs to (n, d) features; p = 1.8. None: what is told
        above, and for copies and ``fit=None`` `pooled_gradients` (p = 1.8) of images, both of
        whose last two axes (before channels) are at least 8 long, else the flattened input: p =
        1.5, and for at most 3 numbers, in units of each one's range, p = 3 with a linear trend,
        or 1 where inputs and memory are fewer than eight.
    objective : {"outputs", "labels"}, optional
        What counts: small errors of the outputs, or that the largest output is the right one.
    between : bool, optional
        Whether workers may evaluate points between inputs, as told above. False: inputs alone.
    memory : AnswerMemory, optional
        Earlier answers of the same function. What it holds at `bind` counts for the bound
        scheme: what is lost is estimated from the nearest of answers and memory, the 200 nearest
        to any lost input, or with ``fit=None`` the 100 nearest to each.
    fit_memory : FitMemory, optional
        What was fitted to earlier answers of the same function: `bind` reads it, and each decoder
        that is fitted adds to it. Searches start at earlier lengths, and take fewer steps; points
        between inputs are asked no more if the left-out answers of the first four calls tell that
        they do not pay, which takes a second, smaller fit in those calls.

    Raises
    ------
    TypeError
        If a count is no integer, or `features`, `between` or a memory of the wrong kind.
    ValueError
        If a count is out of range, `fit` or `objective` none of the two, labels are asked with
        ``between=False``, or a `fit_memory` is given with ``fit=None``.

    References
    ----------
    J.-P. Chiles, P. Delfiner, "Geostatistics", 2nd ed., Wiley 2012, chapters 3 and 4. H. D.
    Patterson, R. Thompson, Biometrika 58 (1971), for the likelihood. O. Dubrule, Math. Geol. 15
    (1983), for what is left out.

    Examples
    --------
    >>> inputs = np.linspace(0.0, 3.0, 9)
    >>> scheme = KernelScheme(9, 21).bind(inputs)
    >>> outputs = scheme.decode(np.sin(scheme.encode(inputs))[::2], np.arange(0, 21, 2))
    >>> bool(np.abs(outputs - np.sin(inputs)).max() < 0.001)
    True
    """

    exact_first = True  # what a call waits for
    _keeps_copies = True

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        n_stragglers: int | None = None,
        fit: Fit = "answers",
        features: Features = None,
        objective: Objective = "outputs",
        between: bool = True,
        memory: AnswerMemory | None = None,
        fit_memory: FitMemory | None = None,
    ) -> None:
        super().__init__(n_inputs, n_workers, n_stragglers)
        if not (fit is None or (isinstance(fit, str) and fit == "answers")):
            raise ValueError(
                f'fit must be "answers" or None, got {fit!r}; None keeps the decoder linear'
            )
        if not (features is None or callable(features)):
            raise TypeError(
                f"features must be a callable or None, got {features!r}; pass a function "
                "from a stack of inputs to a stack of vectors"
            )
        if not (isinstance(objective, str) and objective in ("outputs", "labels")):
            raise ValueError(
                f'objective must be "outputs" or "labels", got {objective!r}; "labels" if only the '
                "largest output counts"
            )
        if not isinstance(between, bool | np.bool_):
            raise TypeError(
                f"between must be True or False, got {between!r}; False asks inputs alone"
            )
        if objective == "labels" and not between:
            raise ValueError(
                'objective="labels" asks for points between inputs, but between is False; leave '
                "out one of them"
            )
        if not (memory is None or isinstance(memory, AnswerMemory)):
            raise TypeError(
                f"memory must be an AnswerMemory or None, got {memory!r}; make one, add answers "
                "to it and pass it"
            )
        if not (fit_memory is None or isinstance(fit_memory, FitMemory)):
            raise TypeError(
                f"fit_memory must be a FitMemory or None, got {fit_memory!r}; make one and pass it"
            )
        if fit_memory is not None and fit is None:
            raise ValueError(
                "fit_memory keeps what is fitted, but fit is None, so that nothing is; leave out "
                "one of them"
            )
        self._fit: Fit = fit
        self._features = features
        self._objective = objective
        self._between = bool(between)
        self._memory = memory
        self._fit_memory = fit_memory
        self._given: Design | None = None  # by `bind`, as are these
        self._estimator: Estimator

    @property
    def fit(self) -> Fit:
        """Whether the answers at hand choose the decoder, as given."""
        return self._fit

    @property
    def features(self) -> Features:
        """The features phi, as given."""
        return self._features

    @property
    def objective(self) -> Objective:
        """What counts, "outputs" or "labels"."""
        return self._objective

    @property
    def between(self) -> bool:
        """Whether workers may evaluate points between inputs, as given."""
        return self._between

    @property
    def memory(self) -> AnswerMemory | None:
        """The caller's memory of earlier answers."""
        return self._memory

    @property
    def fit_memory(self) -> FitMemory | None:
        """The caller's memory of earlier fits."""
        return self._fit_memory

    @untraced
    def bind(self, inputs: ArrayLike) -> Self:
        """Fix the features of the inputs, who evaluates what, and what the memory holds.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            The inputs that will be encoded.

        Returns
        -------
        KernelScheme
            Bound to the distances between the features. Answers that are added to the memory
            later do not change it.

        Raises
        ------
        TypeError
            If `inputs` holds no real numbers, or `features` gives none.
        ValueError
            If axis 0 has not K rows, a number is not finite, or `features` gives not one vector
            for each input; if the memory holds inputs of another shape.
        """
        array, restore = self._read_inputs(inputs)
        past, answers = self._recall(array)
        is_small = math.prod(array.shape[1:]) <= FEW
        is_smooth = is_small and len(array) + len(past) >= FEWEST_FOR_CURVE
        bound = copy.copy(self)
        phi, power = feature_map(self._features, array, restore)
        if power is None:
            power = _CUBIC if is_smooth else _LINEAR if is_small else _RAW
        fits = self._fit_memory
        between = self._between and (fits is None or fits.between is not False)
        has_chords = between and (is_smooth or self._objective == "labels")
        if has_chords and is_smooth:
            order = path_order(phi(array))
            bound._given = design_for_smooth(order, self._n_workers, self._n_stragglers)
        elif has_chords:
            bound._given = design_for_labels(path_order(phi(array)), self._n_workers)
        sites = array
        if has_chords:
            sites = np.concatenate([array, MatrixMap(bound._design.chords)(array)])
        space = space_of(phi, sites, past, power)
        if not has_chords and between and 1 < self._n_inputs <= self._n_workers:
            risk = space.risks()
            bound._given = design_for_outputs(risk, self._n_workers, self._n_stragglers)
        elif not has_chords:
            copies = balanced_copies(self._n_inputs, self._n_workers)
            bound._given = Design(copies, np.empty((0, self._n_inputs)))
        descriptions = () if self._fit is None else describe(self._features, space, sites, past)
        earlier = None
        if fits is not None:
            odds = bound._odds() if has_chords and self._objective == "outputs" else None
            earlier = EarlierFits(fits, fits.starts(), odds)
        remembered = answers if len(answers) else None
        bound._estimator = Estimator(space, descriptions, remembered, earlier)
        return bound

    def _odds(self) -> tuple[float, float]:
        """Give the shares of inputs that S lost workers take, as coded and with copies alone."""
        k, n, s = self._n_inputs, self._n_workers, self._n_stragglers
        found = []
        for site in (self._design.site, balanced_copies(k, n)):
            copies = np.bincount(site, minlength=k)[:k]
            each = [math.comb(n - c, s - c) / math.comb(n, s) if c <= s else 0.0 for c in copies]
            found.append(sum(each) / k)
        return found[0], found[1]

    def decoding_matrix(self, responders: ArrayLike) -> Matrix:
        """Give the decoder of one responder set as a dense matrix.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray, shape (K, R)
            ``decode(y, responders) == decoding_matrix(responders) @ y``.

        Raises
        ------
        TypeError
            If the decoder is not linear: it is fitted to the answers unless ``fit=None``, and
            with a memory it adds what is remembered. Else as `decode`.
        ValueError, NotEnoughRespondersError
            As `decode`.
        """
        if self._fit is not None:
            raise TypeError(
                'fit="answers" chooses the decoder by the answers, so that it has no matrix; '
                "call decode, or make the scheme with fit=None"
            )
        if self._memory is not None:
            raise TypeError(
                "a decoder with a memory adds what is remembered, so that it has no matrix; "
                "call decode, or make the scheme without memory"
            )
        return super().decoding_matrix(responders)

    @untraced
    def decode_with_std(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Give the outputs of all inputs, and how large their errors are expected to be.

        The kriging variance, and where the answers are fitted the disagreement of what is
        blended, times a factor that makes the errors of answers left out as large as that
        predicts: of a fit to more than ten points the factor of those for which it predicts about
        as much as for the output, left out alone and together with their nearest neighbour.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        outputs : array of the kind and floating dtype of `coded_outputs`, shape (K, ...)
            As `decode`.
        std : ndarray of float, shape (K,)
            The expected root mean square of ``||output_k - f(x_k)||_2``. 0 where the output is
            an exact answer, that of the mean where copies differ; inf where all that is known is
            the answer to one other input, which does not tell how much f varies.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        if not is_float(coded_outputs):
            return decode_with_std_as_it_is(self, coded_outputs, responders)
        array, restore, workers = self._read_answers(coded_outputs, responders)
        decoder, std = self._decoder_with_std(array, workers)
        return apply_decoder(self, decoder, coded_outputs, array, restore), std

    def _recall(self, array: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give the memory's pairs, checked against the inputs."""
        if self._memory is None:
            return array[:0], np.empty(0)
        past, answers = self._memory.snapshot()
        if len(past) and past.shape[1:] != array.shape[1:]:
            raise ValueError(
                f"inputs have shape {array.shape[1:]} each, but the memory holds inputs of shape "
                f"{past.shape[1:]}; use a memory for each function"
            )
        return past, answers

    def _build_encoder(self) -> LinearMap:
        held = self._held()
        return FilledMap(held, self._design.chords[self._design.site[held < 0] - self._n_inputs])

    def _build_decoder(self, responders: Responders) -> LinearMap:
        """Copy the first answer to each input; krige the lost ones."""
        return self._estimator.linear(self._answered(responders))

    def _choose_decoder(self, coded_outputs: FloatArray, responders: Responders) -> LinearMap:
        """Give the decoder, fitted to these answers or not."""
        if self._fit is not None:
            return self._decoder_with_std(coded_outputs, responders)[0]
        self._require_enough(responders)
        self._require_alike(coded_outputs)
        return self._decoder(responders)

    def _looks_at(self, responders: Responders) -> bool:  # noqa: ARG002 (the same for all)
        return self._fit is not None or self._memory is not None

    def _decoder_with_std(
        self, coded_outputs: FloatArray, responders: Responders
    ) -> tuple[LinearMap, NDArray[np.float64]]:
        """Give the decoder for these answers, and the errors to expect of the outputs."""
        self._require_enough(responders)
        self._require_alike(coded_outputs)
        answered = self._answered(responders)
        rows = coded_outputs.reshape(len(coded_outputs), -1)
        if self._fit is not None:
            return self._estimator.fitted(answered, rows)
        std = self._estimator.std(answered, columns_of(coded_outputs))
        return self._decoder(responders), std

    def _require_alike(self, coded_outputs: FloatArray) -> None:
        """Raise ValueError unless answers have the shape of those remembered, if any are."""
        past = self._estimator.remembered
        if past is not None and coded_outputs.shape[1:] != past.shape[1:]:
            raise ValueError(
                f"coded_outputs have shape {coded_outputs.shape[1:]} each, but the memory holds "
                f"answers of shape {past.shape[1:]}; use a memory for each function"
            )

    def _answered(self, responders: Responders) -> Answered:
        """Tell which sites answered first where, and which inputs are lost."""
        return answered_at(self._design.site[list(responders)], self._n_inputs)

    @property
    def _design(self) -> Design:
        """What the workers evaluate, which `bind` decides."""
        if self._given is None:
            raise self._unbound()
        return self._given

    def _suffices(self, responders: Responders) -> bool:
        return self._given is not None and len(responders) > 0

    def _require_enough(self, responders: Responders) -> None:
        """Refuse to decode unbound, for which no number of answers would be enough."""
        if self._given is None:
            raise self._unbound()
        super()._require_enough(responders)

    def _unbound(self) -> ValueError:
        return ValueError(
            f"{self!r} knows no inputs, and they decide what workers evaluate; call "
            "bind(inputs), and encode and decode with the scheme that it returns"
        )

    def _held(self) -> NDArray[np.intp]:
        return np.where(self._design.site < self._n_inputs, self._design.site, -1)

    def __repr__(self) -> str:
        """One line that could be typed, and whether data is bound."""
        return f"{super().__repr__()}.bind(...)" if self._given else super().__repr__()

    def _settings(self) -> str:
        """Give what differs from the defaults, lest errors be long."""
        defaults = (
            ("fit", "answers"), ("features", None), ("objective", "outputs"), ("between", True),
            ("memory", None), ("fit_memory", None),
        )  # fmt: skip
        given = ((name, getattr(self, name), default) for name, default in defaults)
        told = (f", {name}={value!r}" for name, value, default in given if value != default)
        return super()._settings() + "".join(told)


def _variant(objective: Objective = "outputs", *, between: bool = True) -> Variant:
    def make(setting: Setting) -> KernelScheme:
        k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
        return KernelScheme(k, n, n_stragglers=s, objective=objective, between=between)

    return Variant(make, "none", "any answer; lost ones by kriging, with std")


VARIANTS = {
    "kernel": _variant(),
    "kernel-copies": _variant(between=False),
    "kernel-labels": _variant("labels"),
}
