"""Copies of the inputs; lost answers by kriging over the inputs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.estimation.answer_memory import AnswerMemory
from coded.estimation.kriging import Kriging, krige_nearest
from coded.estimation.spaces import FeatureMap, Space, best_space, spaces_of
from coded.maps.arrays import LinearMap, Matrix, MatrixMap, columns_of
from coded.maps.copies import FilledMap
from coded.maps.torch_compile import untraced
from coded.nearness.distances import FEW, flattened, natural_units
from coded.nearness.features import is_image, pooled_gradients
from coded.nearness.order import path_order
from coded.places.designs import Design, design_for_labels, design_for_outputs, design_for_smooth
from coded.places.input_lines import FEWEST_FOR_CURVE
from coded.places.placement import balanced_copies
from coded.schemes.copying import decode_with_std_as_it_is
from coded.schemes.decoding_with_std import apply_decoder
from coded.schemes.door import is_float
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import FloatArray, Restore, read_array, require_finite

Features: TypeAlias = Callable[[FloatArray], ArrayLike] | Literal["loo"] | None
Objective: TypeAlias = Literal["outputs", "labels"]

# Powers p of the covariance r^p: measured, not tuned.
_LINEAR, _RAW, _SMOOTH, _CUBIC = 1.0, 1.5, 1.8, 3.0
_NEAREST = 100  # answers, of this batch and remembered, that estimate a lost one


class KernelScheme(LinearScheme):
    """Send inputs as they are; estimate lost answers by kriging over the inputs.

    Workers evaluate inputs, and an answer that arrives is that input's output, bit for bit. The
    others are the best linear prediction from all answers, for a random function whose
    increments vary with the distance of the inputs' features as ``|phi(u) - phi(v)|^p``: no
    order, no smoothing parameter. `bind` fixes the features, their distances and who evaluates
    what: inputs that all others would estimate badly get more copies (`copies_by_risk`, for S
    losses), but each gets at least ``floor(N / K) - 1``, and ``floor(N / K)`` where S is less,
    so that all outputs are exact then. With N < K copies are dealt evenly (`balanced_copies`).
    Only what `bind` returns can encode and decode.

    With ``objective="labels"`` every input has max(1, round(0.6 N / K)) copies, and the other
    workers lie evenly on the straight lines between neighbours of `path_order` over the
    features: where more than half of the answers are lost, a network's labels are a little more
    often right; outputs err more. Eight or more inputs of at most 3 numbers are always coded like
    that, for f is expected to be smooth there, with max(1, floor((N - S) / K)) copies, and
    ceil(6 S / N) more of the two at the ends of the path.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= 1; with N < K some inputs are evaluated by nobody and always estimated.
    n_stragglers : int, optional
        How many answers may be missing, in [0, N), for which copies are dealt. None means
        ``max(N - K, 0)``.
    features : callable, "loo" or None, optional
        phi. None: `pooled_gradients` (p = 1.8) of inputs whose last two axes are both at least
        8 long, else the flattened input itself: p = 1.5, and for at most 3 numbers, in units of
        each one's range, p = 3 with a linear trend, or 1 where inputs and memory are fewer than
        eight. A callable maps a stack (n, ...) of inputs to (n, d) features, p = 1.8. "loo"
        chooses among flattened input and gradients, with p of 1.5, 1.8 and for at most 3 numbers
        that one, by the leave-one-out errors of the answers at hand; it is no linear code.
    objective : {"outputs", "labels"}, optional
        What counts: small errors of the outputs, or that the largest output is the right one.
    memory : AnswerMemory, optional
        Earlier answers of the same function. What it holds at `bind` counts for the bound
        scheme: each lost answer is then kriged from the 100 nearest of answers and memory.

    Raises
    ------
    TypeError
        If a count is no integer, or `features` or `memory` of the wrong kind.
    ValueError
        If a count is out of range or `objective` none of the two.

    References
    ----------
    J.-P. Chiles, P. Delfiner, "Geostatistics", 2nd ed., Wiley 2012, chapters 3 and 4.

    Examples
    --------
    >>> inputs = np.linspace(0.0, 3.0, 9)
    >>> scheme = KernelScheme(9, 21).bind(inputs)
    >>> outputs = scheme.decode(np.sin(scheme.encode(inputs))[::2], np.arange(0, 21, 2))
    >>> bool(np.abs(outputs - np.sin(inputs)).max() < 0.01)
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
        features: Features = None,
        objective: Objective = "outputs",
        memory: AnswerMemory | None = None,
    ) -> None:
        super().__init__(n_inputs, n_workers, n_stragglers)
        is_named = isinstance(features, str) and features == "loo"
        if not (features is None or is_named or callable(features)):
            raise TypeError(
                f'features must be a callable, "loo" or None, got {features!r}; pass a function '
                "from a stack of inputs to a stack of vectors"
            )
        if not (isinstance(objective, str) and objective in ("outputs", "labels")):
            raise ValueError(
                f'objective must be "outputs" or "labels", got {objective!r}; "labels" if only the '
                "largest output counts"
            )
        if not (memory is None or isinstance(memory, AnswerMemory)):
            raise TypeError(
                f"memory must be an AnswerMemory or None, got {memory!r}; make one, add answers "
                "to it and pass it"
            )
        self._features = features
        self._objective = objective
        self._memory = memory
        self._spaces: tuple[Space, ...] = ()
        self._remembered: FloatArray | None = None
        self._given: Design | None = None  # by `bind`

    @property
    def features(self) -> Features:
        """The features phi, as given."""
        return self._features

    @property
    def objective(self) -> Objective:
        """What counts, "outputs" or "labels"."""
        return self._objective

    @property
    def memory(self) -> AnswerMemory | None:
        """The caller's memory of earlier answers."""
        return self._memory

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
        power = _CUBIC if is_smooth else _LINEAR if is_small else _RAW
        maps = self._feature_maps(array, restore, power)
        has_chords = is_smooth or self._objective == "labels"
        if is_smooth:
            order = path_order(maps[0][0](array))
            bound._given = design_for_smooth(order, self._n_workers, self._n_stragglers)
        elif has_chords:
            bound._given = design_for_labels(path_order(maps[0][0](array)), self._n_workers)
        sites = array
        if has_chords:
            sites = np.concatenate([array, MatrixMap(bound._design.chords)(array)])
        bound._spaces = tuple(
            space for phi, powers in maps for space in spaces_of(phi, sites, past, powers)
        )
        bound._remembered = answers if len(answers) else None
        bound._looks_at_answers = len(bound._spaces) > 1 or bound._remembered is not None
        if not has_chords and 1 < self._n_inputs <= self._n_workers:
            risk = bound._spaces[0].risks()
            bound._given = design_for_outputs(risk, self._n_workers, self._n_stragglers)
        elif not has_chords:
            copies = balanced_copies(self._n_inputs, self._n_workers)
            bound._given = Design(copies, np.empty((0, self._n_inputs)))
        return bound

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
            If the decoder is not linear: with ``features="loo"`` it depends on the answers, with
            a memory it adds what is remembered. Else as `decode`.
        ValueError, NotEnoughRespondersError
            As `decode`.
        """
        if self._features == "loo":
            raise TypeError(
                'features="loo" chooses the decoder by the answers, so that it has no matrix; '
                "call decode, or choose the features"
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

        The kriging variance times a factor that makes the answers' own leave-one-out errors as
        large as it predicts.

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
            an exact answer; inf where all that is known is the answer to one other input, which
            does not tell how much f varies.

        Raises
        ------
        TypeError, ValueError, NotEnoughRespondersError
            As `decode`.
        """
        if not is_float(coded_outputs):
            return decode_with_std_as_it_is(self, coded_outputs, responders)
        array, restore, workers = self._read_answers(coded_outputs, responders)
        self._require_alike(array)
        self._require_enough(workers)
        survivors = self._survivors(workers)
        parts = self._krige(array, survivors)
        decoder = self._fill(survivors, parts)
        outputs = apply_decoder(self, decoder, coded_outputs, array, restore)
        values = columns_of(array)[survivors.first]
        if self._remembered is not None:
            values = np.concatenate([values, columns_of(self._remembered)])
        std = np.zeros(self._n_inputs)
        spread = [kriging.std(values[sources]) for sources, kriging in parts]
        std[survivors.lost] = np.concatenate([np.empty(0), *spread])
        return outputs, std

    def _feature_maps(
        self, array: FloatArray, restore: Restore, power: float
    ) -> list[tuple[FeatureMap, tuple[float, ...]]]:
        """Give the maps phi, the preferred one first, each with the powers to be tried."""
        phi = self._features
        if callable(phi):

            def checked(stack: FloatArray) -> FloatArray:
                return _read_features(phi(restore(stack.copy())), len(stack))  # phi may write

            return [(checked, (_SMOOTH,))]
        if phi is None and is_image(array):
            return [(pooled_gradients, (_SMOOTH,))]
        units = natural_units(flattened(array))

        def in_units(stack: FloatArray) -> FloatArray:
            return flattened(stack) / units

        if phi is None:
            return [(in_units, (power,))]
        raw = (in_units, tuple(dict.fromkeys((power, _RAW, _SMOOTH))))
        return [(pooled_gradients, (_SMOOTH, _RAW)), raw] if is_image(array) else [raw]

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
        """Copy the first answer to each input; krige the lost ones by the first space."""
        survivors = self._survivors(responders)
        return self._fill(survivors, self._krige(None, survivors))

    def _choose_decoder(self, coded_outputs: FloatArray, responders: Responders) -> LinearMap:
        """Give the decoder; with several spaces that which leaves out best."""
        self._require_alike(coded_outputs)
        if len(self._spaces) < 2:
            return self._decoder(responders)
        self._require_enough(responders)
        survivors = self._survivors(responders)
        return self._fill(survivors, self._krige(coded_outputs, survivors))

    def _require_alike(self, coded_outputs: FloatArray) -> None:
        """Raise ValueError unless answers have the shape of those remembered, if any are."""
        past = self._remembered
        if past is not None and coded_outputs.shape[1:] != past.shape[1:]:
            raise ValueError(
                f"coded_outputs have shape {coded_outputs.shape[1:]} each, but the memory holds "
                f"answers of shape {past.shape[1:]}; use a memory for each function"
            )

    def _survivors(self, responders: Responders) -> _Survivors:
        """Tell which sites answered first where, and which inputs are lost."""
        sites, first = np.unique(self._design.site[list(responders)], return_index=True)
        source = np.full(self._n_inputs, -1)
        is_copy = sites < self._n_inputs
        source[sites[is_copy]] = first[is_copy]
        return _Survivors(sites, first, source, np.flatnonzero(source < 0), len(responders))

    def _krige(self, coded_outputs: FloatArray | None, survivors: _Survivors) -> list[_Part]:
        """Krige the lost inputs: all from all answers or, with a memory, each from those near."""
        if survivors.lost.size == 0:
            return []
        space = self._spaces[0]
        if coded_outputs is not None and len(self._spaces) > 1:
            values = columns_of(coded_outputs)[survivors.first]
            space = best_space(self._spaces, survivors.sites, values)
        if self._remembered is None:
            found = space.krige(survivors.sites, survivors.lost)
            return [(np.arange(len(survivors.sites)), found)]
        known = np.concatenate([space.rows[survivors.sites], space.past])
        return [krige_nearest(space.rows[k], known, space.power, _NEAREST) for k in survivors.lost]

    def _fill(self, survivors: _Survivors, parts: list[_Part]) -> LinearMap:
        """Give the map that copies answers and fills the lost inputs by kriging."""
        n_sites = len(survivors.sites)
        past = self._remembered
        n_known = n_sites + (0 if past is None else len(past))
        weights = np.zeros((len(survivors.lost), n_known))
        at = 0
        for sources, kriging in parts:
            rows = slice(at, at := at + len(kriging.weights))
            weights[rows, sources] = kriging.weights
        on_answers = np.zeros((len(weights), survivors.count))
        on_answers[:, survivors.first] = weights[:, :n_sites]
        if past is None:
            return FilledMap(survivors.source, on_answers)
        return FilledMap(survivors.source, on_answers, weights[:, n_sites:] @ columns_of(past))

    @property
    def _design(self) -> Design:
        """What the workers evaluate, which `bind` decides."""
        if self._given is None:
            raise ValueError(
                f"{self!r} knows no inputs, and they decide what workers evaluate; call "
                "bind(inputs), and encode and decode with the scheme that it returns"
            )
        return self._given

    def _suffices(self, responders: Responders) -> bool:
        return self._given is not None and len(responders) > 0

    def _need(self, responders: Responders) -> str:
        if self._given is None and responders:
            return "inputs: call bind(inputs), and decode with the scheme that encoded"
        return "1 answer"

    def _held(self) -> NDArray[np.intp]:
        return np.where(self._design.site < self._n_inputs, self._design.site, -1)

    def __repr__(self) -> str:
        """One line that could be typed, and whether data is bound."""
        return f"{super().__repr__()}.bind(...)" if self._spaces else super().__repr__()

    def _settings(self) -> str:
        return (
            f"{super()._settings()}, features={self._features!r}, objective={self._objective!r}, "
            f"memory={self._memory!r}"
        )


