"""Rows that are sent as messages for several workers, against rows sent one by one."""

from time import process_time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import ShufflePlan, shuffling_rates
from coded.digits.images import read_digits


def random_shuffle(q, n, s, rng):
    """Each worker caches its own and random other rows, and wants those of another shuffle."""
    own, following = (rng.permutation(q).reshape(n, -1) for _ in range(2))
    cached = [
        np.concatenate([rows, rng.permutation(np.setdiff1d(np.arange(q), rows))[: s - q // n]])
        for rows in own
    ]
    return cached, following


def padded(cached, wanted):
    """The published count: of each group of workers the longest list; padding fills the others."""
    lists = {}
    for i, rows in enumerate(wanted):
        for row in rows:
            holders = frozenset(j for j, held in enumerate(cached) if row in set(held.tolist()))
            if i not in holders:
                group = lists.setdefault(holders | {i}, {})
                group[i] = group.get(i, 0) + 1
    return sum(max(counts.values()) for counts in lists.values())


@pytest.mark.parametrize(
    ("setting", "uncoded", "coded"),
    [
        ((1200, 4, 600), 600, 238.8888888888889),
        ((1200, 6, 400), 800, 308.09599999999983),
        ((6000, 5, 3000), 3000, 1035.05859375),
    ],
)
def test_rates_are_as_published(setting, uncoded, coded):
    assert shuffling_rates(*setting) == pytest.approx((uncoded, coded), rel=1e-12)


def test_rates_at_the_ends():
    assert shuffling_rates(100, 5, 100) == pytest.approx((0.0, 0.0))
    assert shuffling_rates(100, 5, 20) == (80.0, 80.0)


def test_fewer_are_sent_than_with_padding_and_these_fewer_than_uncoded():
    """1,200 rows, 6 workers, 400 cached: 350, 403 in the reference, 800."""
    rng, found = np.random.default_rng(0), []
    for _ in range(6):
        cached, wanted = random_shuffle(1200, 6, 400, rng)
        plan = ShufflePlan(cached, wanted)
        found.append((plan.n_sent, padded(cached, wanted), plan.n_uncoded))
    sent, with_padding, uncoded = np.mean(found, axis=0)
    assert sent == pytest.approx(350, rel=0.02)
    assert with_padding == pytest.approx(403, rel=0.02)
    assert uncoded == pytest.approx(800, rel=0.02)


def test_rows_with_few_copies_gain_more_against_padding():
    cached, wanted = random_shuffle(1200, 10, 400, np.random.default_rng(0))
    plan = ShufflePlan(cached, wanted)
    assert plan.n_sent == pytest.approx(310, rel=0.03)
    assert padded(cached, wanted) == pytest.approx(600, rel=0.03)


@given(st.data())
def test_each_row_arrives_bit_for_bit_from_any_caches(data):
    """Any rows cached by anybody, any wanted by one; NaNs, structs and bytes too."""
    q, n = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5))
    rows = st.sets(st.integers(0, q - 1)).map(sorted)
    cached = [data.draw(rows) for _ in range(n)]
    wants = data.draw(st.lists(st.integers(-1, n - 1), min_size=q, max_size=q))
    wanted = [[row for row in range(q) if wants[row] == i] for i in range(n)]
    dtype, shape = data.draw(
        st.sampled_from([("f4", (2,)), ("S3", ()), ("i2,f8", ()), ("?", (3,))])
    )
    width = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=int))
    noise = np.random.default_rng(q).integers(0, 256, size=(q, width), dtype=np.uint8)
    values = noise.view(dtype).reshape(q, *shape)
    plan = ShufflePlan(cached, wanted)
    sent = plan.encode(values)
    assert sent.shape == (plan.n_sent, width)
    assert plan.n_sent <= plan.n_uncoded
    for i in range(n):
        arrived = plan.decode(i, values[cached[i]], sent)
        assert arrived.dtype == values.dtype
        assert arrived.shape == (len(wanted[i]), *shape)
        assert arrived.tobytes() == values[wanted[i]].tobytes()


