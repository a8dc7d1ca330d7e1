"""Training on real digits while workers are gone: step by step as without them."""

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch

from coded import GraphCode, LocalWorkers, coded_gradient
from coded.gradients.registry import GRADIENTS
from tests.support.digit_gradients import (
    first_parameters,
    gradient_of_part,
    loss_of_part,
)
from tests.support.worker_functions import WAIT, ManualExecutor

N, S, STEPS, RATE = 6, 1, 12, 2.0
EXACT = [name for name, variant in GRADIENTS.items() if variant.make(N, S).exact_first]


def step(parameters, gradient):
    return {name: value - RATE * gradient[name] for name, value in parameters.items()}


def uncoded_curve(n_parts, n_steps):
    """The loss before each step, and the parameters after all; one sum in this thread."""
    parameters, losses = first_parameters(), []
    for _ in range(n_steps):
        parts = [gradient_of_part(n_parts, parameters, i) for i in range(n_parts)]
        losses.append(sum(loss for loss, _ in parts))
        total = {name: sum(gradient[name] for _, gradient in parts) for name in parameters}
        parameters = step(parameters, total)
    return losses, parameters


def check_same(losses, parameters, n_parts):
    expected, last = uncoded_curve(n_parts, len(losses))
    assert losses[-1] < 0.7 * losses[0]  # it learns
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    for name, value in parameters.items():
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, last[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", EXACT)
def test_the_curve_is_that_of_no_code_whoever_is_gone_at_each_step(name):
    """Other executors at each step never answer; the loss comes in one nest with gradients."""
    code, rng = GRADIENTS[name].make(N, S), np.random.default_rng(0)
    part = partial(gradient_of_part, code.n_parts)
    parameters, losses = first_parameters(), []
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(N)]
        for _ in range(STEPS):
            gone = set(rng.choice(N, S, replace=False).tolist())
            executors = [ManualExecutor() if n in gone else pools[n] for n in range(N)]
            result = coded_gradient(part, parameters, code, executors, timeout=WAIT)
            assert result.complete
            assert result.exact
            assert gone.isdisjoint((result.responders % N).tolist())
            loss, gradient = result.outputs
            losses.append(float(loss))
            parameters = step(parameters, gradient)
    check_same(losses, parameters, code.n_parts)


def test_estimates_of_a_graph_code_train_too_and_say_when_they_are_exact():
    """Half of the answers are never waited for."""
    code, rng = GraphCode.regular(6, 4, 6), np.random.default_rng(1)
    part = partial(gradient_of_part, code.n_parts)
    parameters, seen = first_parameters(), set()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(STEPS):
            gone = set(rng.choice(code.n_workers, 6, replace=False).tolist())
            executors = [ManualExecutor() if n in gone else pool for n in range(code.n_workers)]
            result = coded_gradient(part, parameters, code, executors, timeout=WAIT)
            assert bool(result.exact) == (code.residual(result.responders) == 0.0)
            seen.add(bool(result.exact))
            parameters = step(parameters, result.outputs[1])
    first = sum(loss_of_part(first_parameters(), 6, i) for i in range(6))
    last = sum(loss_of_part(parameters, 6, i) for i in range(6))
    assert last < 0.7 * first
    assert seen == {False, True}


@pytest.mark.outer
@pytest.mark.parametrize("name", EXACT)
def test_the_curve_is_that_of_no_code_while_processes_are_killed(name):
    """Before each step one of three processes is ended by SIGKILL; it comes back in its time."""
    code, rng = GRADIENTS[name].make(3, 2), np.random.default_rng(2)
    part = partial(gradient_of_part, code.n_parts)
    parameters, losses = first_parameters(), []
    with LocalWorkers(3) as workers:
        workers.wait()
        for _ in range(STEPS):
            with contextlib.suppress(ProcessLookupError):  # it may be on its way back still
                os.kill(workers.pids[rng.integers(3)], signal.SIGKILL)
            result = coded_gradient(part, parameters, code, workers.executors, timeout=WAIT)
            assert result.exact
            loss, gradient = result.outputs
            losses.append(float(loss))
            parameters = step(parameters, gradient)
    check_same(losses, parameters, code.n_parts)


@pytest.mark.outer
@pytest.mark.parametrize("name", [name for name in GRADIENTS if name not in EXACT])
def test_estimates_train_too_while_processes_are_killed(name):
    """Before every eighth step one of three processes is ended by SIGKILL; 2 answers will do."""
    code, rng = GRADIENTS[name].make(3, 1), np.random.default_rng(3)
    part = partial(gradient_of_part, code.n_parts)
    parameters, n_steps = first_parameters(), 2 * STEPS
    with LocalWorkers(3) as workers:
        workers.wait()
        for i in range(n_steps):
            if i % 8 == 4:
                os.kill(workers.pids[rng.integers(3)], signal.SIGKILL)
            result = coded_gradient(part, parameters, code, workers.executors, timeout=WAIT)
            assert len(result.responders) >= 2
            parameters = step(parameters, result.outputs[1])
    first, last = (
        sum(loss_of_part(one, code.n_parts, i) for i in range(code.n_parts))
        for one in (first_parameters(), parameters)
    )
    assert last < 0.7 * first
