"""Whether answers fit a linear model, beyond their rounding: ``y = G_F z`` for some z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[Any]  # real or complex

# Roundings of its own size by which an answer may miss the model. f rounds too: sums of 4,096
# terms, three layers deep, missed it by up to 30, polynomials of degree 15 by up to 60.
_ROUNDINGS = 1000.0
# A column is measured by its own size, but by no less than this part of the columns' root mean
# square: what is 0 in exact arithmetic, as most of ``Q.T @ Q``, is the rounding of larger terms.
_SMALLEST_PART = 0.1
_FEW = 4  # mixtures of all checks that are looked at first
_COARSEST = 0.03  # no answer may miss the model by more than this part, whatever its dtype


@dataclass(frozen=True, eq=False)
class Check:
    """What answers are that no z explains.

    Attributes
    ----------
    model : callable
        Gives G_F, shape (R, symbols), R > symbols; called once, when answers come to be checked.
    """

    model: Callable[[], Numbers]

    @cached_property
    def basis(self) -> Numbers:
        """Orthonormal rows with ``basis @ G_F = 0``, shape (R - symbols, R)."""
        generator = self.model()
        full, _ = np.linalg.qr(generator, mode="complete")
        return np.ascontiguousarray(full[:, generator.shape[1] :].conj().T)

    @cached_property
    def mixtures(self) -> Numbers:
        """A few orthonormal mixtures of the basis: what it sees they see, nearly always."""
        if len(self.basis) <= _FEW:
            return self.basis
        mixing = np.random.default_rng(0).standard_normal((len(self.basis), _FEW))
        return np.ascontiguousarray(np.linalg.qr(mixing)[0].T @ self.basis)

    def contradicted(self, answers: Numbers) -> NDArray[np.intp]:
        """Give the columns that the model does not explain, ascending.

        Parameters
        ----------
        answers : ndarray, shape (R, columns)
            Float32, float64 or complex; columns that are not finite are for others to refuse.

        Returns
        -------
        ndarray of int
        """
        typical = _root_mean_square(answers)
        if np.isfinite(typical):
            seen = self.mixtures.astype(answers.dtype, copy=False) @ answers
            eps = float(np.finfo(answers.dtype).eps)
            # Allowed in any column, so that most answers are found right by this alone.
            allowed = _ROUNDINGS * eps * _SMALLEST_PART * typical
            if np.abs(seen).max(initial=0.0) <= allowed / np.sqrt(_FEW):
                return np.zeros(0, np.intp)
        return np.flatnonzero(self.measured(answers)[0] > 1.0)

    def measured(self, answers: Numbers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give by how much each column misses the model, in what is allowed and in its own size."""
        unit = float(np.abs(answers).max(initial=0.0)) or 1.0  # so that no square overflows
        rounding = np.minimum(_ROUNDINGS * _precision(answers), _COARSEST)[:, None]
        least = _ROUNDINGS * float(np.finfo(answers.dtype).smallest_subnormal) / unit
        with np.errstate(invalid="ignore", divide="ignore"):
            wide = answers.astype(np.result_type(answers.dtype, np.float64)) / unit
            missed, own = _lengths(self.basis @ wide), _lengths(wide)
            floor = _SMALLEST_PART * _root_mean_square(rounding * wide) + least
            allowed = np.hypot(_lengths(rounding * wide), floor)
            return np.nan_to_num(missed / allowed), np.nan_to_num(missed / own)


def _precision(answers: Numbers) -> NDArray[np.float64]:
    """Give the relative rounding of each row, by its numbers rather than by their dtype.

    A worker that computes in float32 may answer in float64. Whole numbers tell nothing.
    """
    precision = np.full(len(answers), float(np.finfo(answers.dtype).eps))
    parts = np.hstack([answers.real, answers.imag]) if np.iscomplexobj(answers) else answers
    single = _is_rounded_to(np.float32, parts) & ~_is_rounded_to(np.float16, parts)
    precision[single] = np.finfo(np.float32).eps
    if _is_rounded_to(np.float16, parts).all() and (parts != np.rint(parts)).any():
        precision[:] = np.finfo(np.float16).eps
    return precision


def _is_rounded_to(dtype: type[np.floating[Any]], rows: Numbers) -> NDArray[np.bool_]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((rows.astype(dtype) == rows).all(axis=1))


def _lengths(columns: Numbers) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(columns, axis=0), dtype=np.float64)


def _root_mean_square(columns: Numbers) -> float:
    """Give that of the columns' lengths, at the speed of one BLAS pass; inf where it overflows."""
    flat = columns.ravel()  # a view where rows are contiguous
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.vdot(flat, flat).real / max(columns.shape[1], 1)))
