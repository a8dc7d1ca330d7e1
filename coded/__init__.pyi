"""The public names and their homes, a line each: `__init__.py` reads them, and so does mypy.

``# needs PACKAGE`` ends the line of a name that cannot be imported without that extra.
"""

from coded.algebra.polynomial_check import require_polynomial as require_polynomial
from coded.comparison.gradients import compare_gradients as compare_gradients
from coded.comparison.jobs import JobComparison as JobComparison
from coded.comparison.measure import compare as compare
from coded.comparison.outcome import ComparedCode as ComparedCode
from coded.comparison.outcome import Comparison as Comparison
from coded.comparison.products import compare_matmul as compare_matmul
from coded.data.encoding import encode_dataset as encode_dataset
from coded.data.encoding import least_squares_gradient as least_squares_gradient
from coded.data.frames import frame_bounds as frame_bounds
from coded.data.frames import hadamard_frame as hadamard_frame
from coded.data.frames import paley_frame as paley_frame
from coded.data.shuffling import ShufflePlan as ShufflePlan
from coded.data.shuffling import shuffling_rates as shuffling_rates
from coded.estimation.answer_memory import AnswerMemory as AnswerMemory
from coded.evaluation.metrics import label_confidence as label_confidence
from coded.evaluation.metrics import mean_interval as mean_interval
from coded.evaluation.metrics import mean_l2 as mean_l2
from coded.evaluation.metrics import mean_square as mean_square
from coded.evaluation.metrics import relative_accuracy as relative_accuracy
from coded.evaluation.recommendation import Recommendation as Recommendation
from coded.evaluation.recommendation import recommend as recommend
from coded.evaluation.simulation import Simulation as Simulation
from coded.evaluation.simulation import simulate as simulate
from coded.gradients.bernoulli import BernoulliCode as BernoulliCode
from coded.gradients.coded_gradient import coded_gradient as coded_gradient
from coded.gradients.coupon import BatchedCouponCode as BatchedCouponCode
from coded.gradients.cyclic import CyclicCode as CyclicCode
from coded.gradients.fractional import FractionalRepetitionCode as FractionalRepetitionCode
from coded.gradients.gradient_code import GradientCode as GradientCode
from coded.gradients.graph import GraphCode as GraphCode
from coded.gradients.partial import PartialCode as PartialCode
from coded.gradients.random_cyclic import RandomCyclicCode as RandomCyclicCode
from coded.gradients.rescaling import RescalingCode as RescalingCode
from coded.gradients.unbiased import UnbiasedCode as UnbiasedCode
from coded.latency.simulator import simulate_latency as simulate_latency
from coded.layers.coded_layer import CodedConv2d as CodedConv2d  # needs torch
from coded.layers.coded_layer import CodedLinear as CodedLinear  # needs torch
from coded.layers.coded_layer import coded_layer as coded_layer  # needs torch
from coded.nearness.features import pooled_gradients as pooled_gradients
from coded.nearness.order import path_order as path_order
from coded.nearness.order import similar_groups as similar_groups
from coded.places.placement import balanced_copies as balanced_copies
from coded.places.placement import best_placement as best_placement
from coded.places.placement import expected_answered as expected_answered
from coded.places.points import chebyshev_first as chebyshev_first
from coded.places.points import chebyshev_second as chebyshev_second
from coded.places.points import equidistant as equidistant
from coded.places.points import systematic as systematic
from coded.private.collaborative import CollaborativeRegression as CollaborativeRegression
from coded.private.quantiser import sigmoid_polynomial as sigmoid_polynomial
from coded.private.regression import FittedRegression as FittedRegression
from coded.private.regression import PrivateRegression as PrivateRegression
from coded.products.circulant import CirculantMatmulCode as CirculantMatmulCode
from coded.products.coded_matmul import coded_matmul as coded_matmul
from coded.products.coded_sketch import CodedSketchMatmulCode as CodedSketchMatmulCode
from coded.products.convolutional import ConvolutionalMatmulCode as ConvolutionalMatmulCode
from coded.products.field import FieldMatmulCode as FieldMatmulCode
from coded.products.khatri_rao import KhatriRaoMatmulCode as KhatriRaoMatmulCode
from coded.products.matmul_code import MatmulCode as MatmulCode
from coded.products.mds import MDSMatmulCode as MDSMatmulCode
from coded.products.multiply import multiply as multiply
from coded.products.newton import sketched_newton_step as sketched_newton_step
from coded.products.orthogonal import OrthoMatDotMatmulCode as OrthoMatDotMatmulCode
from coded.products.orthogonal import OrthoPolyMatmulCode as OrthoPolyMatmulCode
from coded.products.oversketch import OverSketchMatmulCode as OverSketchMatmulCode
from coded.products.polynomial import PolynomialMatmulCode as PolynomialMatmulCode
from coded.products.rotation import RotationMatmulCode as RotationMatmulCode
from coded.runtime.call import WorkerBusyError as WorkerBusyError
from coded.runtime.coded_map import coded_map as coded_map
from coded.runtime.coded_map_async import coded_as_completed as coded_as_completed
from coded.runtime.coded_map_async import coded_map_async as coded_map_async
from coded.runtime.model import CodedBatch as CodedBatch
from coded.runtime.model import CodedModel as CodedModel
from coded.runtime.progress import ProgressBar as ProgressBar  # needs rich
from coded.runtime.result import CodedResult as CodedResult
from coded.schemes.analog_lagrange import AnalogLagrangeScheme as AnalogLagrangeScheme
from coded.schemes.approxifer import ApproxIFERScheme as ApproxIFERScheme
from coded.schemes.berrut import BerrutScheme as BerrutScheme
from coded.schemes.bspline import BSplineScheme as BSplineScheme
from coded.schemes.field_lagrange import FieldLagrangeScheme as FieldLagrangeScheme
from coded.schemes.job import Code as Code
from coded.schemes.job import Job as Job
from coded.schemes.job import ResidentCode as ResidentCode
from coded.schemes.kernel import KernelScheme as KernelScheme
from coded.schemes.lagrange import LagrangeScheme as LagrangeScheme
from coded.schemes.mds import MDSScheme as MDSScheme
from coded.schemes.parity import ParityScheme as ParityScheme
from coded.schemes.product import ProductScheme as ProductScheme
from coded.schemes.protocol import InconsistentAnswersError as InconsistentAnswersError
from coded.schemes.protocol import NotEnoughRespondersError as NotEnoughRespondersError
from coded.schemes.protocol import Scheme as Scheme
from coded.schemes.replication import ReplicationScheme as ReplicationScheme
from coded.schemes.spline import SplineScheme as SplineScheme
from coded.schemes.with_prior import WithPrior as WithPrior
from coded.secure.analog import AnalogMatmulCode as AnalogMatmulCode
from coded.secure.cross_subspace import CrossSubspaceMatmulCode as CrossSubspaceMatmulCode
from coded.secure.dft import SecureDFTMatmulCode as SecureDFTMatmulCode
from coded.secure.gasp import GASPMatmulCode as GASPMatmulCode
from coded.secure.matdot import SecureMatDotMatmulCode as SecureMatDotMatmulCode
from coded.secure.private_library import PrivateLibrary as PrivateLibrary
from coded.secure.secure_code import SecureMatmulCode as SecureMatmulCode
from coded.secure.secure_matmul import secure_matmul as secure_matmul
from coded.stragglers import ConsecutiveStragglers as ConsecutiveStragglers
from coded.stragglers import IndependentStragglers as IndependentStragglers
from coded.stragglers import MachineStragglers as MachineStragglers
from coded.stragglers import ParetoDelays as ParetoDelays
from coded.stragglers import StragglerModel as StragglerModel
from coded.stragglers import UniformStragglers as UniformStragglers
from coded.workers.local_workers import LocalWorkers as LocalWorkers
from coded.workers.ray_executor import RayExecutor as RayExecutor  # needs ray
from coded.workers.torch_worker import TorchWorker as TorchWorker  # needs torch
from fastspline import __version__ as __version__
