"""Analog Lagrange coded computing: polynomials exactly, inputs behind Gaussian masks."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.linear_decoder import (
    amplification,
    exact_amplification,
    least_norm_decoder,
)
from coded.algebra.masking import ComplexArray, gaussian_leakage, gaussian_masks
from coded.arguments import read_count, read_number
from coded.maps.arrays import LinearMap, MatrixMap, apply_map
from coded.maps.torch_compile import untraced
from coded.schemes.door import read_responders
from coded.schemes.exact import ExactScheme
from coded.schemes.protocol import Responders
from coded.schemes.registry import Setting, Variant
from coded.seeds import read_seed
from fastspline.arrays import Restore, as_numpy, is_torch_tensor, read_only

_EPS = float(np.finfo(np.float64).eps)


class AnalogLagrangeScheme(ExactScheme):
    """Code a polynomial exactly, and show each worker its input behind masks only.

    The encoder is the polynomial u of degree K + T - 1 through the K inputs and T masks,
    circular complex Gaussian numbers of deviation `mask_std`; worker n gets ``u(beta_n)``,
    ``beta_n = exp(2 pi i n / N)``. For f a polynomial of the given degree, evaluated in
    complex arithmetic, ``f(u(z))`` has degree at most ``(K + T - 1) degree``, so any
    R = (K + T - 1) degree + 1 answers determine it, and the outputs are its values at the
    inputs' points. Of all decoders that are exact for such polynomials the one of least norm
    is used.

    **Numbers are complex.** `encode` and `decode` give complex128, whatever they get; real
    inputs of a polynomial with real coefficients have their outputs in ``outputs.real``.

    **Privacy is a matter of degree.** No T workers together learn more about the inputs than
    `leakage` says, per entry of the inputs and encoding; it falls as ``1 / mask_std^2``.
    Rounding errors grow as ``mask_std^degree``. Masks are drawn anew, from the operating
    system's cryptographic source, whenever `encode` is called.

    **Points.** Inputs and masks lie on ``rho exp(2 pi i j / (K + T))``, masks at evenly spread
    j, with ``rho = 4^(-1 / (K + T))``. Inside the unit circle no worker's point can coincide
    with, or come close to, an input's, which would show that worker the input (on the unit
    circle K = 5, T = 1, N = 20 would); and at equal leakage errors are smaller: a few times
    for T = 1, from 70 to 1e8 times in what was measured for T from 2 to 4.

    Responder sets that amplify rounding errors by more than 1e8 are refused, as if there
    were too few of them; `decode` warns where masks have eaten all digits. Answers beyond R must be
    those of one polynomial, up to rounding of their own size, or `decode` raises
    InconsistentAnswersError; at most half as many as are spare that contradict all others it
    leaves out, and `find_liars` names them.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= (K + T - 1) degree + 1.
    degree : int
        Of the polynomial f, at least 1. f must not conjugate, take real parts or absolute
        values; `require_polynomial` checks a function. Answers of others are refused where there
        are more than R; `estimate` decodes them, with errors without bound.
    n_colluders : int, optional
        T >= 0: how many workers may put together what they see. 0 adds no masks.
    mask_std : float, optional
        Deviation of the masks, > 0, in units of the inputs; needed where T > 0, and only there.
    rng : int or numpy.random.Generator, optional
        For tests: every `encode` draws the same masks from this seed, or from the state of the
        generator, which is not advanced. Two encodings with the same masks reveal the
        difference of their inputs.

    Raises
    ------
    TypeError
        If a count is no integer, or `mask_std` or `rng` of the wrong kind.
    ValueError
        If a count is out of range, N is below the recovery threshold, or `mask_std` is not
        positive and finite, missing or without use.

    References
    ----------
    M. Soleymani, H. Mahdavifar, A. S. Avestimehr, "Analog Lagrange Coded Computing", IEEE
    Journal on Selected Areas in Information Theory 2(1), 2021, arXiv:2008.08565.

    Examples
    --------
    >>> scheme = AnalogLagrangeScheme(2, 8, degree=2, n_colluders=1, mask_std=100.0)
    >>> scheme.min_responders
    5
    >>> coded_outputs = scheme.encode([1.0, -3.0]) ** 2
    >>> scheme.decode(coded_outputs[2:7], range(2, 7)).real.round(6)
    array([1., 9.])
    >>> f"{max(scheme.leakage([n], power=1.0) for n in range(8)):.4f} bits"
    '0.0020 bits'
    """

    _numbers = "complex"

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        degree: int,
        n_colluders: int = 0,
        mask_std: float | None = None,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_inputs, n_workers, None)
        self._degree = read_count(degree, "degree", at_least=1)
        self._n_colluders = read_count(n_colluders, "n_colluders", at_least=0)
        self._mask_std = _read_mask_std(mask_std, self._n_colluders)
        self._seed = None if rng is None else read_seed(rng)
        threshold = (self._n_inputs + self._n_colluders - 1) * self._degree + 1
        if self._n_workers < threshold:
            raise ValueError(
                f"n_workers must be >= (n_inputs + n_colluders - 1) * degree + 1 = {threshold}, "
                f"got {self._n_workers}; add workers, or lower n_inputs, n_colluders or degree"
            )
        self._n_stragglers = self._n_workers - threshold

    @property
    def degree(self) -> int:
        """Degree of the polynomials that are decoded exactly."""
        return self._degree

    @property
    def n_colluders(self) -> int:
        """T, how many workers the masks protect against."""
        return self._n_colluders

    @property
    def mask_std(self) -> float | None:
        """Deviation of the masks; None without masks."""
        return self._mask_std

    @property
    def alpha(self) -> ComplexArray:
        """Points of the inputs, shape (K,)."""
        return read_only(self._points()[~self._is_mask()])

    @property
    def beta(self) -> ComplexArray:
        """Points of the workers, the N-th roots of unity, shape (N,)."""
        return read_only(_roots_of_unity(self._n_workers))

    @property
    def encoding_matrix(self) -> ComplexArray:
        """The inputs' part of the encoder, shape (N, K); `mask_matrix` is the masks'.

        Coded inputs are ``encoding_matrix @ inputs + mask_matrix @ masks``.
        """
        return read_only(self._encoder().dense()[:, : self._n_inputs])

    @property
    def mask_matrix(self) -> ComplexArray:
        """The masks' part of the encoder, shape (N, T)."""
        return read_only(self._encoder().dense()[:, self._n_inputs :])

    @untraced
    def encode(self, inputs: ArrayLike) -> ComplexArray:
        """Turn K inputs into N coded inputs behind fresh masks.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            Real or complex numbers, numpy or torch, with any trailing shape.

        Returns
        -------
        array of complex128 of the kind of `inputs`, shape (N, ...)
            Coded input n is for worker n.

        Raises
        ------
        TypeError
            If `inputs` holds no numbers.
        ValueError
            If axis 0 has not K rows, or a number is not finite or so large that coded
            inputs overflow.
        """
        array, restore = self._read_inputs(inputs)
        if self._mask_std is not None:
            rng = None if self._seed is None else np.random.default_rng(self._seed)
            shape = (self._n_colluders, *array.shape[1:])
            array = np.concatenate([array, gaussian_masks(shape, self._mask_std, rng)])
        return restore(apply_map(self._encoder(), array, "inputs"))

    @untraced
    def decode(self, coded_outputs: ArrayLike, responders: ArrayLike) -> ComplexArray:
        """Give the outputs of all inputs from the answers of some workers.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        array of complex128 of the kind of `coded_outputs`, shape (K, ...)
            ``f(inputs)``, up to rounding errors of about
            ``(degree + 1) 2e-16 amplification(responders) max |coded_outputs|``.

        Raises
        ------
        TypeError
            If `coded_outputs` holds no numbers or `responders` no integers.
        ValueError
            If `responders` is unsorted, repeats, leaves [0, N) or has not the length
            of `coded_outputs`, or if an answer is not finite or so large that outputs
            overflow.
        NotEnoughRespondersError
            If ``can_decode(responders)`` is false (a ValueError too).
        InconsistentAnswersError
            If spare answers contradict the others, and it is not to be told which (a ValueError
            too).

        Warns
        -----
        RuntimeWarning
            If that is more than a tenth of the largest output: no digit need be right.
        """
        array, restore, workers = self._read_answers(coded_outputs, responders)
        decoder = self._choose_decoder(array, workers)
        outputs = apply_map(decoder, array, "coded_outputs")
        self._warn_of_rounding(array, outputs, amplification(decoder.dense()))
        return restore(outputs)

    def leakage(self, workers: ArrayLike, *, power: float) -> float:
        """Bound what some workers together learn about the inputs from one encoding.

        They see ``A x + B z``, A and B their rows of `encoding_matrix` and `mask_matrix`:
        a Gaussian channel of capacity ``log2 det(I + (power / mask_std^2) C C^H)``,
        ``C = B^+ A``. For one worker that is
        ``log2(1 + sum_k |A_k|^2 power / (sum_t |B_t|^2 mask_std^2))``.

        Parameters
        ----------
        workers : array_like of int, shape (C,)
            Who puts together what they see, strictly ascending.
        power : float
            Mean square ``E |x|^2`` of an entry of the inputs. Entries of different inputs must
            be uncorrelated; for others, pass K times their power: no correlation does more.

        Returns
        -------
        float
            Bits about each entry (position along the trailing axes) of all inputs together, for
            inputs of any distribution; inf for more than `n_colluders` workers.

        Raises
        ------
        TypeError
            If `workers` holds no integers.
        ValueError
            If `workers` is unsorted, repeats or leaves [0, N), or `power` is not positive
            and finite.

        References
        ----------
        As `AnalogLagrangeScheme`, "mutual information security".
        """
        who = list(read_responders(workers, self._n_workers))
        power = read_number(power, "power", "(0, inf)")
        if self._mask_std is None:
            return np.inf if who else 0.0
        return gaussian_leakage(
            self.encoding_matrix[who], self.mask_matrix[who], power=power, mask_std=self._mask_std
        )

    def read_numbers(self, values: ArrayLike, name: str) -> tuple[ComplexArray, Restore]:
        """Give real or complex `values` as complex128, and the way back to the caller's kind."""
        given: Any = values
        array, device = as_numpy(given.resolve_conj() if is_torch_tensor(given) else given, name)
        if array.dtype.kind not in "biufc" or array.dtype.itemsize > 16:
            raise TypeError(
                f"{name} must hold real or complex numbers, got dtype {array.dtype}; "
                "convert it first, for example with .astype(complex)"
            )
        return array.astype(np.complex128, copy=False), Restore(np.dtype(np.complex128), device)

    def _warn_of_rounding(
        self, answers: ComplexArray, outputs: ComplexArray, amplified: float
    ) -> None:
        """Warn where masks have made answers so large that their rounding hides the outputs."""
        factor = (self._degree + 1) * _EPS * amplified
        # The largest answer is no larger than their norm, the largest output no smaller than the
        # root mean square: mostly that tells.
        size = max(outputs.size, 1)
        if factor * np.linalg.norm(answers) <= 0.1 * np.linalg.norm(outputs) / math.sqrt(size):
            return
        largest_answer = float(np.abs(answers).max(initial=0.0))
        largest_output = float(np.abs(outputs).max(initial=0.0))
        rounding = factor * largest_answer
        if rounding <= 0.1 * largest_output or largest_answer == 0.0:
            return
        warnings.warn(
            f"outputs are at most {largest_output:.1e} and their rounding errors up to about "
            f"{rounding:.1e}, for answers as large as {largest_answer:.1e} are amplified by up to "
            f"{amplified:.1e}; lower mask_std, degree or n_inputs, or wait for more answers (if "
            "f is 0 at all inputs, ignore this)",
            RuntimeWarning,
            stacklevel=4,
        )

    def _points(self) -> ComplexArray:
        """Give the points of inputs and masks, shape (K + T,)."""
        count = self._n_inputs + self._n_colluders
        points: ComplexArray = 4.0 ** (-1.0 / count) * _roots_of_unity(count)
        return points

    def _is_mask(self) -> NDArray[np.bool_]:
        """Tell which of the points are masks', evenly spread, shape (K + T,)."""
        count = self._n_inputs + self._n_colluders
        is_mask = np.zeros(count, dtype=np.bool_)
        is_mask[np.arange(self._n_colluders) * count // max(self._n_colluders, 1)] = True
        return is_mask

    def _build_encoder(self) -> LinearMap:
        """``E[n, m] = (1 / M) sum_{j < M} (beta_n / z_m)^j``, M points z on a circle."""
        points, is_mask = self._points(), self._is_mask()
        ordered = np.concatenate([points[~is_mask], points[is_mask]])
        matrix = _powers(self.beta, len(points)) @ _powers(1.0 / ordered, len(points)).T
        return MatrixMap(matrix / len(points))

    def _build_exact(self, responders: Responders) -> tuple[LinearMap, float]:
        generator, wanted = self._generator(responders), self._wanted()
        decoder = least_norm_decoder(generator, wanted)
        return MatrixMap(decoder), exact_amplification(decoder, generator, wanted)

    def _generator(self, responders: Responders) -> ComplexArray:
        """Give the R powers of the points of the responders, a row a worker."""
        return _powers(self.beta[list(responders)], self.min_responders)

    def _wanted(self) -> ComplexArray:
        """Give the R powers of the points of the inputs, a row an input."""
        return _powers(self.alpha, self.min_responders)

    def _n_symbols(self) -> int:
        return self.min_responders

    def _model_of_f(self) -> str:
        return f"a polynomial of degree {self._degree} or less, without conjugates"

    def _determine(self, responders: Responders) -> bool:
        return len(responders) >= self.min_responders

    def _lack(self) -> str:
        return f"{self.min_responders} answers"

    def _advice(self) -> str:
        return " (a lower n_inputs or degree helps too)"

    def _held(self) -> NDArray[np.intp]:
        return np.full(self._n_workers, -1)

    def _settings(self) -> str:
        masks = f", n_colluders={self._n_colluders}, mask_std={self._mask_std}"
        seed = "" if self._seed is None else f", rng={self._seed}"
        return f", degree={self._degree}{masks if self._n_colluders else ''}{seed}"


def _roots_of_unity(count: int) -> ComplexArray:
    roots: ComplexArray = np.exp(2j * np.pi * np.arange(count) / count)
    return roots


def _powers(points: ComplexArray, count: int) -> ComplexArray:
    """Give the powers ``points^j``, j < count, a row a point."""
    return points[:, None] ** np.arange(count)


def _read_mask_std(mask_std: float | None, n_colluders: int) -> float | None:
    """Give the deviation, None without masks."""
    if n_colluders == 0:
        if mask_std is not None:
            raise ValueError(
                f"mask_std = {mask_std!r} has no use with n_colluders=0, which adds no masks; "
                "leave it out, or pass n_colluders=1 for privacy against single workers"
            )
        return None
    if mask_std is None:
        raise ValueError(
            f"mask_std must be given with n_colluders={n_colluders}: leakage falls "
            "as 1 / mask_std^2, rounding errors grow as mask_std^degree; try 1000 times the "
            "inputs' size"
        )
    return read_number(mask_std, "mask_std", "(0, inf)")


def _make(setting: Setting, n_colluders: int, mask_std: float | None) -> AnalogLagrangeScheme:
    if setting.degree is None:
        raise ValueError("f must be a polynomial of known degree")
    return AnalogLagrangeScheme(
        setting.n_inputs,
        setting.n_workers,
        degree=setting.degree,
        n_colluders=n_colluders,
        mask_std=mask_std,
    )


_GUARANTEE = "exact from (K + T - 1) d + 1 answers"
VARIANTS = {
    "analog-lagrange": Variant(
        partial(_make, n_colluders=0, mask_std=None),
        "polynomial",
        _GUARANTEE,
        numbers=AnalogLagrangeScheme._numbers,
    ),
    "analog-lagrange-private": Variant(
        partial(_make, n_colluders=1, mask_std=100.0),
        "polynomial",
        "the same, T = 1, masks of deviation 100",
        numbers=AnalogLagrangeScheme._numbers,
    ),
}
