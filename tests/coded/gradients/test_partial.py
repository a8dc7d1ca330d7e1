import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import NotEnoughRespondersError, PartialCode


def orders(code):
    """The parts of each executor in its order."""
    return [[code.assignment[t][0] for t in code.tasks_of(e)] for e in range(code.n_executors)]


@pytest.mark.parametrize(("n", "s", "m"), [(1, 0, 1), (4, 1, 1), (5, 2, 3), (6, 5, 4)])
def test_executors_are_never_at_the_same_part(n, s, m):
    """At each place in their orders N parts are under way; the first m places begin all."""
    code = PartialCode(n, s, parts_each=m)
    found = orders(code)
    assert all(len(set(parts)) == m * (s + 1) for parts in found)
    for at_once in zip(*found, strict=True):
        assert len(set(at_once)) == n
    assert sorted(part for parts in found for part in parts[:m]) == list(range(n * m))


def test_what_a_straggler_does_last_others_do_first():
    """Half as fast, it is done with when it has given half of its block, and nobody waits."""
    code = PartialCode(4, 1, parts_each=6)
    own, helper = orders(code)[2], orders(code)[1]
    assert own[:6] == helper[:5:-1]
    came = [t for e in (0, 1, 3) for t in code.tasks_of(e)[:6]]
    came += [*code.tasks_of(2)[:3], *code.tasks_of(1)[6:9]]
    assert code.can_decode(sorted(came))
    assert not code.can_decode(sorted(came)[:-1])


@given(st.integers(2, 6), st.data())
def test_it_is_decodable_once_each_part_came_from_anybody(n, data):
    s, m = data.draw(st.integers(0, n - 1)), data.draw(st.integers(1, 3))
    code = PartialCode(n, s, parts_each=m)
    came = sorted(data.draw(st.sets(st.integers(0, code.n_workers - 1), min_size=1)))
    parts = {code.assignment[t][0] for t in came}
    assert code.can_decode(came) == (len(parts) == n * m)
    assert code.residual(came) == pytest.approx(n * m - len(parts))


@given(st.integers(2, 6), st.data())
def test_any_s_executors_may_be_lost(n, data):
    code = PartialCode(n, data.draw(st.integers(1, n - 1)))
    size = code.n_stragglers
    lost = data.draw(st.sets(st.integers(0, n - 1), min_size=size, max_size=size))
    came = [t for t in range(code.n_workers) if t % n not in lost]
    assert code.can_decode(came)


def test_what_a_straggler_has_finished_counts():
    """The last executor gave its first part alone, the second nothing, as in the docstring."""
    code = PartialCode(3, 1, parts_each=1)
    finished = sorted([*code.tasks_of(0), code.tasks_of(2)[0]])
    assert code.can_decode(finished)
    parts = np.array([5.0, 7.0, 11.0])
    job = code.prepare(None)
    answers = [job.read(t, job.function(t, lambda _, i: parts[i])(None))[1] for t in finished]
    assert job.decode(answers, np.array(finished)) == pytest.approx(23.0)


def test_which_parts_are_missing_is_told():
    with pytest.raises(NotEnoughRespondersError, match="3 parts once, and 1 did not come: 1;"):
        PartialCode(3, 1, parts_each=1).decode_vector([0, 2])


def test_what_is_no_executor_is_refused():
    with pytest.raises(ValueError, match="executor must lie in"):
        PartialCode(3, 1).tasks_of(3)
    with pytest.raises(ValueError, match="n_stragglers"):
        PartialCode(3, 3)
    with pytest.raises(ValueError, match="parts_each must be >= 1"):
        PartialCode(3, 1, parts_each=0)


def test_it_tells_itself():
    code = PartialCode(3, 1)
    assert repr(code) == "PartialCode(3, 1, parts_each=4)"
    assert (code.n_executors, code.n_parts, code.n_workers, code.load) == (3, 12, 24, 1)
