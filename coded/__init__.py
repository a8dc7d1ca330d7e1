"""Coded computing: all K outputs from whichever of N workers answered."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coded.algebra.polynomial_check import require_polynomial
    from coded.comparison.measure import ComparedCode, Comparison, compare
    from coded.estimation.memory import AnswerMemory
    from coded.evaluation.metrics import (
        label_confidence,
        mean_interval,
        mean_l2,
        mean_square,
        relative_accuracy,
    )
    from coded.evaluation.recommendation import Recommendation, recommend
    from coded.evaluation.simulation import Simulation, simulate
    from coded.latency.simulator import simulate_latency
    from coded.nearness.features import pooled_gradients
    from coded.nearness.order import path_order, similar_groups
    from coded.places.placement import balanced_copies, best_placement, expected_answered
    from coded.places.points import chebyshev_first, chebyshev_second, equidistant, systematic
    from coded.runtime.call import WorkerBusyError
    from coded.runtime.coded_map import coded_map, coded_map_async
    from coded.runtime.model import CodedBatch, CodedModel
    from coded.runtime.progress import ProgressBar as ProgressBar
    from coded.runtime.result import CodedResult
    from coded.schemes.analog_lagrange import AnalogLagrangeScheme
    from coded.schemes.approxifer import ApproxIFERScheme
    from coded.schemes.berrut import BerrutScheme
    from coded.schemes.field_lagrange import FieldLagrangeScheme
    from coded.schemes.kernel import KernelScheme
    from coded.schemes.lagrange import LagrangeScheme
    from coded.schemes.mds import MDSScheme
    from coded.schemes.parity import ParityScheme
    from coded.schemes.product import ProductScheme
    from coded.schemes.protocol import NotEnoughRespondersError, Scheme
    from coded.schemes.replication import ReplicationScheme
    from coded.schemes.spline import SplineScheme
    from coded.schemes.with_prior import WithPrior
    from coded.stragglers import (
        ConsecutiveStragglers,
        IndependentStragglers,
        MachineStragglers,
        ParetoDelays,
        StragglerModel,
        UniformStragglers,
    )
    from coded.workers.local_workers import LocalWorkers
    from coded.workers.ray_executor import RayExecutor as RayExecutor
    from coded.workers.torch_worker import TorchWorker as TorchWorker

# Resolved on first use (PEP 562), so that a worker process pays only for what it uses.
_HOME = {
    "AnalogLagrangeScheme": "coded.schemes.analog_lagrange",
    "AnswerMemory": "coded.estimation.memory",
    "ApproxIFERScheme": "coded.schemes.approxifer",
    "BerrutScheme": "coded.schemes.berrut",
    "CodedBatch": "coded.runtime.model",
    "CodedModel": "coded.runtime.model",
    "CodedResult": "coded.runtime.result",
    "ComparedCode": "coded.comparison.measure",
    "Comparison": "coded.comparison.measure",
    "ConsecutiveStragglers": "coded.stragglers",
    "FieldLagrangeScheme": "coded.schemes.field_lagrange",
    "IndependentStragglers": "coded.stragglers",
    "KernelScheme": "coded.schemes.kernel",
    "LagrangeScheme": "coded.schemes.lagrange",
    "LocalWorkers": "coded.workers.local_workers",
    "MDSScheme": "coded.schemes.mds",
    "MachineStragglers": "coded.stragglers",
    "NotEnoughRespondersError": "coded.schemes.protocol",
    "ParetoDelays": "coded.stragglers",
    "ParityScheme": "coded.schemes.parity",
    "ProductScheme": "coded.schemes.product",
    "ProgressBar": "coded.runtime.progress",
    "RayExecutor": "coded.workers.ray_executor",
    "Recommendation": "coded.evaluation.recommendation",
    "ReplicationScheme": "coded.schemes.replication",
    "Scheme": "coded.schemes.protocol",
    "Simulation": "coded.evaluation.simulation",
    "SplineScheme": "coded.schemes.spline",
    "StragglerModel": "coded.stragglers",
    "TorchWorker": "coded.workers.torch_worker",
    "UniformStragglers": "coded.stragglers",
    "WithPrior": "coded.schemes.with_prior",
    "WorkerBusyError": "coded.runtime.call",
    "balanced_copies": "coded.places.placement",
    "best_placement": "coded.places.placement",
    "chebyshev_first": "coded.places.points",
    "chebyshev_second": "coded.places.points",
    "coded_map": "coded.runtime.coded_map",
    "coded_map_async": "coded.runtime.coded_map",
    "compare": "coded.comparison.measure",
    "equidistant": "coded.places.points",
    "expected_answered": "coded.places.placement",
    "label_confidence": "coded.evaluation.metrics",
    "mean_interval": "coded.evaluation.metrics",
    "mean_l2": "coded.evaluation.metrics",
    "mean_square": "coded.evaluation.metrics",
    "path_order": "coded.nearness.order",
    "pooled_gradients": "coded.nearness.features",
    "recommend": "coded.evaluation.recommendation",
    "relative_accuracy": "coded.evaluation.metrics",
    "require_polynomial": "coded.algebra.polynomial_check",
    "similar_groups": "coded.nearness.order",
    "simulate": "coded.evaluation.simulation",
    "simulate_latency": "coded.latency.simulator",
    "systematic": "coded.places.points",
}

# Not what needs an extra: ``from coded import *`` works without.
__all__ = [
    "AnalogLagrangeScheme",
    "AnswerMemory",
    "ApproxIFERScheme",
    "BerrutScheme",
    "CodedBatch",
    "CodedModel",
    "CodedResult",
    "ComparedCode",
    "Comparison",
    "ConsecutiveStragglers",
    "FieldLagrangeScheme",
    "IndependentStragglers",
    "KernelScheme",
    "LagrangeScheme",
    "LocalWorkers",
    "MDSScheme",
    "MachineStragglers",
    "NotEnoughRespondersError",
    "ParetoDelays",
    "ParityScheme",
    "ProductScheme",
    "Recommendation",
    "ReplicationScheme",
    "Scheme",
    "Simulation",
    "SplineScheme",
    "StragglerModel",
    "UniformStragglers",
    "WithPrior",
    "WorkerBusyError",
    "balanced_copies",
    "best_placement",
    "chebyshev_first",
    "chebyshev_second",
    "coded_map",
    "coded_map_async",
    "compare",
    "equidistant",
    "expected_answered",
    "label_confidence",
    "mean_interval",
    "mean_l2",
    "mean_square",
    "path_order",
    "pooled_gradients",
    "recommend",
    "relative_accuracy",
    "require_polynomial",
    "similar_groups",
    "simulate",
    "simulate_latency",
    "systematic",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module and keep it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
