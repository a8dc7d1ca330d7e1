"""What periodic plans know of the knot whose state is taken as known; see `_solvers.periodic`."""

from fastspline.jit import JIT, njit


@njit(**JIT)
def refine_at_knots(curves, shear, q, r, force):
    """Write the forces, value over noise, of curves (n + 1, 2) without data; mend small values.

    The change of the shear at a knot, over q, is the force there: where values come near 0, what it
    gives errs less than their own rounding.
    """
    for k in range(2):
        force[0, k] = curves[0, k] / r[0]
        before = abs(curves[0, k])
        for i in range(1, r.size):
            here = abs(curves[i, k])
            size = before + here + abs(curves[i + 1, k])
            before = here
            if r[i] * (abs(shear[i - 1, k]) + abs(shear[i, k])) < q * size:
                force[i, k] = (shear[i, k] - shear[i - 1, k]) / q
                curves[i, k] = r[i] * force[i, k]
            else:
                force[i, k] = curves[i, k] / r[i]


@njit(**JIT)
def add_seam(curves, to_state, spared, lever, complement, kept):
    """Add to leverages, the seam known, what values have by its state; likewise to 1 - leverage.

    `spared` is that of the seam itself. `kept` (n,) gets what a subtraction keeps of the latter.
    """
    lever[0], complement[0], kept[0] = curves[0, 0] * to_state[0, 0], spared, 1.0
    lever[0] += curves[0, 1] * to_state[1, 0]
    for i in range(1, kept.size):
        of_state = curves[i, 0] * to_state[0, i] + curves[i, 1] * to_state[1, i]
        alone = complement[i]
        lever[i] += of_state
        complement[i] = alone - of_state
        kept[i] = complement[i] / alone
