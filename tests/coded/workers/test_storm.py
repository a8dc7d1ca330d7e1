"""Ten seconds of storm for each kind of callers, and that a storm sees what is wrong."""

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest

from coded import NotEnoughRespondersError, ReplicationScheme, coded_map
from tests.storm.__main__ import CALLERS
from tests.storm.promises import (
    LATE,
    MARK,
    N_WORKERS,
    Control,
    draw_peaceful_question,
    find_marked,
    judge,
)

pytestmark = pytest.mark.outer

SEED, SECONDS = 20260, 10
LONGEST = 150.0  # seconds that one storm may take, with starts, recovery and a stack trace
AT_ONCE = 1.0  # seconds


@pytest.mark.parametrize("callers", CALLERS)
def test_local_workers_keep_their_promises_in_a_storm(callers, monkeypatch):
    """The whole program ends at once, with all its processes; see `tests.storm` for the rest."""
    monkeypatch.setenv(MARK, uuid4().hex)
    command = [sys.executable, "-m", "tests.storm", "local", "--callers", callers]
    command += ["--seconds", str(SECONDS), "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    ended = time.monotonic()  # the same clock in all processes
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    *_, summary, told = done.stdout.splitlines()
    assert ended - float(told) < AT_ONCE
    assert find_marked() == []
    sys.stdout.write(summary)


# ---- that promises are looked at


QUESTION = draw_peaceful_question(
    random.Random(SEED), ReplicationScheme(4, N_WORKERS), size=3, timeout=1.0
)


@pytest.fixture(scope="module")
def result():
    with ThreadPoolExecutor(1) as pool:
        return coded_map(*QUESTION.arguments, pool, **QUESTION.options)


def test_a_good_call_breaks_no_promise(result):
    assert judge(QUESTION, result, seconds=QUESTION.timeout + LATE, stall=0.0) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda old: {"outputs": np.nextafter(old.outputs, np.inf)}, "said to be exact, and wrong"),
        (lambda old: {"outputs": old.outputs[:3]}, "no finite numbers of shape"),
        (lambda old: {"responders": old.responders[::-1]}, "responders are"),
        (lambda _: {"stragglers": np.array([0])}, "responders are"),
        (lambda old: {"latencies": old.latencies + 1.0}, "latencies are not within 0.500 s"),
        (lambda old: {"latencies": old.latencies * np.nan}, "not those of the responders"),
        (lambda _: {"failures": {0: OSError()}}, "answered and failed"),
        (lambda _: {"failures": {0: TimeoutError()}}, "timed out after 0.500 s"),
        (lambda _: {"failures": {0: ArithmeticError("call 7")}}, "failed in another call"),
        (lambda _: {"complete": False}, "incomplete for no reason"),
        (
            lambda old: {"responders": old.responders[:3], "stragglers": np.arange(3, N_WORKERS)},
            "complete with 3 answers",
        ),
        (
            lambda old: {
                "complete": False,
                "exact": ~old.exact,
                "responders": old.responders[:3],
                "stragglers": np.arange(3, N_WORKERS),
            },
            "did not wait for {3, 4, 5, 6, 7}",
        ),
    ],
)
def test_a_wrong_result_is_seen(change, words, result):
    broken = judge(QUESTION, replace(result, **change(result)), seconds=0.5, stall=0.0)
    assert any(words in one for one in broken), broken


def test_a_late_call_is_seen(result):
    seconds = QUESTION.timeout + LATE + 0.2
    assert judge(QUESTION, result, seconds, stall=0.2) == []
    (broken,) = judge(QUESTION, result, seconds, stall=0.1)
    assert broken.startswith("returned after 2.200 s")


def test_another_exception_is_seen():
    (broken,) = judge(QUESTION, KeyError("worker"), seconds=0.5, stall=0.0)
    assert broken.startswith("raised KeyError: 'worker'")


def test_that_no_answer_came_needs_a_reason():
    outcome = NotEnoughRespondersError("nobody", responders=np.empty(0, int), failures={})
    (broken,) = judge(QUESTION, outcome, seconds=0.5, stall=0.0)
    assert broken == "not enough answers for no reason: nobody"


def test_the_control_sees_who_holds_the_gil():
    with Control() as control:
        began = time.perf_counter()
        sum(range(10_000_000))
        assert control.stall(began) >= 0.5 * (time.perf_counter() - began)
