import itertools
import math
import os
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from coded import (
    CollaborativeRegression,
    LocalWorkers,
    NotEnoughRespondersError,
    PrivateRegression,
    sigmoid_polynomial,
)
from coded.algebra.prime_field import rank
from coded.private.owner import share_gradient
from coded.schemes.field_lagrange import FieldLagrangeScheme
from tests.coded.private.test_regression import descend, digits

ROWS = [[0.5, -0.25], [1.0, 0.75], [-0.5, 0.5], [0.25, 1.0]]


def some_owners(n_owners=8, d=3, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, n_owners)
    return (
        [rng.uniform(-1.0, 1.0, (size, d)) for size in sizes],
        [rng.integers(0, 2, size).astype(float) for size in sizes],
    )


def opened_weights(regression):
    """What the owners' shares of the model are shares of, and that all of them agree."""
    shares = np.stack([owner._weights for owner in regression._owners])
    everyone = range(regression.n_workers)
    found = {
        tuple(regression._sharing.decode(shares[list(who)], who)[0].tolist())
        for who in itertools.combinations(everyone, regression._sharing.min_responders)
    }
    assert len(found) == 1
    return np.array(found.pop())


class Watched(CollaborativeRegression):
    """Shows what owners hold after each step of a training."""

    def _step(self, *args):
        result = super()._step(*args)
        self.after_step(self)
        return result


class SomeFailing(ThreadPoolExecutor):
    """Owner n's machine, which fails in some steps."""

    def __init__(self, fails):
        super().__init__(1)
        self.fails, self.submitted = fails, 0

    def submit(self, fn, /, *args, **kwargs):
        step, self.submitted = self.submitted, self.submitted + 1
        if not self.fails(step):
            return super().submit(fn, *args, **kwargs)
        future = Future()
        future.set_exception(OSError("lost"))
        return future


# Exactness.


@pytest.mark.parametrize(
    ("n_blocks", "n_colluders", "n_owners"), [(1, 1, 4), (2, 1, 8), (2, 2, 10)]
)
@pytest.mark.parametrize("coefficients", [(0.5, 0.25), (0.0, 1.0)])
def test_each_step_subtracts_the_exact_gradient_up_to_one_unit(
    n_blocks, n_colluders, n_owners, coefficients
):
    inputs, labels = some_owners(n_owners)
    a, b = 4, 9
    regression = Watched(
        inputs,
        labels,
        n_blocks,
        n_colluders=n_colluders,
        coefficients=coefficients,
        input_bits=a,
        weight_bits=b,
        rng=1,
    )
    c0, c1 = coefficients
    rows = np.rint(np.concatenate(inputs) * 2.0**a).astype(int)
    targets = np.rint((np.concatenate(labels) - c0) / c1 * 2.0 ** (a + b)).astype(int)
    divisor = 4.0**a / (regression.learning_rate * c1)
    assert divisor == 2 ** round(math.log2(divisor)) >= len(rows) * 3 * 4**a > divisor / 2
    history = [np.zeros(3, int)]
    with ThreadPoolExecutor(2) as pool:
        regression.after_step = lambda training: history.append(opened_weights(training))
        weights = regression.fit(pool, 25)
    assert np.array_equal(weights, history[-1] / 2.0**b)
    errors = []
    for before, after in itertools.pairwise(history):
        gradient = rows.T @ (rows @ before - targets)
        assert np.abs(gradient).max() <= regression._gradient_bound(25)
        errors.append(after - (before - gradient / divisor))
    assert 0.0 < np.abs(errors).max() < 1.0
    # Right on average: an error's deviation is below 1/2.
    assert abs(np.mean(errors)) < 4 * 0.5 / math.sqrt(np.size(errors))


def test_the_bound_is_reached_up_to_the_roundings_by_rows_of_ones():
    regression = CollaborativeRegression([[[1.0] * 3] * 5] * 4, [[1.0] * 5] * 4, 1, rng=0)
    c0, c1 = sigmoid_polynomial()
    assert regression.coefficients == (c0, c1)
    first = 20 * 2**4 * round((1.0 - c0) / c1 * 2.0**13)
    of_roundings = 2**4 * math.sqrt(20) * math.sqrt(2 * 3 * 4**4 * 64)  # 2^m: the next after 60
    assert first < regression._gradient_bound(1) < first + of_roundings + 2000


