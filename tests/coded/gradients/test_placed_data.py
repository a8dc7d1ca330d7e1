"""Data of parts that stay with the workers."""

import os
import pickle
import signal

import numpy as np
import pytest

from coded import LocalWorkers, coded_gradient, simulate
from coded.gradients.registry import GRADIENTS
from tests.support.digit_gradients import scaled_block
from tests.support.worker_functions import WAIT

EXACT = [name for name in GRADIENTS if name not in ("graph", "unbiased")]


def make(name):
    code = GRADIENTS[name].make(6, 1)
    return code, [np.full(3, float(i + 1)) for i in range(code.n_parts)]


@pytest.mark.parametrize("name", EXACT)
def test_parts_get_their_blocks(name):
    code, blocks = make(name)
    data = code.place(blocks)
    found = simulate(scaled_block, (2.0, data), code, stragglers=0, repeats=1)
    np.testing.assert_allclose(found.outputs[0], 2.0 * sum(blocks), atol=1e-10)
    np.testing.assert_allclose(found.reference, 2.0 * sum(blocks), atol=1e-12)


@pytest.mark.parametrize("name", EXACT)
def test_tasks_name_the_blocks_and_do_not_hold_them(name):
    code, blocks = make(name)
    data = code.place([np.repeat(block, 10_000) for block in blocks])
    job = code.prepare(2.0, data)
    task = pickle.dumps((job.function(0, scaled_block), job.payloads[0]))
    assert len(task) < 1000


def test_data_that_cannot_be_are_refused():
    code, blocks = make("fractional-repetition")
    other, _ = make("fractional-repetition")
    with pytest.raises(ValueError, match="blocks must hold the data of 6 parts, got 5"):
        code.place(blocks[:5])
    with pytest.raises(TypeError, match="blocks must be a sequence"):
        code.place(3)
    with pytest.raises(ValueError, match="data were placed by"):
        code.prepare(2.0, other.place(blocks))
    with pytest.raises(TypeError, match=r"data must be what code\.place"):
        coded_gradient(scaled_block, 2.0, code, None, data=blocks)
    assert repr(code.place(blocks)) == "PlacedData(6 parts, FractionalRepetitionCode(6, 1))"


@pytest.mark.outer
def test_a_new_process_gets_its_blocks_again():
    code, blocks = make("fractional-repetition")
    data = code.place(blocks)
    with LocalWorkers(6) as workers:
        for _ in range(3):
            result = coded_gradient(
                scaled_block, 2.0, code, workers.executors, data=data, wait_for=6, timeout=WAIT
            )
            assert result.complete
            np.testing.assert_allclose(result.outputs, 2.0 * sum(blocks), atol=1e-10)
            os.kill(workers.executors[0].submit(os.getpid).result(WAIT), signal.SIGKILL)
