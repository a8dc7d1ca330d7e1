"""The SIMD sweeps of the transpose: those of `sweep`, turned round.

Where those read a knot's row and store the points of a gap, these gather the cotangents of a gap's
points and store a knot's row. All is done in the type of the recurrences: sums over many points,
and of what is divided by gaps, are those of double.
"""

from fastspline._kernels import (
    innovations_adjoint_steps,
    reinsch_adjoint_steps,
    state_space_adjoint_steps,
)
from fastspline._kernels.sweep import make_sweep
from fastspline._kernels.vector import LANES

adjoint_f4 = make_sweep(reinsch_adjoint_steps, "f4", "f8", "f8", LANES)
adjoint_f4_single = make_sweep(reinsch_adjoint_steps, "f4", "f4", "f4", 2 * LANES)
adjoint_f8 = make_sweep(reinsch_adjoint_steps, "f8", "f8", "f8", LANES)
adjoint_innovations_f4 = make_sweep(innovations_adjoint_steps, "f4", "f8", "f8", LANES)
adjoint_innovations_f8 = make_sweep(innovations_adjoint_steps, "f8", "f8", "f8", LANES)
adjoint_state_space_f4 = make_sweep(state_space_adjoint_steps, "f4", "f8", "f8", LANES)
adjoint_state_space_f8 = make_sweep(state_space_adjoint_steps, "f8", "f8", "f8", LANES)