@dataclass(frozen=True, eq=False)
class _Survivors:
    """Who answered: the sites, ascending, the first answer to each, and the inputs without one."""

    sites: NDArray[np.intp]
    first: NDArray[np.intp]
    source: NDArray[np.intp]  # (K,): which answer is the input's own, or -1
    lost: NDArray[np.intp]
    count: int  # all answers, the repeats included


_Part: TypeAlias = tuple[NDArray[np.intp], Kriging]  # which of the known values, and their weights


def _read_features(values: ArrayLike, count: int) -> FloatArray:
    """Check what the caller's features give."""
    array, _ = read_array(values, "features(inputs)")
    if array.ndim == 0 or len(array) != count:
        raise ValueError(
            f"features must give a vector for each of {count} inputs, gave shape {array.shape}; "
            "return a stack along axis 0"
        )
    require_finite(array, "features(inputs)")
    return array.reshape(count, -1)


def _variant(objective: Objective) -> Variant:
    def make(setting: Setting) -> KernelScheme:
        k, n, s = setting.n_inputs, setting.n_workers, setting.n_stragglers
        return KernelScheme(k, n, n_stragglers=s, objective=objective)

    return Variant(make, "none", "any answer; lost ones by kriging, with std")


VARIANTS = {
    "kernel": _variant("outputs"),
    "kernel-labels": _variant("labels"),
}
