"""Memory of dropped results is lent again, never while an array refers to it, and in bounds."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastspline import Smoother, _memory
from fastspline.arrays import LENT_BYTES, STREAM_BYTES, empty_aligned

LARGE = STREAM_BYTES // 8 + 5


@pytest.fixture(autouse=True)
def none_spare():
    _memory._blocks.clear()
    yield
    _memory._blocks.clear()


def kept_bytes():
    return sum(memory.size for memory, _ in _memory._blocks)


def test_memory_of_a_dropped_result_is_used_again():
    first = empty_aligned(1, LARGE, np.dtype(float))
    address = first.ctypes.data
    assert address % 64 == 0
    del first
    assert empty_aligned(1, LARGE, np.dtype(float)).ctypes.data == address


@pytest.mark.parametrize("refer", [lambda a: a[:, 3:5], lambda a: a.T, memoryview, np.ravel])
def test_memory_that_something_refers_to_is_not_lent(refer):
    first = empty_aligned(1, LARGE, np.dtype(float))
    first.fill(1.0)
    reference = refer(first)
    del first
    empty_aligned(1, LARGE, np.dtype(float)).fill(2.0)
    empty_aligned(1, LARGE, np.dtype(float)).fill(3.0)
    assert (np.asarray(reference) == 1.0).all()


def test_memory_that_was_frozen_is_not_lent():
    frozen = empty_aligned(1, LARGE, np.dtype(float))
    for one in (frozen, frozen.base):
        one.setflags(write=False)
    del frozen, one
    empty_aligned(1, LARGE, np.dtype(float)).fill(1.0)


def test_other_sizes_get_their_own_memory():
    del_me = empty_aligned(1, LARGE, np.dtype(float))
    del del_me
    before = kept_bytes()
    assert empty_aligned(1, 2 * LARGE, np.dtype(float)).size == 2 * LARGE
    assert before <= kept_bytes()


@given(
    sizes=st.lists(
        st.one_of(st.integers(0, 4096), st.integers(-130, 130).map(lambda more: 9000 + more)),
        min_size=2,
        max_size=12,
    ),
    held=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_each_loan_lies_inside_its_memory(sizes, held):
    """Memory that is a little too small for the next loan's start at a cache line is not lent."""
    _memory._blocks.clear()
    kept = []
    for size, is_held in zip(sizes, held, strict=False):
        lent = _memory.lend((size,), np.dtype(np.uint8), size)
        memory = lent.base
        start = memory.ctypes.data
        assert lent.size == size
        assert start <= lent.ctypes.data
        assert lent.ctypes.data + size <= start + memory.size
        if is_held:
            kept.append(lent)
        del lent
    starts = sorted((loan.ctypes.data, loan.size) for loan in kept)
    for (first, size), (second, _) in itertools.pairwise(starts):
        assert first + size <= second or not size


def test_what_is_kept_is_bounded():
    results = [empty_aligned(1, 4 * LARGE, np.dtype(float)) for _ in range(20)]
    assert sum(result.nbytes for result in results) > _memory.KEPT_BYTES
    del results
    assert 0 < (kept := kept_bytes()) <= _memory.KEPT_BYTES
    huge = empty_aligned(1, _memory.KEPT_BYTES // 16, np.dtype(float))
    del huge
    assert kept_bytes() == kept
    results = [empty_aligned(1, LENT_BYTES // 8, np.dtype(float)) for _ in range(40)]
    assert len(_memory._blocks) < len(results)


def test_many_threads_never_share_memory():
    operator = Smoother([0.0, 1.0, 2.0], lam=0.0).operator([0.0, 2.0])
    wrong = []

    def work(number):
        for _ in range(10):
            result = operator(np.full((3, LARGE), float(number)), threads=1)
            if not (result == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
