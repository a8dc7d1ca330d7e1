"""Any scheme on what a cheap guess of f leaves over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Self, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from coded.estimation.coefficient import significant_slope
from coded.maps.arrays import Matrix
from coded.maps.torch_compile import untraced
from coded.schemes.door import refuse_gradient
from coded.schemes.exact import ExactScheme
from coded.schemes.linear import LinearScheme
from coded.schemes.protocol import (
    AssigningFunctions,
    ErrorEstimating,
    NotEnoughRespondersError,
)
from fastspline.arrays import FloatArray, Restore, read_array, require_finite

Prior: TypeAlias = Callable[[FloatArray], ArrayLike]
Fit: TypeAlias = Literal["answers"] | None

_ALIKE = 1.1  # times the expected error without prior: is no reason to leave coefficient 1
_WORTH = 1.5  # times smaller must errors be by another one: chance makes some a little smaller


class WithPrior:
    """Code the residual ``f - c prior`` by another scheme: what a cheap guess of f leaves over.

    Workers get the scheme's coded inputs u and compute f as ever. `bind` evaluates the prior
    once on the K inputs x and once on the N coded inputs, here and not in the workers, and
    the outputs are ``c prior(x) + decode(f(u) - c prior(u))``. The better the guess, the smaller
    what has to be estimated: a quantised or distilled model, a regression fitted to earlier
    answers. An answer to an input itself is its output, bit for bit.

    By default the answers choose c, where the scheme has `decode_with_std` (as this one has then
    too: the errors of the residual's estimates are those of the outputs): 1, or 0 where the scheme
    expects smaller errors without prior, or the slope of the answers over the guesses where that
    is significant and the scheme expects errors of less than two thirds. A prior on another scale
    is put right so, and a useless one is left out. Constants need no coefficient: all schemes
    pass them. That is two or three decodings where something is lost.

    Parameters
    ----------
    scheme : SplineScheme, BerrutScheme, ReplicationScheme, KernelScheme or LagrangeScheme
        Any linear code; not one with a memory of earlier answers, which are answers of f and
        not of the residual.
    prior : callable
        From a stack of inputs, shape (n, ...), of the kind that `bind` gets, to the stack of
        guesses, each of the shape of an answer of f. Cheap, and each row from its input alone.
    fit : {"answers", None}, optional
        None takes the prior at face value, c = 1.

    Raises
    ------
    TypeError
        If `scheme` is no linear code over the real numbers or has workers that do not evaluate
        f, or `prior` is not callable.
    ValueError
        If `scheme` has a memory, or `fit` is neither.

    Examples
    --------
    >>> from coded import SplineScheme
    >>> inputs = np.linspace(-1.0, 1.0, 6)
    >>> scheme = WithPrior(SplineScheme(6, 12), prior=np.sin).bind(inputs)
    >>> coded_outputs = np.sin(scheme.encode(inputs)) + 1.0
    >>> outputs = scheme.decode(coded_outputs[[1, 4, 9]], [1, 4, 9])
    >>> bool(np.abs(outputs - np.sin(inputs) - 1.0).max() < 1e-12)
    True
    """

    _takes_nests = False  # the prior takes a stack of inputs

    def __new__(
        cls,
        scheme: LinearScheme,
        prior: Prior,  # noqa: ARG004 (of __init__)
        *,
        fit: Fit = "answers",  # noqa: ARG004
    ) -> Self:
        """Make one with `decode_with_std` where the scheme has it."""
        is_told = cls is WithPrior and isinstance(scheme, ErrorEstimating)
        return cast(Self, super().__new__(_ErrorEstimatingWithPrior if is_told else cls))

    def __getnewargs__(self) -> tuple[LinearScheme, Prior]:
        """Give the arguments to unpickle with."""
        return self._scheme, self._prior

    def __init__(self, scheme: LinearScheme, prior: Prior, *, fit: Fit = "answers") -> None:
        if not isinstance(scheme, LinearScheme):
            raise TypeError(
                f"scheme must be a linear code, got {scheme!r}; make one and pass it, for example "
                "SplineScheme(n_inputs, n_workers)"
            )
        if scheme._numbers != "real":
            raise TypeError(
                f"scheme {scheme!r} codes other numbers than the real ones that residuals are; "
                "use it without prior"
            )
        if isinstance(scheme, AssigningFunctions):
            raise TypeError(
                f"scheme {scheme!r} has workers that evaluate something else than f, of which a "
                "guess of f is no guess; use it without prior"
            )
        if not callable(prior):
            raise TypeError(
                f"prior must be callable, got {prior!r}; pass a function from a stack of inputs "
                "to a stack of guesses"
            )
        if getattr(scheme, "memory", None) is not None:
            raise ValueError(
                f"scheme {scheme!r} remembers answers of f, but gets residuals f - prior here; "
                "make it without memory"
            )
        if not (fit is None or (isinstance(fit, str) and fit == "answers")):
            raise ValueError(
                f'fit must be "answers" or None, got {fit!r}; None takes the prior at face value'
            )
        self._scheme = scheme
        self._prior = prior
        self._fit: Fit = fit
        self._guesses: tuple[FloatArray, FloatArray] | None = None

    @property
    def scheme(self) -> LinearScheme:
        """The scheme that codes the residual."""
        return self._scheme

    @property
    def prior(self) -> Prior:
        """The guess of f."""
        return self._prior

    @property
    def fit(self) -> Fit:
        """Whether the answers choose the prior's coefficient, as given."""
        return self._fit

    @property
    def n_inputs(self) -> int:
        """K, the number of inputs and of outputs."""
        return self._scheme.n_inputs

    @property
    def n_workers(self) -> int:
        """N, the number of coded inputs."""
        return self._scheme.n_workers

    @property
    def min_responders(self) -> int:
        """How many answers the scheme asks for."""
        return self._scheme.min_responders

    @untraced
    def bind(self, inputs: ArrayLike) -> WithPrior:
        """Bind the scheme, and evaluate the prior on the inputs and on the coded inputs.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            The inputs that will be encoded.

        Returns
        -------
        WithPrior
            For these inputs.

        Raises
        ------
        TypeError
            If the prior gives no real numbers; else as the scheme's `bind`.
        ValueError
            If the prior gives not one guess for each input, guesses of two shapes, or a number
            that is not finite; else as the scheme's `bind`.
        Exception
            What the prior itself raises, with a note on the stack that it got.
        """
        bound = WithPrior(self._scheme.bind(inputs), self._prior, fit=self._fit)
        coded_inputs = bound._scheme.encode(inputs)
        array, restore = read_array(inputs, "inputs")
        at_inputs = _guess(self._prior, restore(array), self.n_inputs)
        at_coded = _guess(self._prior, coded_inputs, self.n_workers)
        if at_inputs.shape[1:] != at_coded.shape[1:]:
            raise ValueError(
                f"prior gives guesses of shape {at_inputs.shape[1:]} for inputs and of shape "
                f"{at_coded.shape[1:]} for coded inputs; it must give one shape"
            )
        held = bound._scheme._held()
        at_coded = at_coded.copy()
        at_coded[held >= 0] = at_inputs[held[held >= 0]]  # so that copies' residuals are alike
        bound._guesses = at_inputs, at_coded
        return bound

    def encode(self, inputs: ArrayLike) -> FloatArray:
        """Turn K inputs into N coded inputs as the scheme does.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            As for the scheme's `encode`.

        Returns
        -------
        array, shape (N, ...)

        Raises
        ------
        TypeError, ValueError
            As the scheme's `encode`.
        """
        return self._scheme.encode(inputs)

    def encoder_fit(self, inputs: ArrayLike) -> FloatArray:
        """Give what the scheme's encoder makes of each input at the input's own point.

        Parameters
        ----------
        inputs : array_like, shape (K, ...)
            As for `encode`.

        Returns
        -------
        array, shape (K, ...)

        Raises
        ------
        TypeError, ValueError
            As `encode`.
        """
        return self._scheme.encoder_fit(inputs)

    def can_decode(self, responders: ArrayLike, *, dtype: DTypeLike = np.float64) -> bool:
        """Tell whether the scheme can decode from these and the prior's values are known.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.
        dtype : dtype, optional
            Of the answers, as for the scheme's `can_decode`.

        Returns
        -------
        bool
            False before `bind`.

        Raises
        ------
        TypeError, ValueError
            As the scheme's `can_decode`.
        """
        return self._guesses is not None and self._scheme.can_decode(responders, dtype=dtype)

    @untraced
    def decode(self, coded_outputs: ArrayLike, responders: ArrayLike) -> FloatArray:
        """Give ``c prior(x) + decode(f(u) - c prior(u))``, and exact answers as they came.

        Parameters
        ----------
        coded_outputs : array_like, shape (R, ...)
            Answers of f in the order of `responders`; numpy or torch.
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        array of the kind and floating dtype of `coded_outputs`, shape (K, ...)

        Raises
        ------
        TypeError
            If answers require grad, or as the scheme's `decode`.
        ValueError
            If answers have another shape than the prior's guesses; else as the scheme's
            `decode`.
        NotEnoughRespondersError
            Before `bind`, and as the scheme's `decode`.
        """
        workers, answers, restore = self._read_answers(coded_outputs, responders)
        outputs, _ = self._decoded(answers, workers)
        return restore(outputs)

    def decoding_matrix(self, responders: ArrayLike) -> Matrix:  # noqa: ARG002 (the codes' own)
        """Raise TypeError: `decode` adds the prior's guesses, which no matrix on answers does.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Not read.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            f"decode of {self!r} adds the prior's guesses, so that it has no matrix; that on the "
            "residuals is bind(inputs).scheme.decoding_matrix(responders)"
        )

    @property
    def exact_first(self) -> bool:
        """Whether a call waits for exact answers, as for those of the scheme."""
        return getattr(self._scheme, "exact_first", False)

    def exact_mask(self, responders: ArrayLike) -> NDArray[np.bool_]:
        """Tell which outputs are exact answers, not estimates.

        A Lagrange code's outputs are not exact but for the inputs that a responder evaluated
        itself: the residual need not be a polynomial.

        Parameters
        ----------
        responders : array_like of int, shape (R,)
            Indices of the answering workers, strictly ascending.

        Returns
        -------
        ndarray of bool, shape (K,)

        Raises
        ------
        TypeError, ValueError
            As the scheme's `exact_mask`.
        """
        return LinearScheme.exact_mask(self._scheme, responders)  # as no family says it otherwise

    def __repr__(self) -> str:
        """One line with the scheme and the prior's name."""
        name = getattr(self._prior, "__qualname__", None) or repr(self._prior)
        fit = "" if self._fit is not None else ", fit=None"
        line = f"WithPrior({self._scheme!r}, prior={name}{fit})"
        return line if self._guesses is None else f"{line}.bind(...)"

    def _read_answers(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[NDArray[np.intp], FloatArray, Restore]:
        """Give responders, answers, and the way back to their kind."""
        _, at_coded = self._guessed(responders)
        workers = np.asarray(responders)
        if not self._scheme.can_decode(workers):
            raise NotEnoughRespondersError(
                f"{len(workers)} of {self.n_workers} workers answered, from which {self!r} cannot "
                "decode; wait for more answers or raise n_workers",
                responders=workers,
            )
        refuse_gradient(coded_outputs, "coded_outputs", self)
        answers, restore = read_array(coded_outputs, "coded_outputs")
        guesses = at_coded[workers]
        if answers.shape != guesses.shape:
            raise ValueError(
                f"coded_outputs has shape {answers.shape}, but {len(workers)} responders and the "
                f"prior's guesses ask for {guesses.shape}; pass one row for each responder, of the "
                "shape that the prior gives"
            )
        return workers, answers, restore

    def _decoded(
        self, answers: FloatArray, workers: NDArray[np.intp]
    ) -> tuple[FloatArray, NDArray[np.float64] | None]:
        """Give outputs, and the errors to expect of them where the scheme has told."""
        scheme = self._scheme
        if isinstance(scheme, ExactScheme):  # which would refuse what is no polynomial
            estimates = scheme.estimate(self._residuals(answers, workers, 1.0), workers)
            return self._completed(estimates, answers, workers, 1.0, None), None
        coefficient, std = 1.0, None
        is_fitted = self._fit is not None and not scheme.exact_mask(workers).all()
        if isinstance(scheme, ErrorEstimating) and (
            is_fitted or scheme._looks_at(tuple(workers.tolist()))
        ):
            tried = self._tried(answers, workers) if is_fitted else self._try(answers, workers, 1.0)
            coefficient, estimates, std = tried
        else:
            estimates = scheme.decode(self._residuals(answers, workers, 1.0), workers)
        return self._completed(estimates, answers, workers, coefficient, std), std

    def _tried(self, answers: FloatArray, workers: NDArray[np.intp]) -> _Trial:
        """Try coefficients; where expected errors are alike take 1, or else 0."""
        plain, without = (self._try(answers, workers, c) for c in (1.0, 0.0))
        if plain.error > _ALIKE * without.error:
            plain = without
        slope = significant_slope(self._guessed(workers)[1][workers], answers)
        if slope is None:
            return plain
        scaled = self._try(answers, workers, slope)
        return scaled if scaled.error * _WORTH < plain.error else plain

    def _try(self, answers: FloatArray, workers: NDArray[np.intp], coefficient: float) -> _Trial:
        """Decode what the prior leaves over at this coefficient."""
        residuals = self._residuals(answers, workers, coefficient)
        return _Trial(
            coefficient, *cast(ErrorEstimating, self._scheme).decode_with_std(residuals, workers)
        )

    def _residuals(
        self, answers: FloatArray, workers: NDArray[np.intp], coefficient: float
    ) -> FloatArray:
        """Give what the prior leaves over."""
        guesses = self._guessed(workers)[1][workers]
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            residuals = answers - (coefficient * guesses).astype(answers.dtype, copy=False)
        if not np.isfinite(residuals).all():
            require_finite(answers, "coded_outputs")
            raise ValueError(
                f"coded_outputs less the prior's guesses overflow {answers.dtype}; scale them down"
            )
        return residuals

    def _completed(
        self,
        estimates: FloatArray,
        answers: FloatArray,
        responders: NDArray[np.intp],
        coefficient: float,
        std: NDArray[np.float64] | None,
    ) -> FloatArray:
        """Add the prior, and put exact answers in their places, which a sum would round."""
        at_inputs, _ = self._guessed(responders)
        with np.errstate(over="ignore"):  # told below
            outputs = estimates + (coefficient * at_inputs).astype(estimates.dtype, copy=False)
        if not np.isfinite(outputs).all():
            raise ValueError(f"outputs overflow {outputs.dtype}; scale answers and prior down")
        answered, first = np.unique(self._scheme._held()[responders], return_index=True)
        is_exact = answered >= 0
        if std is not None:  # means of copies that differ have one
            is_exact &= std[answered] == 0.0
        outputs[answered[is_exact]] = answers[first[is_exact]]
        return outputs

    def _guessed(self, responders: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Give the prior's guesses for inputs and coded inputs."""
        if self._guesses is None:
            raise NotEnoughRespondersError(
                f"{self!r} needs the prior's guesses for the inputs; call bind(inputs) first",
                responders=responders,
            )
        return self._guesses


class _ErrorEstimatingWithPrior(WithPrior):
    """`WithPrior` of a scheme that is `ErrorEstimating`, which it is then too."""

    @untraced
    def decode_with_std(
        self, coded_outputs: ArrayLike, responders: ArrayLike
    ) -> tuple[FloatArray, NDArray[np.float64]]:
        """Give the outputs, and the errors that the scheme expects of the residuals' estimates."""
        workers, answers, restore = self._read_answers(coded_outputs, responders)
        outputs, std = self._decoded(answers, workers)
        if std is None:
            _, estimates, std = self._try(answers, workers, 1.0)
            outputs = self._completed(estimates, answers, workers, 1.0, std)
        return restore(outputs), std


class _Trial(NamedTuple):
    """What a coefficient of the prior gives."""

    coefficient: float
    estimates: FloatArray
    std: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The root of the expected squared errors, summed."""
        return float(np.hypot.reduce(self.std, initial=0.0))


def _guess(prior: Prior, stack: FloatArray, count: int) -> FloatArray:
    """Evaluate the prior on a stack; refuse what are not `count` finite guesses."""
    mending = "pass lambda stack: np.stack([prior(x) for x in stack]) if prior takes one input"
    try:
        given = prior(stack)
    except Exception as error:
        error.add_note(
            f"prior got a stack of {count} inputs, shape {tuple(stack.shape)}; {mending}."
        )
        raise
    guesses, _ = read_array(given, "prior(inputs)")
    if guesses.ndim == 0 or len(guesses) != count:
        raise ValueError(
            f"prior must give {count} guesses for {count} inputs along axis 0, got shape "
            f"{guesses.shape}; {mending}"
        )
    require_finite(guesses, "prior(inputs)")
    return guesses
