"""What a call waits for, asked directly: the loop asks it of those who could still answer too."""

import numpy as np

from coded import ReplicationScheme
from coded.runtime.request import read_wait_for
from coded.runtime.scheme_job import SchemeCode

CODE = SchemeCode(ReplicationScheme(2, 6, n_stragglers=2))


def test_a_number_is_met_by_so_many_and_by_more():
    goal = read_wait_for(4, CODE)(CODE.prepare([1.0, 2.0]))
    assert [goal.is_met(np.arange(n)) for n in range(7)] == [False] * 4 + [True] * 3
    assert goal.words == "4 answers"


def test_a_predicate_is_asked_about_the_responders_and_never_about_none():
    asked = []
    goal = read_wait_for(lambda who: asked.append(who.tolist()) or 5 in who, CODE)(None)
    assert not goal.is_met(np.arange(0))
    assert not goal.is_met(np.arange(3))
    assert goal.is_met(np.array([1, 5]))
    assert asked == [[0, 1, 2], [1, 5]]