@pytest.mark.parametrize("kind", ["ones", "signs", "one column", "random", "steep"])
def test_no_roundings_whatever_bring_a_gradient_above_the_bound(kind):
    # Gradients are linear in the labels and in all roundings so far: the worst of each.
    rng, n, d, a, b, steps = np.random.default_rng(5), 24, 4, 3, 6, 40
    rows = {
        "ones": np.ones((n, d)),
        "signs": rng.choice([-1.0, 1.0], (n, d)),
        "one column": np.eye(1, d).repeat(n, 0),
        "random": rng.uniform(-1.0, 1.0, (n, d)),
        "steep": np.linspace(-1.0, 1.0, n)[:, None] ** np.arange(1, d + 1),
    }[kind]
    regression = CollaborativeRegression(
        np.split(rows, 8),
        [np.ones(3)] * 8,
        2,
        coefficients=(0.25, 0.5),
        input_bits=a,
        weight_bits=b,
    )
    x = np.rint(rows * 2.0**a)
    divisor = 4.0**a / (0.5 * regression.learning_rate)
    step = np.eye(n) - x @ x.T / divisor
    assert np.abs(np.linalg.eigvalsh(step)).max() <= 1.0 + 1e-9
    largest_target = 0.75 / 0.5 * 2.0 ** (a + b)
    from_roundings, after = np.zeros(d), np.eye(n)
    for t in range(steps):
        gradients = np.abs(x.T @ after).sum(axis=1) * largest_target + from_roundings
        assert gradients.max() <= regression._gradient_bound(t + 1)
        from_roundings += np.abs(x.T @ after @ x).sum(axis=1)
        after = step @ after


def test_labels_and_rows_at_the_bounds_do_not_wrap_in_as_many_steps_as_allowed():
    # p so small that no more steps are allowed; all rows alike, which steps overshoot the most.
    options = {"coefficients": (0.0, 1.0), "input_bits": 0, "weight_bits": 3, "rng": 2}
    inputs, labels = [[[1.0], [1.0]]] * 4, [[1.0, 1.0]] * 4
    small = CollaborativeRegression(inputs, labels, 1, prime=557, **options)
    large = CollaborativeRegression(inputs, labels, 1, **options)
    assert small.most_steps < 40
    with ThreadPoolExecutor(1) as pool:
        found = [one.fit(pool, small.most_steps)[0] for one in (small, large)]
        with pytest.raises(ValueError, match=r"n_steps must lie in \[1, \d+\]"):
            small.fit(pool, small.most_steps + 1)
    assert found == pytest.approx([1.0, 1.0], abs=0.25)


# Privacy.


@pytest.mark.parametrize(("n_colluders", "prime"), [(1, 7), (2, 13)])
def test_what_colluders_get_of_coded_weights_tells_nothing(n_colluders, prime):
    # Columns: w, the masks of its shares, and those of the T + 1 owners who code theirs. Rows: all
    # that colluders see, some of whom are among those owners. Uniform masks hide w if what w does
    # to the rows is something that masks can do as well.
    t, n_owners = n_colluders, 3 * n_colluders + 1
    code = FieldLagrangeScheme(1, n_owners, degree=3, n_colluders=t, prime=prime)
    sharing = FieldLagrangeScheme(1, n_owners, degree=1, n_colluders=t, prime=prime)
    n_columns = 1 + t + t * (t + 1)
    shares = np.zeros((n_owners, n_columns), np.int64)
    shares[:, : 1 + t] = sharing._encoder().dense()
    own, coded = [], []
    for helper in range(t + 1):
        own.append(np.eye(n_columns, dtype=np.int64)[1 + t * (helper + 1) :][:t])
        sources = np.concatenate((shares[helper][None], own[helper]))
        coded.append(code._encoder().dense() @ sources % prime)
    for colluders in itertools.combinations(range(n_owners), t):
        mine = list(colluders)
        masks = [own[helper] for helper in mine if helper <= t]
        seen = np.concatenate([shares[mine], *(one[mine] for one in coded), *masks])
        assert rank(seen, prime) == rank(seen[:, 1:], prime)
        one_more = np.concatenate((seen, shares[[n for n in range(n_owners) if n not in mine][:1]]))
        assert rank(one_more, prime) > rank(one_more[:, 1:], prime)  # as T + 1 know w


