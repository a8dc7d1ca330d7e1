"""The outputs of inputs that nobody answered, from all answers and what is remembered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coded.estimation.fit_memory import FitMemory, Searched
from coded.estimation.kriging import Kriging, krige_nearest
from coded.estimation.measured import Answered, Measured, measured_at
from coded.estimation.spaces import Space
from coded.estimation.views import Description
from coded.maps.arrays import LinearMap, Matrix, columns_of
from coded.maps.copies import FilledMap
from fastspline.arrays import FloatArray, require_finite

if TYPE_CHECKING:  # they take scipy's linear algebra with them
    from coded.estimation.fitted import Estimate
    from coded.estimation.likelihood import Values

_NEAREST = 100  # answers, of this batch and remembered, that krige a lost one
_Part: TypeAlias = tuple[NDArray[np.intp], Kriging]  # which of the known values, and their weights


@dataclass(frozen=True, eq=False)
class EarlierFits:
    """The caller's memory, what it told at `bind`, and what points between inputs cost.

    Attributes
    ----------
    memory : FitMemory
    starts : tuple of Searched or None
    odds : tuple of float, or None
        Shares of the inputs that are lost on average with points between inputs, and with copies
        alone; None where there are no such points.
    """

    memory: FitMemory
    starts: tuple[Searched | None, ...]
    odds: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Estimator:
    """What is known of a code's points when answers come: where they lie, and earlier answers.

    Attributes
    ----------
    space : Space
        Sites (the inputs, then other points that workers evaluate) and remembered inputs.
    descriptions : tuple of Description
        What there is to be fitted to answers: of the sites and the remembered inputs.
    remembered : ndarray, shape (remembered, columns), or None
        The answers to remembered inputs.
    fits : EarlierFits or None
        Where to keep what is fitted, and where searches start.
    """

    space: Space
    descriptions: tuple[Description, ...] = ()
    remembered: FloatArray | None = None
    fits: EarlierFits | None = None

    def linear(self, answered: Answered) -> FilledMap:
        """Give the map that copies the first answers, and kriges all others in a fixed way."""
        return self._filled(answered, self._weights_of(answered, self._krige(answered)))

    def std(self, answered: Answered, answers: Matrix) -> NDArray[np.float64]:
        """Give the errors to expect of what `linear` makes of answers (R, columns), (K,)."""
        std = np.zeros(len(answered.source))
        std[answered.lost] = self._std_of(self._krige(answered), answers[answered.first])
        return std

    def fitted(
        self, answered: Answered, answers: FloatArray
    ) -> tuple[LinearMap, NDArray[np.float64]]:
        """Give a map that is fitted to answers (R, columns), and the errors to expect, (K,).

        Answers to an input are copied; if they differ, they are measurements, of which the mean
        counts. Outputs without answer are what the answers support (`estimate`); what these are
        too few for, as by `linear`.
        """
        measured = measured_at(answers, answered)
        std = np.zeros(len(answered.source))
        weights = np.zeros((0, len(answered.sites)))
        if answered.lost.size or measured is not None:
            require_finite(answers, "coded_outputs")
        if answered.lost.size:
            weights, std[answered.lost] = self._estimated(answers, answered, measured)
        if measured is None:
            return self._filled(answered, weights), std
        inputs, counts = answered.sites[answered.is_copied], measured.counts[answered.is_copied]
        std[inputs] = measured.deviation / np.sqrt(counts)
        return self._averaged(answered, measured, weights), std

    def _estimated(
        self, answers: FloatArray, answered: Answered, measured: Measured | None
    ) -> tuple[Matrix, NDArray[np.float64]]:
        """Give the weights of all that is known for the lost inputs, and the errors to expect."""
        # Loaded when something is lost, for it takes scipy's linear algebra with it.
        from coded.estimation.fitted import estimate
        from coded.estimation.likelihood import Values

        known = answered.sites
        given = Values(answers[answered.first], np.ones(len(known)))
        if measured is not None:
            means = measured.averages @ answers
            given = Values(means, measured.counts, measured.deviation, measured.spare)
        if self.remembered is not None:
            count = len(self.remembered)
            known = np.append(known, len(self.space.rows) + np.arange(count))
            given = replace(
                given,
                means=np.concatenate([given.means, columns_of(self.remembered)]),
                counts=np.append(given.counts, np.ones(count)),
            )
        views = [view for each in self.descriptions for view in each.views]
        starts = () if self.fits is None else self.fits.starts
        found = estimate(views, known, answered.lost, given, starts)
        if found is not None:
            if self.fits is not None:
                gain = self._gain(found, answered, given)
                self.fits.memory.keep(found.searched, gain)
            return found.weights, found.std
        parts = self._krige(answered)
        here = columns_of(given.means[: len(answered.sites)])
        return self._weights_of(answered, parts), self._std_of(parts, here)

    def _gain(self, found: Estimate, answered: Answered, given: Values) -> float | None:
        """Give the log of what copies alone would err over what points between inputs err.

        That is mean squares of left-out answers to inputs, estimated from those to inputs alone
        and from all, each times the share of inputs that is lost. None where that is not known.
        """
        assert self.fits is not None
        odds, errors = self.fits.odds, found.left_out
        if odds is None or errors is None or self.remembered is not None:
            return None
        if not self.fits.memory.is_curious:
            return None
        from coded.estimation.fitted import estimate

        own = np.flatnonzero(answered.is_copied)
        views = [view for each in self.descriptions for view in each.views]
        alone = estimate(views, answered.sites[own], answered.lost, given.part(own))
        if alone is None or alone.left_out is None:
            return None
        unit = float(alone.left_out.max(initial=0.0)) or 1.0  # squares of huge and tiny ones
        between, copies = (
            share * float(((each / unit) ** 2).mean())
            for share, each in zip(odds, (errors[own], alone.left_out), strict=True)
        )
        return float(np.log(max(copies, 1e-300)) - np.log(max(between, 1e-300)))

    def _krige(self, answered: Answered) -> list[_Part]:
        """Krige the lost inputs: all from all answers or, with a memory, each from those near."""
        if answered.lost.size == 0:
            return []
        space = self.space
        if self.remembered is None:
            found = space.krige(answered.sites, answered.lost)
            return [(np.arange(len(answered.sites)), found)]
        known = np.concatenate([space.rows[answered.sites], space.past])
        near = partial(krige_nearest, rows=known, power=space.power, count=_NEAREST)
        return [near(space.rows[k]) for k in answered.lost]

    def _weights_of(self, answered: Answered, parts: list[_Part]) -> Matrix:
        """Give the weights of all that is known for the lost inputs."""
        past = self.remembered
        n_known = len(answered.sites) + (0 if past is None else len(past))
        weights = np.zeros((len(answered.lost), n_known))
        at = 0
        for sources, kriging in parts:
            rows = slice(at, at := at + len(kriging.weights))
            weights[rows, sources] = kriging.weights
        return weights

    def _std_of(self, parts: list[_Part], values: Matrix) -> NDArray[np.float64]:
        """Give the errors that kriging expects from the values at the sites and remembered ones."""
        if self.remembered is not None:
            values = np.concatenate([values, columns_of(self.remembered)])
        return np.concatenate([np.empty(0), *(found.std(values[at]) for at, found in parts)])

    def _filled(self, answered: Answered, weights: Matrix) -> FilledMap:
        """Give the map that copies the first answers, with weights of all known for the others."""
        n_sites = len(answered.sites)
        on_answers = np.zeros((len(weights), len(answered.which)))
        on_answers[:, answered.first] = weights[:, :n_sites]
        return FilledMap(answered.source, on_answers, self._constant(weights[:, n_sites:]))

    def _averaged(self, answered: Answered, measured: Measured, weights: Matrix) -> FilledMap:
        """Give the map that averages the answers of each site, with weights for the others."""
        n_sites, is_copied = len(answered.sites), answered.is_copied
        rows = np.zeros((len(answered.source), len(answered.which)))
        rows[answered.sites[is_copied]] = measured.averages[is_copied]
        rows[answered.lost] = weights[:, :n_sites] @ measured.averages
        source = answered.source.copy()
        source[answered.sites[is_copied & (measured.counts > 1.0)]] = -1
        mixed = np.flatnonzero(source < 0)
        constant = self._constant(weights[:, n_sites:])
        if constant is not None:
            all_constants = np.zeros((len(rows), constant.shape[1]))
            all_constants[answered.lost] = constant
            constant = all_constants[mixed]
        return FilledMap(source, rows[mixed], constant)

    def _constant(self, weights: Matrix) -> Matrix | None:
        """Give what remembered answers add to the outputs that have these weights for them."""
        past = self.remembered
        return None if past is None or not len(weights) else weights @ columns_of(past)