def test_all_others_of_a_message_cache_its_rows():
    cached, wanted = random_shuffle(120, 5, 60, np.random.default_rng(3))
    plan = ShufflePlan(cached, wanted)
    held = [set(rows.tolist()) for rows in cached]
    for message in plan.messages:
        workers = [i for i, _ in message]
        assert len(set(workers)) == len(workers)
        for i, row in message:
            assert row not in held[i]
            assert row in wanted[i]
            assert all(row in held[j] for j in workers if j != i)
    delivered = sorted(row for message in plan.messages for _, row in message)
    missing = [np.setdiff1d(want, held) for held, want in zip(cached, wanted, strict=True)]
    assert delivered == sorted(np.concatenate(missing).tolist())


class DigitWorker:
    """One that has its cache alone, and what it hears."""

    def __init__(self, images, labels, held):
        self.held, self.images, self.labels = held, images[held], labels[held]

    def hear(self, plan, i, sent_images, sent_labels, wanted, next_held):
        """Decode what it wants, and keep of that and of its cache what it shall."""
        images = plan.decode(i, self.images, sent_images)
        labels = plan.decode(i, self.labels, sent_labels)
        known = dict(zip(self.held.tolist(), range(len(self.held)), strict=True))
        all_images, all_labels = (
            np.concatenate(pair) for pair in ((self.images, images), (self.labels, labels))
        )
        known |= {row: len(self.held) + at for at, row in enumerate(wanted.tolist())}
        order = [known[row] for row in next_held.tolist()]
        self.held, self.images, self.labels = next_held, all_images[order], all_labels[order]
        return images, labels


def gradient(w, images, labels):
    """Of softmax regression."""
    scores = images.reshape(len(images), -1).astype(np.float64) @ w
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    residual = scores / scores.sum(axis=1, keepdims=True) - np.eye(10)[labels]
    return images.reshape(len(images), -1).T.astype(np.float64) @ residual


