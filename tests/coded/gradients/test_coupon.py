import numpy as np
import pytest

from coded import BatchedCouponCode, FractionalRepetitionCode, NotEnoughRespondersError


def answers_needed(code, rng):
    """How many answers in random order make the sum, by counting batches."""
    order, seen = rng.permutation(code.n_workers), set()
    for count, n in enumerate(order, 1):
        seen.add(code.assignment[n])
        if len(seen) == len(set(code.assignment)):
            kept = np.sort(order[:count])
            assert code.can_decode(kept)
            assert not code.can_decode(np.sort(order[: count - 1]))
            return count
    raise AssertionError


@pytest.mark.parametrize(
    ("n_batches", "expected"),
    [(10, 29.289682539682538), (5, 11.416666666666666), (4, 8.333333333333332)],
)
def test_expected_answers_are_as_published(n_batches, expected):
    """100 examples in batches of 10 and of 20, and 12 in batches of 3: Li et al., Theorem 1."""
    assert BatchedCouponCode(200, n_batches, 0).expected_answers == pytest.approx(expected)


def test_so_many_answers_come_in_the_mean_of_many_workers():
    """Few enough of 300 that to draw without replacement is as with it."""
    rng = np.random.default_rng(0)
    needed = [answers_needed(BatchedCouponCode(300, 4, 0, rng=seed), rng) for seed in range(400)]
    assert np.mean(needed) == pytest.approx(25 / 3, rel=0.06)


def test_dealt_batches_need_fewer_answers_than_drawn_ones():
    """With 3 copies of 8 batches, in the mean; the docstring says to deal where one can."""
    rng = np.random.default_rng(1)
    drawn = [answers_needed(BatchedCouponCode(24, 8, 0, rng=seed), rng) for seed in range(200)]
    dealt = [answers_needed(FractionalRepetitionCode(24, 2), rng) for _ in range(200)]
    assert np.mean(dealt) < 0.9 * np.mean(drawn)


def test_each_batch_is_at_more_workers_than_may_be_lost():
    for seed in range(20):
        code = BatchedCouponCode(20, 5, 1, rng=seed)
        copies = np.bincount([parts[0] for parts in code.assignment])
        assert code.n_stragglers == copies.min() - 1 >= 1
        assert code.load == 1
    assert np.array_equal(code.encoding_matrix, BatchedCouponCode(20, 5, 1, rng=19).encoding_matrix)


def test_what_is_missing_is_told():
    code = BatchedCouponCode(12, 4, 1)
    of_two = [n for n in range(12) if code.assignment[n][0] in (0, 2)]
    with pytest.raises(NotEnoughRespondersError, match="4 batches once, and 2 did not come: 1, 3"):
        code.decode_vector(of_two)


def test_more_batches_than_can_be_drawn_are_refused_with_what_to_take():
    with pytest.raises(ValueError, match=r"n_batches must lie in \[1, 6\], got 7"):
        BatchedCouponCode(12, 7, 1)
    with pytest.raises(ValueError, match="fewer batches, or FractionalRepetitionCode"):
        BatchedCouponCode(40, 20, 1)
