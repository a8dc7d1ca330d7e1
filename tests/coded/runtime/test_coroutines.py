"""Async functions as workers: what a call makes of them, and that it really cancels them."""

import asyncio
import functools
from dataclasses import dataclass

import numpy as np
import pytest

from coded import (
    KernelScheme,
    NotEnoughRespondersError,
    ReplicationScheme,
    coded_as_completed,
    coded_map,
    coded_map_async,
)
from tests.support.worker_functions import WAIT, ManualExecutor

INPUTS = np.array([1.0, 2.0, 3.0])
COPIES = ReplicationScheme(3, 6)


async def double(x):
    await asyncio.sleep(0.001)
    return 2.0 * x


class Doubling:
    async def __call__(self, x):
        return await double(x)

    async def method(self, x):
        return await double(x)


@pytest.mark.parametrize(
    "fn",
    [
        double,
        Doubling(),
        Doubling().method,
        functools.partial(double),
        [double, double],
        [double] * 9,
    ],
    ids=["function", "object", "method", "partial", "two", "more than workers"],
)
def test_async_functions_need_no_executor(fn):
    result = asyncio.run(coded_map_async(fn, INPUTS, COPIES, timeout=WAIT))
    assert result.complete
    assert np.array_equal(result.outputs, 2.0 * INPUTS)


def test_coded_input_n_goes_to_function_n_modulo_their_number():
    asked = {}

    def named(i):
        async def remember(x):
            asked.setdefault(i, []).append(float(x))
            return 2.0 * x

        return remember

    fns = [named(i) for i in range(3)]
    asyncio.run(coded_map_async(fns, INPUTS, COPIES, wait_for=6, timeout=WAIT))
    coded_inputs = COPIES.encode(INPUTS)
    assert asked == {i: sorted([coded_inputs[i], coded_inputs[i + 3]]) for i in range(3)}


def test_what_is_not_needed_is_cancelled_while_it_runs():
    ended = []

    async def slow_for_ever(x):
        try:
            await asyncio.sleep(WAIT)
        except asyncio.CancelledError:
            ended.append(float(x))
            raise

    async def main():
        fns = [double, double, double, slow_for_ever, slow_for_ever, slow_for_ever]
        result = await coded_map_async(fns, INPUTS, COPIES, timeout=WAIT)
        for _ in range(100):
            if len(ended) == 3:
                break
            await asyncio.sleep(0.01)
        return result

    result = asyncio.run(main())
    assert result.exact.all()
    assert sorted(ended) == [1.0, 2.0, 3.0]
    assert not result.failures


def test_a_cancelled_call_cancels_its_coroutines():
    started, ended = [], []

    async def slow(x):
        started.append(float(x))
        try:
            await asyncio.sleep(WAIT)
        finally:
            ended.append(float(x))

    async def main():
        call = asyncio.ensure_future(coded_map_async(slow, INPUTS, ReplicationScheme(3, 3)))
        while len(started) < 3:
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        for _ in range(100):
            if len(ended) == 3:
                break
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert sorted(ended) == [1.0, 2.0, 3.0]


def test_a_function_that_fails_is_replaced_by_another():
    async def fail(_):
        raise ConnectionError("503")

    async def main():
        fns = [fail, double, double]
        return await coded_map_async(fns, INPUTS, ReplicationScheme(3, 3), timeout=WAIT)

    result = asyncio.run(main())
    assert result.exact.all()
    assert result.retries == 1
    assert isinstance(result.failures[0], ConnectionError)


def test_a_slow_function_is_hedged_by_an_idle_one():
    async def for_ever(x):
        await asyncio.sleep(WAIT)
        return x

    async def main():
        fns = [for_ever, double, double, double]
        scheme = ReplicationScheme(3, 3)
        return await coded_map_async(fns, INPUTS, scheme, hedge_after=0.05, timeout=WAIT)

    result = asyncio.run(main())
    assert result.exact.all()
    assert result.hedges == 1


@dataclass
class Server:
    """A function that cannot be hashed, for it compares by value."""

    is_slow: bool = False

    async def __call__(self, x):
        was_slow, self.is_slow = self.is_slow, False
        await asyncio.sleep(WAIT if was_slow else 0.001)
        return 2.0 * x

    async def ask(self, x):
        return await self(x)


@pytest.mark.parametrize("give", [lambda one: one, lambda one: one.ask], ids=["object", "method"])
def test_p95_goes_by_the_calls_of_the_same_function(give):
    server = Server()

    async def main():
        terms = {"hedge_after": "p95", "timeout": WAIT}
        for _ in range(8):
            await coded_map_async(give(server), INPUTS, ReplicationScheme(3, 3), **terms)
        server.is_slow = True
        return await coded_map_async(give(server), INPUTS, ReplicationScheme(3, 3), **terms)

    result = asyncio.run(main())
    assert result.exact.all()
    assert result.hedges >= 1


@pytest.mark.parametrize("fn", [np.sin, [double, np.sin], 3], ids=["one", "of two", "none"])
def test_without_executor_only_async_functions_are_taken(fn):
    with pytest.raises(TypeError, match="async"):
        asyncio.run(coded_map_async(fn, INPUTS, COPIES))


def test_no_function_is_refused():
    with pytest.raises(ValueError, match="at least one async function"):
        asyncio.run(coded_map_async([], INPUTS, COPIES))


def test_executors_do_not_take_async_functions():
    pool = ManualExecutor()
    with pytest.raises(TypeError, match="leave out the executor"):
        coded_map(double, INPUTS, COPIES, pool)
    with pytest.raises(TypeError, match="leave out the executor"):
        asyncio.run(coded_map_async(double, INPUTS, COPIES, pool))
    assert not pool.futures


# ---- one by one


def test_outputs_come_one_by_one_and_estimates_last():
    async def f(x):
        if x == 2.0:
            raise ArithmeticError("two is hard")
        await asyncio.sleep(0.05 * float(x))
        return 2.0 * x

    async def main():
        scheme = KernelScheme(4, 8)
        inputs = np.arange(1.0, 5.0)
        return [one async for one in coded_as_completed(f, inputs, scheme, timeout=WAIT)]

    told = asyncio.run(main())
    assert [k for k, _, _ in told] == [0, 2, 3, 1]
    assert [std for _, _, std in told[:3]] == [0.0] * 3
    assert [float(output) for _, output, _ in told[:3]] == [2.0, 6.0, 8.0]
    assert told[3][2] > 0.0


def test_leaving_early_cancels_the_rest():
    ended = []

    async def f(x):
        try:
            await asyncio.sleep(0.0 if x == 1.0 else WAIT)
        except asyncio.CancelledError:
            ended.append(float(x))
            raise
        return x

    async def main():
        outputs = coded_as_completed(f, INPUTS, ReplicationScheme(3, 3))
        async for k, _, _ in outputs:
            assert k == 0
            break
        await outputs.aclose()
        for _ in range(100):
            if len(ended) == 2:
                break
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert sorted(ended) == [2.0, 3.0]


def test_an_error_comes_out_of_the_iterator():
    async def fail(_):
        raise ConnectionError("gone")

    async def main():
        return [one async for one in coded_as_completed(fail, INPUTS, COPIES, timeout=WAIT)]

    with pytest.raises(NotEnoughRespondersError, match="ConnectionError"):
        asyncio.run(main())
