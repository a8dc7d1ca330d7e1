"""Layers of torch networks whose work is coded over workers: any K of N answers give a layer."""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Self, SupportsIndex, TypeAlias

from coded.arguments import read_count
from coded.extras import needing
from coded.layers.blocks import BlockCode, LayerReport, require_finite
from coded.runtime.request import read_request
from coded.runtime.terms import HedgeAfter, Terms
from coded.runtime.waiting import answer
from coded.schemes.mds import MDSScheme
from coded.schemes.protocol import NotEnoughRespondersError

with needing("Coded layers need", "torch", extra="torch"):
    import torch

# By how much the decoder of answers in a dtype may amplify their errors. In bfloat16 they stay at
# 1 % of the outputs with that (measured), and any one of eight blocks may be lost.
_LIMITS = {torch.float64: 1e8, torch.float32: 1e4, torch.bfloat16: 32.0}
_LARGE = 1_000_000  # numbers of a weight from which it is coded where nobody says which are

Select: TypeAlias = Callable[[str, torch.nn.Module], bool]


def _this_process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


@dataclass(frozen=True)
class BlockWork:
    """What a worker does: a layer without bias, by a block of its weight's rows.

    In other processes than that which made it, it sets the number of torch's CPU threads.
    """

    threads: int
    convolution: tuple[Any, ...] | None = None  # stride, padding and dilation; None: linear
    home: tuple[str, int] = field(default_factory=_this_process)

    def __call__(self, block: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Give the block's outputs."""
        if self.home != _this_process() and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        with torch.autocast("cpu", enabled=False):  # on in some threads, if at all
            if self.convolution is None:
                return torch.nn.functional.linear(inputs, block)
            return torch.nn.functional.conv2d(inputs, block, None, *self.convolution)

    def join(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Put the outputs of blocks side by side."""
        return torch.cat(list(parts), self.axis)

    @property
    def axis(self) -> int:
        """The axis of the outputs along which that is."""
        return -1 if self.convolution is None else -3


class _CodedLayer(torch.nn.Module):
    """What coded layers share: their weight lies with workers, in blocks of rows."""

    def __init__(
        self,
        layer: torch.nn.Linear | torch.nn.Conv2d,
        counts: tuple[SupportsIndex, SupportsIndex],
        executor: Executor | Sequence[Executor],
        work: BlockWork,
        terms: Terms,
        *,
        recompute_lost: bool,
    ) -> None:
        super().__init__()
        if not isinstance(recompute_lost, bool):
            raise TypeError(f"recompute_lost must be True or False, got {recompute_lost!r}")
        _require_plain(layer)
        self.n_blocks = read_count(counts[0], "n_blocks", at_least=1, at_most=len(layer.weight))
        self.n_workers = read_count(counts[1], "n_workers", at_least=self.n_blocks)
        self.last = LayerReport()
        bias = None if layer.bias is None else layer.bias.detach().clone()
        scheme = MDSScheme(self.n_blocks, self.n_workers)
        self.dtype = layer.weight.dtype
        self.code = BlockCode(
            work, layer.weight.detach(), bias, scheme,
            most=_LIMITS[self.dtype], recomputes=recompute_lost,
        )  # fmt: skip
        self._request = read_request(work, (), self.code, executor, terms)
        self._settings = layer.extra_repr()

    def extra_repr(self) -> str:
        """Give the plain layer's settings, K and N."""
        return f"{self._settings}, n_blocks={self.n_blocks}, n_workers={self.n_workers}"

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Give the layer's outputs from any K answers.

        Parameters
        ----------
        inputs : Tensor
            As the plain layer takes them, in the weight's dtype; finite.

        Returns
        -------
        Tensor
            As the plain layer gives them, without gradient.

        Raises
        ------
        TypeError
            If `inputs` is no CPU tensor of the weight's dtype.
        ValueError
            If its shape does not fit, or a number is not finite.
        RuntimeError
            If a gradient of `inputs` is asked for.
        NotEnoughRespondersError
            If K workers do not answer and ``recompute_lost`` is False.
        """
        self._require(inputs)
        inputs = inputs.detach()
        outputs: torch.Tensor
        if inputs.numel() == 0:
            outputs, _ = self.code.outputs({}, inputs)
            return outputs
        try:
            result = answer(replace(self._request, operands=(inputs,)))
            outputs, recomputed = result.outputs
            self.last = LayerReport(result.responders, recomputed, result.failures)
        except NotEnoughRespondersError as error:
            if not self.code.recomputes:
                raise
            outputs, recomputed = self.code.outputs({}, inputs)  # nobody answered
            self.last = LayerReport(recomputed=recomputed, failures=error.failures)
        return outputs

    def _require(self, inputs: torch.Tensor) -> None:
        """Refuse inputs that the layer is not for."""
        if not isinstance(inputs, torch.Tensor):
            raise TypeError(f"inputs must be a Tensor, got {type(inputs).__name__}")
        if inputs.dtype != self.dtype or inputs.device.type != "cpu":
            raise TypeError(
                f"inputs must be of {self.dtype} on the CPU, as the weight, got {inputs.dtype} on "
                f"{inputs.device}; convert them by .to"
            )
        if inputs.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"inputs require a gradient, and a {type(self).__name__} gives none; call it under "
                "torch.no_grad(), or detach them"
            )
        self._require_shape(tuple(inputs.shape))
        require_finite(inputs, "inputs")

    def _require_shape(self, shape: tuple[int, ...]) -> None:
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Give a layer with hooks and a report of its own, and the same workers and weight."""
        twin = type(self).__new__(type(self))
        torch.nn.Module.__init__(twin)
        own = set(vars(twin))  # what every module has
        for name, value in vars(self).items():
            vars(twin)[name] = copy.deepcopy(value, memo) if name in own else value
        return twin

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: executors belong to their process."""
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled, for its executors belong to this process; "
            "save its state_dict(), which is that of the plain layer, and code that one again"
        )

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, *_: bool) -> None:
        """Save what the plain layer would."""
        destination[f"{prefix}weight"] = torch.cat(self.code.parts())
        if self.code.bias is not None:
            destination[f"{prefix}bias"] = self.code.bias

    def _load_from_state_dict(self, *_: Any) -> NoReturn:
        """Refuse: what is with the workers stays as it is."""
        raise RuntimeError(
            f"a {type(self).__name__} cannot load a state_dict, for its weight lies with workers; "
            "load it into the plain layer and code that"
        )

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], *_: bool) -> Self:
        """Refuse other dtypes and devices: what is with the workers stays as it is."""
        sample = fn(torch.empty(0, dtype=self.dtype))
        if sample.dtype != self.dtype or sample.device.type != "cpu":
            raise TypeError(
                f"a {type(self).__name__} stays {self.dtype} on the CPU, for its weight lies "
                f"with workers, and cannot become {sample.dtype} on {sample.device}; convert the "
                "plain layer and code that"
            )
        return self


class CodedLinear(_CodedLayer):
    """A `torch.nn.Linear` whose work is split among N workers, of which any K give the layer.

    The rows of the weight are cut into K blocks of which each worker keeps one, the first K as
    they are, each other one a mixture of all (`MDSScheme`): slow, frozen and dead workers cost no
    answer while K others answer. A forward pass sends the inputs to all of them, decodes lost
    blocks from the answers that came, and adds the bias, here. What the first K workers answer is
    the layer's bit for bit. Decoded blocks have the answers' rounding times up to a, the
    `MDSScheme.amplification` of the workers that answered. In bfloat16, of which sums are made in
    float32, the outputs' error stays below ``a eps`` of their norm, eps = 2**-7. Where a exceeds
    1e4 in float32, 32 in bfloat16 or 1e8 in float64, blocks are computed here until it does not.

    The workers get their blocks with the first inputs, so that the first pass takes longer, and
    again where their process was replaced. This process keeps all N blocks too, for that and for
    blocks that have to be computed here: N/K times the weight, in all of the workers and here.

    For inference alone: outputs have no gradient, and where one of the inputs would be asked for
    the layer raises. Any number of threads may call it at once. Its `state_dict` is that of the
    plain layer; it loads none, stays in its dtype, whatever autocast says, and on the CPU, and has
    no ``weight``: a module that reads that of its parts cannot have them coded. It cannot be
    pickled; ``copy.deepcopy`` shares workers and weight. The executors stay the caller's.
    `torch.compile` runs it as it is. Answers are believed: a worker that lies is not found out.

    Parameters
    ----------
    layer : torch.nn.Linear
        In float32, float64 or bfloat16, on the CPU; without hooks. It is not changed.
    n_blocks : int
        K, at most the layer's outputs. Where it does not divide them, blocks differ by one row.
    n_workers : int
        N >= K.
    executor : Executor or sequence of Executor
        As for `coded_map`: threads, ``LocalWorkers.executors``, Dask, Ray.
    timeout : float or None, optional
        Seconds after which a forward pass goes on without the workers that have not answered.
        None: it may wait for a frozen one for ever.
    hedge_after : float or "p95", optional
        As for `coded_map`.
    recompute_lost : bool, optional
        Whether, once fewer than K workers can answer or the timeout is over, what is missing is
        computed in this process. Else NotEnoughRespondersError is raised.
    threads : int, optional
        CPU threads of torch in each worker process; those of this process are left alone.

    Attributes
    ----------
    n_blocks, n_workers : int
        K and N.
    last : LayerReport
        Of the latest forward pass, of any thread: `responders`, `recomputed` blocks, `failures`.
    code : BlockCode
        The coded blocks, and what is done with them.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If an argument has a value that is not allowed.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> plain, inputs = torch.nn.Linear(6, 4), torch.ones(3, 6)
    >>> with ThreadPoolExecutor(3) as pool:
    ...     layer = CodedLinear(plain, 2, 3, pool)
    ...     torch.allclose(layer(inputs), plain(inputs), atol=1e-5)
    True
    >>> layer
    CodedLinear(in_features=6, out_features=4, bias=True, n_blocks=2, n_workers=3)
    """

    def __init__(
        self,
        layer: torch.nn.Linear,
        n_blocks: SupportsIndex,
        n_workers: SupportsIndex,
        executor: Executor | Sequence[Executor],
        *,
        timeout: float | None = 10.0,
        hedge_after: HedgeAfter = None,
        recompute_lost: bool = True,
        threads: SupportsIndex = 1,
    ) -> None:
        _require_kind(layer, torch.nn.Linear)
        super().__init__(
            layer,
            (n_blocks, n_workers),
            executor,
            BlockWork(read_count(threads, "threads", at_least=1)),
            Terms(timeout=timeout, hedge_after=hedge_after),
            recompute_lost=recompute_lost,
        )
        self.in_features, self.out_features = layer.in_features, layer.out_features

    def _require_shape(self, shape: tuple[int, ...]) -> None:
        if not shape or shape[-1] != self.in_features:
            raise ValueError(
                f"inputs has shape {shape}, but the layer takes (..., {self.in_features}); put the "
                "features last"
            )


class CodedConv2d(_CodedLayer):
    """A `torch.nn.Conv2d` whose work is split among N workers, of which any K give the layer.

    All is as for `CodedLinear`, with output channels for rows.

    Parameters
    ----------
    layer : torch.nn.Conv2d
        With any stride, padding by zeros and dilation, and one group.
    n_blocks, n_workers, executor, timeout, hedge_after, recompute_lost, threads
        As for `CodedLinear`; K is at most the number of output channels.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If an argument has a value that is not allowed.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> plain, images = torch.nn.Conv2d(3, 8, 5, padding=2), torch.ones(2, 3, 9, 9)
    >>> with ThreadPoolExecutor(3) as pool:
    ...     layer = CodedConv2d(plain, 2, 3, pool)
    ...     torch.allclose(layer(images), plain(images), atol=1e-5)
    True
    """

    def __init__(
        self,
        layer: torch.nn.Conv2d,
        n_blocks: SupportsIndex,
        n_workers: SupportsIndex,
        executor: Executor | Sequence[Executor],
        *,
        timeout: float | None = 10.0,
        hedge_after: HedgeAfter = None,
        recompute_lost: bool = True,
        threads: SupportsIndex = 1,
    ) -> None:
        _require_kind(layer, torch.nn.Conv2d)
        if not _is_simple(layer):
            raise ValueError(
                f"layer must have one group and padding by zeros, got groups={layer.groups} and "
                f"padding_mode={layer.padding_mode!r}; leave it uncoded"
            )
        convolution = (layer.stride, layer.padding, layer.dilation)
        super().__init__(
            layer,
            (n_blocks, n_workers),
            executor,
            BlockWork(read_count(threads, "threads", at_least=1), convolution),
            Terms(timeout=timeout, hedge_after=hedge_after),
            recompute_lost=recompute_lost,
        )
        self.in_channels, self.out_channels = layer.in_channels, layer.out_channels

    def _require_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) not in (3, 4) or shape[-3] != self.in_channels:
            raise ValueError(
                f"inputs has shape {shape}, but the layer takes (N, {self.in_channels}, H, W) or "
                f"({self.in_channels}, H, W); put the channels there"
            )


_CODED: dict[type, Callable[..., _CodedLayer]] = {
    torch.nn.Linear: CodedLinear,
    torch.nn.Conv2d: CodedConv2d,
}


def coded_layer(
    module: torch.nn.Module,
    n_blocks: SupportsIndex,
    n_workers: SupportsIndex,
    executor: Executor | Sequence[Executor],
    *,
    select: Select | None = None,
    timeout: float | None = 10.0,
    hedge_after: HedgeAfter = None,
    recompute_lost: bool = True,
    threads: SupportsIndex = 1,
) -> torch.nn.Module:
    """Copy a module with its large layers coded: `CodedLinear` and `CodedConv2d` in their places.

    The copy is for inference: in eval mode, its parameters without gradient. Coded are layers that
    are of `torch.nn.Linear` or `torch.nn.Conv2d` itself, not of their subclasses, and that are
    called as modules. Of a `torch.nn.TransformerEncoderLayer` these are ``linear1`` and
    ``linear2``; its fused fast path, which reads their weights instead of calling them, is
    switched off in the copy, also in `torch.nn.TransformerEncoder`. The projections of
    `torch.nn.MultiheadAttention` stay uncoded, for it reads their weights, too.

    Parameters
    ----------
    module : torch.nn.Module
        A layer or what holds layers; it is not changed.
    n_blocks, n_workers, executor, timeout, hedge_after, recompute_lost, threads
        As for `CodedLinear`, for each layer.
    select : callable, optional
        ``select(name, layer)`` tells whether a layer is to be coded, the name as in
        ``module.named_modules()``. None: those whose weight has a million numbers or more, and
        that `CodedConv2d` takes; for smaller ones the way to the workers costs more than the work.

    Returns
    -------
    torch.nn.Module
        Of the kind of `module`, or a coded layer where `module` is one layer.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If no layer is to be coded, or one cannot be as asked.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from torch.nn import Linear, ReLU, Sequential
    >>> plain, inputs = Sequential(Linear(6, 9), ReLU(), Linear(9, 2)), torch.ones(3, 6)
    >>> with ThreadPoolExecutor(4) as pool:
    ...     model = coded_layer(plain, 3, 4, pool, select=lambda name, layer: name == "0")
    ...     torch.allclose(model(inputs), plain(inputs), atol=1e-5)
    True
    >>> model[0]
    CodedLinear(in_features=6, out_features=9, bias=True, n_blocks=3, n_workers=4)
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {module!r}")
    if select is not None and not callable(select):
        raise TypeError(f"select must be a function of name and layer or None, got {select!r}")
    chosen = [
        layer
        for name, layer in module.named_modules()
        if type(layer) in _CODED and (select or _is_large)(name, layer)
    ]
    if not chosen:
        size = "" if select else f", of {_LARGE:,} numbers or more"
        raise ValueError(
            f"module must have a torch.nn.Linear or Conv2d to be coded{size}, and has none; choose "
            "by select=lambda name, layer: ..."
        )
    places: dict[int, Any] = {  # what the deep copy takes in place of each
        id(layer): _CODED[type(layer)](
            layer, n_blocks, n_workers, executor, timeout=timeout, hedge_after=hedge_after,
            recompute_lost=recompute_lost, threads=threads,
        )
        for layer in chosen
    }  # fmt: skip
    copied = copy.deepcopy(module, places).eval().requires_grad_(requires_grad=False)
    for part in copied.modules():
        if any(isinstance(one, _CodedLayer) for one in part.modules()):
            if isinstance(part, torch.nn.TransformerEncoder):
                part.use_nested_tensor = False
            elif isinstance(part, torch.nn.TransformerEncoderLayer):
                part.activation_relu_or_gelu = 0  # nothing but the fast path asks for it
    return copied


def _is_large(_: str, layer: Any) -> bool:
    return _is_simple(layer) and layer.weight.numel() >= _LARGE


def _is_simple(layer: Any) -> bool:
    """Whether each output channel sees all inputs, with zeros around them."""
    return getattr(layer, "groups", 1) == 1 and getattr(layer, "padding_mode", "zeros") == "zeros"


def _require_kind(layer: object, kind: type) -> None:
    """Refuse other modules, and subclasses, which may compute something else."""
    if type(layer) is not kind:
        name = type(layer).__name__
        raise TypeError(f"layer must be a plain torch.nn.{kind.__name__}, got {name}; make one")


def _require_plain(layer: torch.nn.Linear | torch.nn.Conv2d) -> None:
    """Refuse layers in dtypes and places that are not coded, and what a coded one would lose."""
    weight = layer.weight
    if weight.dtype not in _LIMITS or weight.device.type != "cpu":
        raise TypeError(
            "layer must have a weight in float32, float64 or bfloat16 on the CPU, got "
            f"{weight.dtype} on {weight.device}; convert it by .to"
        )
    for name, parameter in layer.named_parameters():
        require_finite(parameter.detach(), name)
    if layer._forward_hooks or layer._forward_pre_hooks:
        raise ValueError("layer must have no hooks, which would not be called; remove them first")
