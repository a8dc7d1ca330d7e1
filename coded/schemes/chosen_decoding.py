"""Decoders of `SplineScheme` that the answers choose: their lam, or what is blended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.estimation.cross_validation import smoothing_by_gcv
from coded.estimation.guarded_splines import Lines, guarded
from coded.estimation.likelihood import Values
from coded.estimation.measured import Answered, Measured, measured_at
from coded.estimation.sites import Sites
from coded.estimation.splines_on_lines import errors_at_inputs, least_lam
from coded.maps.arrays import LinearMap, Matrix, MatrixMap, columns_of
from coded.maps.copies import FilledMap
from coded.nearness.distances import distances
from coded.schemes.bound_layouts import AtInputs
from coded.schemes.decoding_with_std import apply_decoder, decode_with_std
from coded.schemes.door import is_float
from coded.schemes.layouts import Layout
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Responders
from fastspline.arrays import FloatArray, require_finite


@dataclass(frozen=True, eq=False)
class _OfLam(MatrixMap):
    """A matrix that the answers chose, by their lam."""

    lam: float


def choose(
    layout: Layout, lam_dec: str, coded_outputs: FloatArray, responders: Responders
) -> LinearMap:
    """Give the decoder for answers (R, ...), by `lam_dec`: "gcv" or "guarded"."""
    require_finite(coded_outputs, "coded_outputs")
    if lam_dec == "guarded":
        return _guarded(layout, coded_outputs, responders)[0]
    answers, sites = columns_of(coded_outputs), layout.sites(responders)
    return _OfLam(*smoothing_by_gcv(sites, answers, least_lam(len(layout.alpha))))


def decode_as_chosen(
    scheme: LinearScheme,
    layout: Layout,
    lam_dec: str,
    coded_outputs: ArrayLike,
    responders: ArrayLike,
) -> tuple[FloatArray, NDArray[np.float64]]:
    """Decode as `choose`, and give the errors to expect of the K outputs."""
    if lam_dec == "guarded" and is_float(coded_outputs):
        array, restore, workers = scheme._read_answers(coded_outputs, responders)
        scheme._require_enough(workers)
        require_finite(array, "coded_outputs")
        decoder, std = _guarded(layout, array, workers)
        return apply_decoder(scheme, decoder, coded_outputs, array, restore), std

    def errors(decoder: LinearMap, answers: Matrix, workers: Responders) -> NDArray[np.float64]:
        """Estimate the errors of means of copies smoothed by a lam > 0."""
        assert isinstance(decoder, _OfLam)
        return errors_at_inputs(
            layout.sites(workers), answers, lam=decoder.lam, growth=(1.0, 1.0), has_means=True
        )

    return decode_with_std(scheme, coded_outputs, responders, errors)


def _guarded(
    layout: Layout, coded_outputs: FloatArray, responders: Responders
) -> tuple[LinearMap, NDArray[np.float64]]:
    """Keep answers, and give what they support for the lost ones, with the errors to expect."""
    answers, sites = columns_of(coded_outputs), layout.sites(responders)
    source = _sources(layout, responders)
    lost = np.flatnonzero(source < 0)
    answered = Answered(sites.present, sites.first, sites.which, source, lost)
    measured = measured_at(coded_outputs.reshape(len(answers), -1), answered)
    weights, std = np.zeros((0, len(sites.first))), np.zeros(len(source))
    if lost.size:
        weights, std[lost] = _estimated(layout, sites, lost, answers, measured)
    if measured is None:
        on_answers = np.zeros((lost.size, len(answers)))
        on_answers[:, sites.first] = weights
        return FilledMap(source, on_answers), std
    averages = measured.averages
    own = np.flatnonzero(source >= 0)
    at = sites.which[source[own]]  # the site of each input that has an answer
    std[own] = measured.deviation / np.sqrt(measured.counts[at])
    rows = np.zeros((len(source), len(answers)))
    rows[own], rows[lost] = averages[at], weights @ averages
    source[own[measured.counts[at] > 1.0]] = -1
    return FilledMap(source, rows[source < 0]), std


def _sources(layout: Layout, responders: Responders) -> NDArray[np.intp]:
    """Give which answer is each input's own, the first of several, or -1."""
    held = layout.held()[list(responders)]
    source = np.full(len(layout.alpha), -1)
    own = np.flatnonzero(held >= 0)[::-1]
    source[held[own]] = own  # the last written, the first, stays
    return source


def _estimated(
    layout: Layout,
    sites: Sites,
    lost: NDArray[np.intp],
    answers: Matrix,
    measured: Measured | None,
) -> tuple[Matrix, NDArray[np.float64]]:
    """Give weights of the sites for the lost inputs, and the errors to expect."""
    n_inputs = len(layout.alpha)
    values = Values(answers[sites.first], np.ones(len(sites.first)))
    if measured is not None:
        values = Values(measured.averages @ answers, measured.counts)
    lines = Lines(
        sites.knots,
        sites.points[:, lost],
        least_lam(n_inputs),
        layout.growth,
        *_apart(layout, sites, lost),
    )
    found = guarded(lines, values)
    if found is not None:
        return found.weights, found.std
    unit = float(np.abs(answers).max(initial=0.0)) or 1.0
    std = unit * errors_at_inputs(
        sites, answers / unit, lam=0.0, growth=layout.growth, has_means=measured is not None
    )
    return _interpolating(layout, sites)[lost], std[lost]


def _apart(layout: Layout, sites: Sites, lost: NDArray[np.intp]) -> tuple[Matrix, Matrix]:
    """Give distances among the sites, and from lost inputs to them, by which one is the nearest."""
    if isinstance(layout, AtInputs):
        known = layout.places[sites.present]
        return distances(known, known), distances(layout.places[lost], known)
    knots, points = sites.knots[0], sites.points[0, lost]
    return np.abs(knots[:, None] - knots), np.abs(points[:, None] - knots)


def _interpolating(layout: Layout, sites: Sites) -> Matrix:
    """Give the decoder by lam_dec = 0 as a matrix on the sites."""
    first = np.arange(len(sites.first))
    one_each = sites._replace(first=first, which=first, counts=np.ones_like(first))
    return np.asarray(layout.decoder(one_each, 0.0).dense())