@pytest.mark.parametrize("n_colluders", [1, 2])
def test_answers_are_shared_so_that_colluders_see_uniform_numbers(n_colluders):
    prime, n_owners, runs = 13, 7, 3000
    sharing = FieldLagrangeScheme(1, n_owners, degree=1, n_colluders=n_colluders, prime=prime)
    block, weights = np.array([[1, -2, 3], [0, 4, 5]]), np.array([6, -1, 2])
    gradient = block.T @ (block @ weights)
    seen = []
    for _ in range(runs // 3):
        shares = share_gradient(block, weights, sharing=sharing, prime=prime)
        for who in ([*range(n_colluders + 1)], [*range(6 - n_colluders, 7)]):
            assert ((sharing.decode(shares[who], who)[0] - gradient) % prime == 0).all()
        seen.extend((shares % prime)[2 : 2 + n_colluders].T.tolist())
    counts = np.bincount(np.array(seen) @ prime ** np.arange(n_colluders), minlength=1)
    cells = prime**n_colluders
    expected = runs / cells
    chi_square = ((counts - expected) ** 2 / expected).sum() + (cells - len(counts)) * expected
    assert chi_square < cells - 1 + 8 * math.sqrt(2 * (cells - 1))


def sent_to_owner_0(others_rows, others_labels, runs):
    """Numbers that owner 0 is sent by others, by kind, sender and place, in so many trainings."""
    seen = {}
    inputs, labels = [[[1.0]], *others_rows], [[1.0], *others_labels]

    def note(message):
        if message.receiver == 0 != message.sender and message.kind != "shares of the model":
            key = (message.kind, message.sender)
            seen.setdefault(key, []).extend(message.content.ravel().tolist())

    with ThreadPoolExecutor(1) as pool:
        for _ in range(runs):
            CollaborativeRegression(
                inputs,
                labels,
                1,
                coefficients=(0.0, 1.0),
                input_bits=0,
                weight_bits=0,
                prime=79,
                on_message=note,
            ).fit(pool, 1)
    return seen


def test_all_that_an_owner_is_sent_is_uniform_whatever_the_others_have():
    runs, prime = 250, 79
    for rows, labels in (([[[1.0]]] * 3, [[1.0]] * 3), ([[[-1.0]], [[0.0]], [[1.0]]], [[0.0]] * 3)):
        seen = sent_to_owner_0(rows, labels, runs)
        kinds = {kind for kind, _ in seen}
        assert kinds == {
            "coded rows",
            "shares of X^T y",
            "coded weights",
            "shares of a gradient",
            "dealt",
            "masked",
        }
        assert len(seen) == 3 * 5 - 2 + 1  # T + 1 code weights, and one deals
        for numbers in seen.values():
            assert len(numbers) >= runs
            expected = len(numbers) / prime
            counts = np.bincount(np.array(numbers) % prime, minlength=prime)
            assert ((counts - expected) ** 2 / expected).sum() < 78 + 8 * math.sqrt(2 * 78)


def test_only_sums_that_may_not_have_wrapped_are_taken_and_only_the_model_is_opened():
    messages = []
    inputs, labels = some_owners()
    regression = Watched(inputs, labels, 2, weight_bits=14, on_message=messages.append, rng=0)
    trainings = []
    regression.after_step = trainings.append
    with ThreadPoolExecutor(1) as pool:
        regression.fit(pool, 6)
    of_kind = {}
    for message in messages:
        of_kind.setdefault(message.kind, []).append(message)
    n = regression.n_workers
    assert len(of_kind["coded rows"]) == len(of_kind["shares of X^T y"]) == n * n
    assert len(of_kind["coded weights"]) == 6 * 2 * n
    assert len(of_kind["shares of a gradient"]) >= 6 * regression.min_responders * n
    assert len(of_kind["shares of the model"]) == n * n
    rounds = len(of_kind["masked"]) // (n * n)
    assert len(of_kind["dealt"]) == rounds * n
    assert rounds > 6  # some sums could have wrapped, and new ones were opened
    # Shares that are no messages to anybody else: T + 1 owners' would give the model.
    shares = [owner._weights for owner in trainings[-1]._owners]
    before_the_end = [m.content.tobytes() for m in messages if m.kind != "shares of the model"]
    assert not any(share.tobytes() in before_the_end for share in shares)


# Trainings that go on at once.


@pytest.mark.parametrize("is_nested", [True, False])
def test_trainings_that_go_on_at_once_do_not_meet(is_nested):
    inputs, labels = some_owners()
    regression = CollaborativeRegression(inputs, labels, 2)
    trained = []
    with ThreadPoolExecutor(2) as machines, ThreadPoolExecutor(1) as other:

        def fit_too(i, _):
            if i == 5:
                begun = other.submit(regression.fit, machines, 7, on_step=meet)
                trained.append(begun.result() if is_nested else begun)
            elif not is_nested and i > 5:
                barrier.wait()

        barrier = threading.Barrier(2, timeout=30.0)
        meet = None if is_nested else lambda i, _: barrier.wait() if i < 6 else None
        alone = regression.fit(machines, 12)
        first = regression.fit(machines, 12, on_step=fit_too)
        second = trained[0] if is_nested else trained[0].result()
        second_alone = regression.fit(machines, 7)
    # Roundings differ, by less than a unit a step; other weights would be off by more.
    unit = 2.0**-regression.weight_bits
    assert np.abs(first - alone).max() <= 12 * unit
    assert np.abs(second - second_alone).max() <= 7 * unit
    assert np.abs(alone - second_alone).max() > 12 * unit


def test_who_listens_changes_nothing():
    inputs, labels = some_owners()

    def spoil(message):
        message.content[...] = 0

    with ThreadPoolExecutor(1) as pool:
        found = [
            CollaborativeRegression(inputs, labels, 2, rng=0, on_message=listener).fit(pool, 5)
            for listener in (None, spoil)
        ]
    assert np.array_equal(*found)
    assert found[0].any()


# Owners' machines that fail and die.


def test_any_answers_that_suffice_give_the_same_model():
    inputs, labels = some_owners(9)
    found = []
    for fails in (lambda n, step: False, lambda n, step: (n + step) % 4 == 0 and n > 0):  # noqa: ARG005
        used, coders = [], []
        regression = CollaborativeRegression(
            inputs, labels, 2, rng=3, on_message=lambda m, c=coders: c.append((m.kind, m.sender))
        )
        executors = [SomeFailing(lambda step, n=n, fails=fails: fails(n, step)) for n in range(9)]
        found.append(
            regression.fit(
                executors, 12, on_step=lambda _, r, u=used: u.append(tuple(r.responders))
            )
        )
        for step, who in enumerate(used):
            assert len(who) >= regression.min_responders == 7
            assert not any(fails(n, step) for n in who)
        # Weights are coded by owners whose machines answered in the step before.
        coding = [sender for kind, sender in coders if kind == "coded weights"][
            :: regression.n_workers
        ]
        assert coding == [0, 1, *(n for who in used[:-1] for n in who[:2])]
        for executor in executors:
            executor.shutdown()
    assert len(set(used)) == 4  # of the last training
    assert np.array_equal(*found)


def test_too_few_answers_are_an_error():
    inputs, labels = some_owners(9)
    executors = [SomeFailing(lambda step, n=n: step == 2 and n < 3) for n in range(9)]
    done = []
    with pytest.raises(NotEnoughRespondersError, match="of 9 workers answered"):
        CollaborativeRegression(inputs, labels, 2).fit(
            executors, 5, on_step=lambda i, _: done.append(i)
        )
    assert done == [0, 1]
    for executor in executors:
        executor.shutdown()


@pytest.mark.parametrize(
    "wrong", [np.zeros((8, 2), int), np.zeros(3, int), np.zeros((9, 3)), "text"]
)
def test_an_answer_of_another_kind_is_a_failure(wrong):
    class Confused(SomeFailing):
        def submit(self, *_, **__):
            future = Future()
            future.set_result(wrong)
            return future

    inputs, labels = some_owners(9)
    executors = [SomeFailing(lambda _: False) for _ in range(8)] + [Confused(None)]
    fates = []
    CollaborativeRegression(inputs, labels, 2).fit(
        executors, 1, on_step=lambda _, result: fates.append(set(result.failures))
    )
    assert fates[0] <= {8}
    for executor in executors:
        executor.shutdown()


def test_answers_are_read_modulo_the_prime():
    class Unreduced(SomeFailing):
        def submit(self, fn, /, *args, **kwargs):
            return super().submit(
                lambda: fn(*args, **kwargs) + 2**33 * 4079 * np.arange(-4, 4)[:, None]
            )

    inputs, labels = [[[1.0]]] * 8, [[1.0]] * 8
    options = {"coefficients": (0.0, 1.0), "input_bits": 0, "weight_bits": 0, "rng": 0}
    found = []
    for kind in (SomeFailing, Unreduced):
        executors = [kind(lambda _: False) for _ in range(8)]
        regression = CollaborativeRegression(inputs, labels, 2, prime=4079, **options)
        found.append(regression.fit(executors, 4))
        for executor in executors:
            executor.shutdown()
    assert np.array_equal(*found)
    assert found[0].any()


@pytest.mark.outer
def test_a_machine_that_is_killed_in_the_middle_changes_nothing():
    inputs, labels = some_owners(9)

    def make():
        return CollaborativeRegression(inputs, labels, 2, rng=5)

    with ThreadPoolExecutor(2) as pool:
        wanted = make().fit(pool, 20)
    with LocalWorkers(9) as workers:
        workers.wait()
        killed = workers.pids[0]  # of one who codes weights

        def kill(i, *_):
            if i == 9:
                os.kill(killed, signal.SIGKILL)

        weights = make().fit(workers.executors, 20, timeout=60.0, on_step=kill)
        workers.wait()
        assert workers.pids[0] != killed
    assert np.array_equal(weights, wanted)


# Training.


def test_digits_are_told_apart_as_well_as_by_one_who_sees_all():
    inputs, labels, asked, wanted = digits()
    c0, c1 = sigmoid_polynomial()
    line = descend(lambda w: inputs.T @ (c0 + c1 * (inputs @ w) - labels), inputs)
    sigmoid = descend(lambda w: inputs.T @ (1.0 / (1.0 + np.exp(-inputs @ w)) - labels), inputs)
    owned = np.array_split(np.arange(len(inputs)), 13)
    regression = CollaborativeRegression(
        [inputs[own] for own in owned], [labels[own] for own in owned], 3, row_norm=4.75, rng=0
    )
    with ThreadPoolExecutor(2) as pool:
        weights = regression.fit(pool, 100)
        private = PrivateRegression(inputs, labels, 3, 13, rng=0).fit(
            pool, 100, learning_rate=regression.learning_rate
        )

    def share(weights):
        return float(np.mean((asked @ weights > 0.0) == wanted))

    assert share(weights) == share(private.weights) == share(line) == share(sigmoid) > 0.96
    assert np.linalg.norm(weights - private.weights) < 0.02 * np.linalg.norm(weights)


def test_linear_regression_finds_least_squares():
    rng = np.random.default_rng(2)
    rows = rng.uniform(-1.0, 1.0, (32, 3))
    labels = 0.5 + rows @ [0.2, -0.15, 0.1] + 0.02 * rng.standard_normal(32)
    rows[:, 2] = 1.0
    regression = CollaborativeRegression(
        np.split(rows, 8), np.split(labels, 8), 2, coefficients=(0.0, 1.0), weight_bits=12, rng=0
    )
    with ThreadPoolExecutor(2) as pool:
        weights = regression.fit(pool, 100)
    quantised = np.rint(rows * 2.0**4) / 2.0**4
    wanted = np.linalg.lstsq(quantised, labels, rcond=None)[0]
    assert np.abs(weights - wanted).max() < 2.0**-9


# Arguments.


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"inputs": []}, ValueError, "inputs and labels must hold one array for each owner"),
        ({"labels": [[0.0]] * 7}, ValueError, "got 8 and 7"),
        ({"inputs": [ROWS[0]] * 8}, ValueError, r"inputs\[0\] must have a shape \(n, d\)"),
        (
            {"inputs": [[[0.0, 1.0]]] * 7 + [[[0.0]]]},
            ValueError,
            r"inputs\[7\] must have 2 columns",
        ),
        (
            {"inputs": [[[0.0, 1.5]]] * 8},
            ValueError,
            r"inputs\[0\] must lie in \[-1, 1\].* got 1.5",
        ),
        ({"labels": [[0.0]] * 7 + [[-2.0]]}, ValueError, r"labels\[7\] must lie in \[0, 1\].* -2"),
        ({"labels": [[np.nan]] * 8}, ValueError, r"labels\[0\]\[0\] = nan"),
        (
            {"n_blocks": 3},
            ValueError,
            r"3 \* \(n_blocks \+ n_colluders - 1\) \+ 1 = 10 owners, got 8",
        ),
        ({"n_blocks": 9}, ValueError, "n_blocks"),
        ({"n_colluders": 0}, ValueError, "n_colluders"),
        ({"coefficients": (0.5, 0.1, 0.2)}, ValueError, "coefficients must be c_0, c_1 of a line"),
        ({"coefficients": (0.5, -0.1)}, ValueError, "with c_1 > 0"),
        ({"input_bits": 31}, ValueError, "input_bits"),
        ({"weight_bits": 2.5}, TypeError, "weight_bits"),
        ({"row_norm": 0.0}, ValueError, "row_norm"),
        (
            {"row_norm": 1.0},
            ValueError,
            r"inputs\[\d\] must have rows of a norm of at most row_norm",
        ),
        ({"prime": 15}, ValueError, "prime"),
        ({"prime": 101}, ValueError, "n_steps must be 0, and no training is possible"),
        ({"weight_bits": 30}, ValueError, "no training is possible"),
        ({"coefficients": (1e308, 1.0)}, ValueError, r"possible.* \(1e\+308, 1.0\) .*smaller c_0"),
        ({"coefficients": (0.0, 5e-324)}, ValueError, r"possible.* \(0.0, 5e-324\)"),
        ({"on_message": 3}, TypeError, "on_message must be callable"),
        ({"rng": "seed"}, TypeError, "rng"),
    ],
)
def test_arguments_are_checked(changes, error, match):
    rows = [[ROWS[j % 4]] for j in range(8)]
    arguments = {"inputs": rows, "labels": [[1.0]] * 8, "n_blocks": 2, **changes}
    with pytest.raises(error, match=match):
        CollaborativeRegression(**arguments)