def test_epochs_on_digits_are_those_of_data_that_need_no_sending():
    """Three shuffled epochs of stochastic descent by 6 workers that cache a third each."""
    q, n, s, batch = 1200, 6, 400, 20
    digits, rng = read_digits(0).batch(0, q), np.random.default_rng(0)
    images, labels = digits.inputs[:, :, ::2, ::2].copy(), digits.labels
    cached, wanted = random_shuffle(q, n, s, rng)
    workers = [DigitWorker(images, labels, rows) for rows in cached]
    w = whole = np.zeros((256, 10))
    n_sent = []
    for epoch in range(3):
        plan = ShufflePlan(cached, wanted)
        sent_images, sent_labels = plan.encode(images), plan.encode(labels)
        assert sent_images.nbytes == plan.n_sent * images[0].nbytes
        assert sent_labels.nbytes == plan.n_sent * labels.itemsize
        cached = plan.next_cached(rng=epoch)
        shares = [
            workers[i].hear(plan, i, sent_images, sent_labels, wanted[i], cached[i])
            for i in range(n)
        ]
        for i in range(n):
            assert shares[i][0].tobytes() == images[wanted[i]].tobytes()
            assert np.array_equal(shares[i][1], labels[wanted[i]])
            assert len(cached[i]) == s
        for begin in range(0, q // n, batch):
            rows = slice(begin, begin + batch)
            w = w - 2e-3 * sum(gradient(w, x[rows], y[rows]) for x, y in shares)
            direct = (gradient(whole, images[one[rows]], labels[one[rows]]) for one in wanted)
            whole = whole - 2e-3 * sum(direct)
        n_sent.append(plan.n_sent)
        wanted = rng.permutation(q).reshape(n, -1)
    assert np.array_equal(w, whole)
    assert max(n_sent) < 0.47 * 800  # 350 in the mean; uncoded 800
    shown = images.reshape(q, -1) @ w
    assert np.mean(shown.argmax(axis=1) == labels) > 0.8


def test_caches_after_it_hold_what_was_wanted_and_nothing_unheard():
    cached, wanted = random_shuffle(60, 3, 30, np.random.default_rng(0))
    plan = ShufflePlan(cached, wanted)
    following = plan.next_cached(rng=1)
    for held, want, after in zip(cached, wanted, following, strict=True):
        assert len(after) == 30
        assert set(want) <= set(after) <= set(want) | set(held)
    assert all(map(np.array_equal, following, plan.next_cached(rng=1)))
    assert not all(map(np.array_equal, following, plan.next_cached(rng=2)))


@pytest.mark.parametrize(
    ("cached", "wanted", "error", "words"),
    [
        ([], [], ValueError, "cached must hold the rows of at least one worker"),
        ([[0]], [[1], [0]], ValueError, "each worker, got 1 and 2"),
        ([[0], [1]], [[1], [1]], ValueError, "row 1 is wanted by two workers"),
        ([[0, 0]], [[1]], ValueError, r"cached\[0\] has a negative or repeated one"),
        ([[0]], [[-1]], ValueError, r"wanted\[0\] has a negative or repeated one"),
        ([[0.5]], [[1]], TypeError, r"cached\[0\] has dtype float64"),
        ([0], [[1]], ValueError, r"cached\[0\] has shape \(\)"),
        ([[0, 1]], [np.array([2**64 - 1], np.uint64)], ValueError, r"wanted\[0\] has 1844.* more"),
    ],
)
def test_what_is_no_shuffle_is_refused(cached, wanted, error, words):
    with pytest.raises(error, match=words):
        ShufflePlan(cached, wanted)


def test_arrays_that_are_not_those_of_the_plan_are_refused():
    plan = ShufflePlan([[0, 1], [2, 3]], [[0, 2], [3, 1]])
    rows = np.arange(4.0)
    sent = plan.encode(rows)
    with pytest.raises(ValueError, match="got 3, and the plan has row 3"):
        plan.encode(rows[:3])
    with pytest.raises(TypeError, match="dtype object"):
        plan.encode(np.array([None] * 4))
    with pytest.raises(ValueError, match=r"2 rows and 1 messages of 8 bytes"):
        plan.decode(0, rows[:1], sent)
    with pytest.raises(ValueError, match=r"2 rows and 1 messages of 4 bytes"):
        plan.decode(0, rows[:2].astype(np.float32), sent)
    with pytest.raises(ValueError, match="worker must lie"):
        plan.decode(2, rows[:2], sent)
    assert repr(plan) == "ShufflePlan(2 workers, 1 messages for 2 rows)"


def test_tensors_stay_tensors():
    plan = ShufflePlan([[0, 1], [2, 3]], [[0, 2], [3, 1]])
    for dtype in (torch.float32, torch.int64, torch.bool):
        rows = torch.arange(8).reshape(4, 2).to(dtype)
        sent = plan.encode(rows)
        arrived = plan.decode(1, rows[[2, 3]], torch.from_numpy(sent))
        assert isinstance(arrived, torch.Tensor)
        assert arrived.dtype == dtype
        assert torch.equal(arrived, rows[[3, 1]])


def test_what_bytes_do_not_carry_is_refused():
    """Gradients, masks, and dtypes that numpy has not."""
    plan = ShufflePlan([[0, 1], [2, 3]], [[0, 2], [3, 1]])
    rows = np.arange(4.0)
    sent = plan.encode(rows)
    for bad, words in (
        (torch.ones(4, requires_grad=True), r"requires grad.*\.detach\(\)"),
        (torch.ones(4, dtype=torch.bfloat16), r"pass (rows|cached)\.float\(\)"),
        (np.ma.masked_array(rows, [0, 1, 0, 0]), "masked array"),
    ):
        with pytest.raises(TypeError, match=words):
            plan.encode(bad)
        with pytest.raises(TypeError, match=words):
            plan.decode(0, bad[:2], sent)
    for bad in (sent.tolist(), sent.astype(float), sent.view(np.int8)):
        with pytest.raises(TypeError, match="sent must hold bytes, dtype uint8, got"):
            plan.decode(0, rows[:2], bad)


def test_a_plan_for_many_workers_takes_no_time_by_messages_that_are_full():
    """It took 20 s where kinds without messages were kept and looked at for each row."""
    rng, n_rows = np.random.default_rng(0), 2000
    cached = [rng.choice(n_rows, n_rows // 2, replace=False) for _ in range(20)]
    began = process_time()
    plan = ShufflePlan(cached, np.array_split(rng.permutation(n_rows), 20))
    assert process_time() - began < 2.0
    assert plan.n_sent < 0.3 * plan.n_uncoded
