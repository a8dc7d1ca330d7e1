import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coded import NotEnoughRespondersError, PartialCode


@pytest.mark.parametrize(("n", "s"), [(1, 0), (4, 1), (5, 2), (6, 5)])
def test_executors_begin_with_different_parts_and_never_meet(n, s):
    """At each place in their orders all N parts are under way, one an executor."""
    code = PartialCode(n, s)
    for place in range(s + 1):
        begun = [code.assignment[code.tasks_of(e)[place]] for e in range(n)]
        assert sorted(begun) == [(i,) for i in range(n)]
    for e in range(n):
        parts = [code.assignment[t] for t in code.tasks_of(e)]
        assert len(set(parts)) == s + 1


@given(st.integers(2, 6), st.data())
def test_it_is_decodable_once_each_part_came_from_anybody(n, data):
    code = PartialCode(n, data.draw(st.integers(0, n - 1)))
    came = sorted(data.draw(st.sets(st.integers(0, code.n_workers - 1), min_size=1)))
    parts = {code.assignment[t][0] for t in came}
    assert code.can_decode(came) == (len(parts) == n)
    assert code.residual(came) == pytest.approx(n - len(parts))


@given(st.integers(2, 6), st.data())
def test_any_s_executors_may_be_lost(n, data):
    code = PartialCode(n, data.draw(st.integers(1, n - 1)))
    size = code.n_stragglers
    lost = data.draw(st.sets(st.integers(0, n - 1), min_size=size, max_size=size))
    came = [t for t in range(code.n_workers) if t % n not in lost]
    assert code.can_decode(came)


def test_what_a_straggler_has_finished_counts():
    """The last executor gave its first part alone, the second nothing, as in the docstring."""
    code = PartialCode(3, 1)
    finished = sorted([*code.tasks_of(0), code.tasks_of(2)[0]])
    assert code.can_decode(finished)
    parts = np.array([5.0, 7.0, 11.0])
    job = code.prepare(None)
    answers = [job.read(t, job.function(t, lambda _, i: parts[i])(None))[1] for t in finished]
    assert job.decode(answers, np.array(finished)) == pytest.approx(23.0)


def test_which_parts_are_missing_is_told():
    with pytest.raises(NotEnoughRespondersError, match="3 parts once, and 1 did not come: 1;"):
        PartialCode(3, 1).decode_vector([0, 2])


def test_what_is_no_executor_is_refused():
    with pytest.raises(ValueError, match="executor must lie in"):
        PartialCode(3, 1).tasks_of(3)
    with pytest.raises(ValueError, match="n_stragglers"):
        PartialCode(3, 3)
    assert repr(PartialCode(3, 1)) == "PartialCode(3, 1)"
    assert PartialCode(3, 1).n_executors == 3
