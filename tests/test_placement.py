import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import balanced_copies


@given(n_inputs=st.integers(1, 50), n_workers=st.integers(1, 120))
def test_copies_are_balanced(n_inputs, n_workers):
    copies = balanced_copies(n_inputs, n_workers)
    counts = np.bincount(copies, minlength=n_inputs)
    assert copies.shape == (n_workers,)
    assert counts.shape == (n_inputs,)
    assert (np.diff(copies) >= 0).all()
    assert counts.min() == n_workers // n_inputs
    assert counts.max() == -(-n_workers // n_inputs)


@given(n_inputs=st.integers(1, 12), n_workers=st.integers(1, 40), n_executors=st.integers(1, 12))
def test_no_executor_gets_two_copies_where_that_can_be_avoided(n_inputs, n_workers, n_executors):
    copies = balanced_copies(n_inputs, n_workers)
    most = np.bincount(copies).max()
    held = {(int(k), n % n_executors) for n, k in enumerate(copies)}
    if n_executors >= most:
        assert len(held) == n_workers


@pytest.mark.parametrize("counts", [(0, 3), (3, 0), (-1, 3)])
def test_counts_below_one_are_refused(counts):
    with pytest.raises(ValueError, match="must be >= 1, got"):
        balanced_copies(*counts)
