"""ParM: a second model answers for the sum of the inputs, and lost outputs are what is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coded.algebra.linear_decoder import amplification, least_norm_decoder
from coded.maps.arrays import LinearMap, Matrix
from coded.maps.copies import FilledMap
from coded.schemes.exact import LARGEST_AMPLIFICATION, ExactScheme
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import Function, Responders
from coded.schemes.registry import Setting, Variant
from fastspline.arrays import read_only


class ParityScheme(ExactScheme):
    """Send the inputs as they are, and their sum to models that foretell the outputs' sum (ParM).

    Workers 0 ... K - 1 evaluate f at the inputs themselves; worker K + j evaluates parity model
    j at the parity query ``q_j = sum_i (i + 1)^j x_i``, j = 0 ... r - 1, with r = N - K. A
    perfect parity model would answer ``sum_i (i + 1)^j f(x_i)``. So an answered input costs
    nothing and is exact, and up to r lost outputs solve

        sum over lost i of (i + 1)^j f(x_i) = parity answer j - sum over answered i of the same:

    with r = 1, the parity answer less the other answers. Any K answers can be decoded. Where
    there are more equations than lost outputs, the solution is that of least squares, each
    equation in units of its weights' norm: answers of f do not err, parity answers do.

    Exact for linear f with ``parity_models=None`` (not for an affine f: code ``f - f(0)``);
    otherwise as good as the parity models. With r = 1 a lost output has the parity model's
    error; with r > 1 errors grow, by `amplification` at most. Responder sets that amplify by
    more than 1e8 are refused.

    The query is the plain sum, as published, and not the mean: models that were trained for ParM
    can be given as they are, and a network's first layer scales its query by itself.

    Parameters
    ----------
    n_inputs : int
        K >= 1.
    n_workers : int
        N >= K, with weights up to ``K^(N - K - 1) <= 1e8``, to leave digits to the answers.
    parity_models : sequence of callable, optional
        One for each of the N - K parity workers. Each takes what f takes, and gives an
        answer of the same shape; train it by least squares on
        ``sum_i (i + 1)^j f(x_i)``; an example: `bench.weights.train_parity`. For process pools
        they must pickle (`TorchWorker` does, and is small). None: f itself, for linear f.

    Raises
    ------
    TypeError
        If a count is no integer, or `parity_models` no sequence of callables.
    ValueError
        If a count is out of range, or there are not N - K parity models.

    References
    ----------
    J. Kosaian, K. V. Rashmi, S. Venkataraman, "Parity Models: Erasure-Coded Resilience for
    Prediction Serving Systems", SOSP 2019, arXiv:1905.00863: encoder by summation, decoder by
    subtraction, and parity models trained by least squares.

    Examples
    --------
    >>> scheme = ParityScheme(3, 4, parity_models=[lambda total: total**2 / 2.8])
    >>> inputs = np.array([1.0, 1.1, 0.9])
    >>> functions = scheme.worker_functions(np.square)
    >>> answers = [f(x) for f, x in zip(functions, scheme.encode(inputs), strict=True)]
    >>> scheme.decode([answers[n] for n in (0, 2, 3)], [0, 2, 3]).round(3)
    array([1.   , 1.404, 0.81 ])
    >>> ParityScheme(3, 5).decoding_matrix([2, 3, 4]).round(9)
    array([[ 1.,  2., -1.],
           [-2., -1.,  1.],
           [ 1.,  0.,  0.]])
    """

    _is_checked = False

    def __init__(
        self,
        n_inputs: int,
        n_workers: int,
        *,
        parity_models: Sequence[Function] | None = None,
    ) -> None:
        super().__init__(n_inputs, n_workers, None)
        n_parities = self._n_workers - self._n_inputs
        if n_parities < 0:
            raise ValueError(
                f"n_workers must be >= n_inputs = {self._n_inputs}, got {self._n_workers}: each "
                "input has a worker of its own; add workers or lower n_inputs"
            )
        if self._n_inputs ** max(n_parities - 1, 0) > LARGEST_AMPLIFICATION:
            raise ValueError(
                f"weights reach n_inputs^(n_workers - n_inputs - 1) = {self._n_inputs}^"
                f"{n_parities - 1}, but must be <= {LARGEST_AMPLIFICATION:.0e} to leave digits to "
                "the answers; lower n_workers, or code smaller groups of inputs"
            )
        self._parity_models = _read_models(parity_models, n_parities)
        self._weights = np.vander(np.arange(1.0, self._n_inputs + 1.0), n_parities, increasing=True)
        self._weights = np.ascontiguousarray(self._weights.T)

    @property
    def parity_models(self) -> tuple[Function, ...] | None:
        """What the parity workers evaluate; None is f itself."""
        return self._parity_models

    @property
    def weights(self) -> Matrix:
        """Weights of the inputs in each parity query, ``(i + 1)^j``, shape (N - K, K)."""
        return read_only(self._weights)

    def worker_functions(self, fn: Function) -> list[Function]:
        """Give what each worker evaluates: f, and the parity models.

        Parameters
        ----------
        fn : callable
            The function f.

        Returns
        -------
        list of callable, length N
            `fn` K times, then the parity models, or `fn` again where there are none.
        """
        n_parities = self._n_workers - self._n_inputs
        models = [fn] * n_parities if self._parity_models is None else self._parity_models
        return [fn] * self._n_inputs + list(models)

    def exact_mask(self, responders: ArrayLike) -> NDArray[np.bool_]:
        """Tell which outputs are exact: the answers of f, not what parity models give.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray of bool, shape (K,)
            True where the input's own worker answered.

        Raises
        ------
        TypeError, ValueError
            As `can_decode`.
        """
        return LinearScheme.exact_mask(self, responders)

    def _build_encoder(self) -> LinearMap:
        return FilledMap(self._held(), self._weights)

    def _build_exact(self, responders: Responders) -> tuple[LinearMap, float]:
        """Row k copies f(x_k), or is ``pinv(V_lost) (parities - V_answered answers)``."""
        workers = np.array(responders)
        answered = workers[workers < self._n_inputs]
        asked = self._weights[workers[len(answered) :] - self._n_inputs]  # rows of V that answered
        lost = np.setdiff1d(np.arange(self._n_inputs), answered)
        scale = 1.0 / np.linalg.norm(asked, axis=1)
        by_parity = least_norm_decoder(asked[:, lost] * scale[:, None], np.eye(len(lost))) * scale
        source = np.full(self._n_inputs, -1)
        source[answered] = np.arange(len(answered))
        decoder = FilledMap(source, np.hstack([-by_parity @ asked[:, answered], by_parity]))
        return decoder, amplification(decoder.dense())

    def _determine(self, responders: Responders) -> bool:
        return len(responders) >= self._n_inputs

    def _lack(self) -> str:
        return f"{self._n_inputs} answers"

    def _advice(self) -> str:
        return " (a lower n_inputs helps too)"

    def _held(self) -> NDArray[np.intp]:
        worker = np.arange(self._n_workers)
        return np.where(worker < self._n_inputs, worker, -1)

    def _settings(self) -> str:
        if self._parity_models is None:
            return ""
        names = (getattr(model, "__name__", type(model).__name__) for model in self._parity_models)
        return f", parity_models=[{', '.join(names)}]"


def _read_models(models: Sequence[Function] | None, n_parities: int) -> tuple[Function, ...] | None:
    """Check the parity models and give them as a tuple."""
    if models is None:
        return None
    if callable(models) or not isinstance(models, Sequence) or isinstance(models, str):
        raise TypeError(
            f"parity_models must be a sequence of functions or None, got a "
            f"{type(models).__name__}; pass a list, also of one model"
        )
    for j, model in enumerate(models):
        if not callable(model):
            raise TypeError(
                f"parity_models[{j}] must be callable, got a {type(model).__name__}; pass a "
                "function of one coded input, such as TorchWorker(model)"
            )
    if len(models) != n_parities:
        raise ValueError(
            f"parity_models must hold n_workers - n_inputs = {n_parities} models, got "
            f"{len(models)}; give one for each parity worker, or change n_workers"
        )
    return tuple(models)


def _make(setting: Setting) -> ParityScheme:
    return ParityScheme(setting.n_inputs, setting.n_workers)


VARIANTS = {"parity": Variant(_make, "linear", "exact for linear f from any K answers")}
