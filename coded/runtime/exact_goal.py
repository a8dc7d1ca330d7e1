"""To wait for exact answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coded.runtime.goal import Goal, count
from coded.runtime.result import Indices
from coded.schemes.job import Job


def exact_goal(job: Job, rows: Indices | None = None) -> Goal:
    """Wait until every output is an exact answer that can be one, if all workers answer.

    Where there are outputs that cannot, `min_responders` answers are waited for too. Of equal
    inputs one output is enough: `rows` (K,) says which inputs are the same row.
    """

    def exact(responders: Indices) -> NDArray[np.bool_]:
        mask = np.asarray(job.exact_mask(responders))
        if rows is None:
            return mask
        merged = np.zeros(rows.max() + 1, dtype=np.bool_)
        merged[rows[mask]] = True
        return merged

    possible = exact(np.arange(len(job.payloads)))
    if not possible.any():
        return count(job.min_responders)

    def is_met(responders: Indices) -> bool:
        return bool(exact(responders)[possible].all())

    least = 1 if possible.all() else job.min_responders
    return Goal(least, "exact answers", is_met, exact)
