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

from coded import MDSScheme, NotEnoughRespondersError, ReplicationScheme, coded_map
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
AT_ONCE = 5.0  # seconds; a hang would last for ever


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
        (lambda _: {"failures": {0: OSError()}}, "[0] answered and failed"),
        (lambda _: {"retries": 1}, "1 retries, of 0 a task"),
        (lambda _: {"hedges": 1}, "1 hedges within 0.500 s"),
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


ASKED = replace(QUESTION, wait_for="exact", hedge_after=0.2, retries=2)
LOST = {"complete": False, "responders": np.arange(1, 8), "stragglers": np.array([0])}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"retries": 17}, "17 retries, of 2 a task"),
        ({"hedges": 17}, "17 hedges within 0.500 s"),  # a task can be hedged twice in that time
        ({"exact": np.arange(4) > 0}, "complete, and not all exact"),
        ({**LOST, "exact": np.arange(4) > 0}, "did not wait for {0}"),
        (
            {**LOST, "exact": np.arange(4) > 0, "failures": {0: OSError()}, "retries": 1},
            "gave up {0}, each to be asked 2 times more",
        ),
    ],
)
def test_that_a_task_could_have_been_asked_again_is_seen(change, words, result):
    broken = judge(ASKED, replace(result, **change), seconds=0.5, stall=0.0)
    assert any(words in one for one in broken), broken


def test_asking_again_breaks_no_promise(result):
    asked = replace(result, failures={0: OSError()}, retries=16, hedges=16)
    assert judge(ASKED, asked, seconds=0.5, stall=0.0) == []
    latencies = np.where(np.arange(N_WORKERS) > 0, result.latencies, np.nan)
    lost = {**LOST, "latencies": latencies, "exact": np.arange(4) > 0, "failures": {0: OSError()}}
    assert judge(ASKED, replace(result, **lost, retries=2), seconds=0.5, stall=0.0) == []
    assert judge(ASKED, replace(result, **lost), seconds=ASKED.timeout, stall=0.0) == []


def test_that_nobody_was_waited_for_is_seen():
    scheme = MDSScheme(3, N_WORKERS)
    failures = {n: OSError() for n in range(5)}
    outcome = NotEnoughRespondersError("few", responders=np.empty(0, int), failures=failures)
    question = replace(QUESTION, scheme=scheme)
    (broken,) = judge(question, outcome, seconds=0.5, stall=0.0)
    assert broken == "not enough answers, and did not wait for {5, 6, 7}: few"
    question = replace(QUESTION, scheme=MDSScheme(4, N_WORKERS))  # which they could not help
    assert judge(question, outcome, seconds=0.5, stall=0.0) == []


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
