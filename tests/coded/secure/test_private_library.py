"""A product by a matrix of a library: exact, and neither A nor the index is seen."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coded import (
    InconsistentAnswersError,
    LocalWorkers,
    NotEnoughRespondersError,
    PrivateLibrary,
)
from tests.support.worker_functions import Dying


@pytest.fixture
def matrices(rng):
    return rng.integers(-99, 100, (3, 4, 5))


def answers_of(library, job):
    return [job.function(n, library.function)(*payload) for n, payload in enumerate(job.payloads)]


def decode(job, answers, who):
    return job.decode([job.read(n, answers[n])[1] for n in who], np.array(who))


@pytest.mark.parametrize("grid", [(1, 1), (2, 1), (1, 2), (2, 2)], ids=str)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_set_of_enough_answers_gives_the_product(grid, index, matrices, rng):
    library = PrivateLibrary(matrices, *grid, 11)
    assert library.min_responders == (grid[0] + 1) * (grid[1] + 1)
    a = rng.integers(-99, 100, (7, 4))
    job = library.prepare(a, index)
    answers = answers_of(library, job)
    for who in itertools.combinations(range(11), library.min_responders):
        assert np.array_equal(decode(job, answers, who), a @ matrices[index])
    assert np.array_equal(decode(job, answers, range(11)), a @ matrices[index])
    few = range(library.min_responders - 1)
    assert not library.can_decode(few)
    with pytest.raises(NotEnoughRespondersError, match=f"any {library.min_responders} answers"):
        decode(job, answers, few)


def test_residues_are_right_modulo_the_prime(rng):
    matrices = rng.integers(-11, 12, (4, 3, 4))
    library = PrivateLibrary(matrices, 2, 2, 10, prime=23, modular=True)
    for index in range(4):
        a = rng.integers(-11, 12, (4, 3))
        job = library.prepare(a, index)
        product = decode(job, answers_of(library, job), range(10))
        assert not np.any((product - a @ matrices[index]) % 23)


@pytest.mark.parametrize(("prime", "n_matrices"), [(7, 2), (11, 2), (11, 3)])
def test_what_a_worker_sees_is_the_same_whatever_is_asked(prime, n_matrices):
    """All points and masks are counted, for all A of two numbers and all indices."""
    n_workers = 4
    library = PrivateLibrary(
        np.ones((n_matrices, 1, 1), int), 1, 1, n_workers, prime=prime, modular=True
    )
    worker = 2
    for index in range(n_matrices):
        seen = {number: Counter() for number in range(prime)}
        # Points of other workers are not seen by this one: they stay away from its own.
        for chosen in itertools.permutations(range(1, prime), n_matrices):
            rest = [one for one in range(1, prime) if one not in chosen][: n_workers - 1]
            points = np.array([*rest[:worker], chosen[0], *rest[worker:], *chosen[1:]])
            asked = library.questions(index, points)[worker]
            sources = np.array(
                [np.tile(np.arange(prime), prime), np.repeat(np.arange(prime), prime)]
            )
            shares = library.encode(sources[:, None], points)[worker, 0] % prime
            for number, share in zip(sources[0], shares, strict=True):
                seen[number][(*asked.tolist(), int(share))] += 1
        n_views = prime * len(list(itertools.permutations(range(1, prime), n_matrices)))
        for views in seen.values():
            assert len(views) == n_views
            assert set(views.values()) == {1}


def test_points_and_masks_are_drawn_anew(matrices):
    library = PrivateLibrary(matrices % 15, 1, 1, 5, prime=31, modular=True)
    nothing = np.zeros((50, 4), int)
    asked = []
    for _ in range(400):
        job = library.prepare(nothing, 1)
        share, points = job.payloads[3]
        asked.append(points)
        assert len(set(points.tolist())) == 3
        assert 0 not in points
    for column in np.array(asked).T:  # 30 points, each 13 times of 400 on the mean
        assert np.bincount(column, minlength=31)[1:].max() < 13 + 6 * np.sqrt(13)
    assert len(np.unique(share)) > 20  # 200 numbers of 31
    fixed = PrivateLibrary(matrices, 1, 1, 5, rng=4)
    for one, other in zip(
        fixed.prepare(nothing, 1).payloads, fixed.prepare(nothing, 1).payloads, strict=True
    ):
        assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


def test_spare_answers_show_who_lies(matrices, rng):
    library = PrivateLibrary(matrices, 1, 1, 8)  # 4 of 8 are needed
    job = library.prepare(rng.integers(-99, 100, (6, 4)), 1)
    answers = [job.read(n, one)[1] for n, one in enumerate(answers_of(library, job))]
    everyone = np.arange(8)
    assert tuple(job.liars(answers, everyone)) == ()
    for liars in itertools.combinations(range(8), 2):
        told = [one + (n in liars) * (n + 1) for n, one in enumerate(answers)]
        assert tuple(job.liars(told, everyone)) == liars
    told = [one + (n == 2) for n, one in enumerate(answers)]
    with pytest.raises(InconsistentAnswersError, match="two more answers per liar"):
        job.liars(told[:5], everyone[:5])
    assert tuple(job.liars(told[:4], everyone[:4])) == ()


def test_what_is_later_done_to_the_matrices_is_not_seen(matrices, rng):
    kept, a = matrices.copy(), rng.integers(-99, 100, (6, 4))
    library = PrivateLibrary(matrices, 1, 1, 4)
    for later in (0, 2**30):
        matrices[:] = later
        job = library.prepare(a, 1)
        assert np.array_equal(decode(job, answers_of(library, job), range(4)), a @ kept[1])
    matrices[:] = 0
    with pytest.raises(ValueError, match="pass modular=True"):  # by what workers multiply
        library.prepare(np.full((6, 4), 2**30 - 1), 1)


def test_tensors_give_tensors(matrices, rng):
    a = rng.integers(-99, 100, (6, 4))
    library = PrivateLibrary(torch.from_numpy(matrices), 2, 1, 7)
    with ThreadPoolExecutor() as pool:
        result = library.multiply(torch.from_numpy(a), 2, pool)
    assert isinstance(result.outputs, torch.Tensor)
    assert np.array_equal(result.outputs.numpy(), a @ matrices[2])


def test_on_processes_of_which_one_is_killed(matrices, rng):
    a = rng.integers(-99, 100, (6, 4))
    library = PrivateLibrary(matrices, 1, 1, 5)
    with LocalWorkers(5) as workers:
        first = library.multiply(a, 0, workers.executors, timeout=60.0, wait_for=5)
        killed = workers.pids[1]
        one, two, *others = workers.executors
        dying = [one, Dying(two), *others]
        result = library.multiply(a, 1, dying, timeout=60.0, wait_for=5)
        workers.wait()
        assert workers.pids[1] != killed
        # The worker that took its place is given the library.
        again = library.multiply(a, 2, workers.executors, timeout=60.0, wait_for=5)
    for index, one in enumerate((first, result, again)):
        assert np.array_equal(one.outputs, a @ matrices[index])
    assert set(result.failures) == {1}
    assert again.responders.tolist() == [0, 1, 2, 3, 4]


def test_bad_arguments_are_refused(matrices, rng):
    for arguments, kind, match in [
        ((matrices, 2, 2, 8), ValueError, r"n_workers must be at least \(m \+ 1\)"),
        ((matrices, 0, 2, 8), ValueError, "m must be >= 1"),
        ((matrices, 1, 6, 20), ValueError, "library has 5 columns"),
        ((matrices[0], 1, 1, 4), ValueError, "library must be a stack"),
        ((matrices.astype(float), 1, 1, 4), TypeError, "library must hold integers"),
    ]:
        with pytest.raises(kind, match=match):
            PrivateLibrary(*arguments)
    with pytest.raises(ValueError, match="prime must be at least 7"):
        PrivateLibrary(matrices, 1, 1, 4, prime=5)
    library = PrivateLibrary(matrices, 1, 1, 4)
    a = rng.integers(-99, 100, (6, 4))
    with ThreadPoolExecutor() as pool, ThreadPoolExecutor() as other:
        for change, kind, match in [
            ({"index": 3}, ValueError, r"index must lie in \[0, 2\]"),
            ({"a": a.T}, ValueError, "as many columns of a as rows of b"),
            ({"a": a * 2**20}, ValueError, "pass modular=True"),
            ({"wait_for": "exact"}, TypeError, "wait_for must be an integer"),
            ({"executor": [pool, other]}, ValueError, "would get 2 workers' shares"),
        ]:
            with pytest.raises(kind, match=match):
                library.multiply(**{"a": a, "index": 0, "executor": pool} | change)
    job = library.prepare(a, 0)
    with pytest.raises(ValueError, match="answer has shape"):
        job.read(0, np.ones((2, 2), int))