@pytest.mark.parametrize(
    ("entries", "bits", "norm"),
    [
        ([5e-4], 11, 6e-4),  # 1.02 rounds to 1, and the bound is 1.23
        ([0.5, 0.5], 4, math.sqrt(0.5)),  # whose square is above and ...
        ([0.5, 0.5, 0.5], 4, math.sqrt(0.75)),  # ... below what it should be
        ([1.0, 1.0, 1.0], 8, 1e200),
        ([1.0] * 7, 8, None),
    ],
)
def test_rows_of_the_largest_norm_are_taken(entries, bits, norm):
    options = {"input_bits": bits, "weight_bits": 0, "coefficients": (0.5, 0.25)}
    rows = [np.full((5, len(entries)), entries)] * 8
    regression = CollaborativeRegression(rows, [np.ones(5)] * 8, 2, row_norm=norm, **options)
    rounded = np.rint(np.array(entries) * 2.0**bits)
    divisor = 4.0**bits / (0.25 * regression.learning_rate)
    assert divisor >= 40 * (rounded**2).sum() > divisor / 2
    if norm is not None and norm < 1.0:
        with pytest.raises(ValueError, match="rows of a norm of at most row_norm"):
            CollaborativeRegression(rows, [np.ones(5)] * 8, 2, row_norm=0.7 * norm, **options)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"n_steps": 0}, ValueError, "n_steps"),
        ({"n_steps": 1.5}, TypeError, "n_steps"),
        ({"n_steps": 2**31 - 1}, ValueError, r"n_steps must lie in \[1, \d+\], for a gradient"),
        ({"on_step": 3}, TypeError, "on_step must be callable"),
        ({"timeout": -1.0}, ValueError, "timeout"),
        ({"executor": None}, TypeError, "executor"),
        ({"executor": 7}, ValueError, "executor must hold 8 executors, .* got 7"),
    ],
)
def test_arguments_of_training_are_checked(changes, error, match):
    executors = [SomeFailing(lambda _: False) for _ in range(8)]
    if changes.get("executor") == 7:
        changes = {"executor": [*executors[:7], executors[0]]}
    regression = CollaborativeRegression([[ROWS[j % 4]] for j in range(8)], [[1.0]] * 8, 2)
    with pytest.raises(error, match=match):
        regression.fit(**{"executor": executors, "n_steps": 1, **changes})
    assert not any(executor.submitted for executor in executors)


def test_it_is_told_in_one_line():
    line = repr(CollaborativeRegression([[ROWS[j % 4]] for j in range(8)], [[1.0]] * 8, 2))
    assert line.startswith("CollaborativeRegression(FieldLagrangeScheme(2, 8, degree=3")
    assert "input_bits=4, weight_bits=9, learning_rate=" in line
