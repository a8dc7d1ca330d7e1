"""Jobs that are no schemes, run by the same loop; and every scheme as a code of one operand."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from coded import (
    Code,
    InconsistentAnswersError,
    Job,
    LagrangeScheme,
    MDSScheme,
    NotEnoughRespondersError,
    ParityScheme,
    ReplicationScheme,
    WithPrior,
    coded_map,
)
from coded.runtime.request import read_request
from coded.runtime.scheme_job import SchemeCode
from coded.runtime.terms import Terms
from coded.runtime.waiting import answer
from coded.runtime.waiting_async import answer_async
from coded.schemes import codes
from coded.schemes.registry import Setting
from tests.support.worker_functions import WAIT

LEFT = np.arange(24.0).reshape(4, 6)
RIGHT = np.arange(12.0).reshape(6, 2)
GENERATOR = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 2.0]])


class RowsTimesMatrix:
    """A product whose rows are coded, (4, 2) MDS: two operands, one output."""

    n_workers = 4
    min_responders = 2

    def prepare(self, left, right):
        if left.shape[1] != len(right):
            raise ValueError("left and right do not fit")
        return ProductJob(left, right)


class ProductJob:
    min_responders = 2

    def __init__(self, left, right):
        halves = left.reshape(2, -1, left.shape[1])
        self.payloads = [(rows, right) for rows in np.tensordot(GENERATOR, halves, 1)]

    def function(self, _, fn):
        return fn

    def can_decode(self, responders):
        return len(responders) >= 2

    def decode(self, answers, responders):
        weights = np.linalg.pinv(GENERATOR[responders])
        return np.tensordot(weights, np.stack(answers), 1).reshape(-1, answers[0].shape[1])

    def exact_mask(self, responders):
        return np.array(self.can_decode(responders))


class Ragged:
    """Payloads of no, one and two arguments; answers of any shape, all of which are needed."""

    n_workers = 3
    min_responders = 3

    def prepare(self):
        return RaggedJob()


class RaggedJob:
    payloads = ((), (2.0,), (3.0, 4))
    order = (2, 0, 1)
    min_responders = 3

    def function(self, worker, fn):
        return partial(fn, f"worker {worker}")

    def read(self, worker, answer):
        if answer is None:
            raise TypeError(f"worker {worker} gave nothing")
        return None, [answer]

    def can_decode(self, responders):
        return len(responders) > 1

    def decode(self, answers, responders):
        return dict(zip(responders.tolist(), itertools.chain(*answers), strict=True))

    def exact_mask(self, responders):
        return np.isin(np.arange(3), responders)


def ask(fn, code, *operands, on_answer=None, wait_for=None):
    """Run a job in threads."""
    with ThreadPoolExecutor(8) as pool:
        request = read_request(
            fn, operands, code, pool, Terms(wait_for=wait_for, timeout=WAIT, on_answer=on_answer)
        )
        return answer(request)


def list_arguments(name, *arguments):
    return (name, *arguments)


def members(protocol):
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_jobs_and_codes_have_what_the_protocols_ask_for():
    codes_of_kinds = [(RowsTimesMatrix(), (LEFT, RIGHT)), (Ragged(), ())]
    codes_of_kinds.append((SchemeCode(MDSScheme(2, 4)), (np.zeros((2, 3)),)))
    for code, operands in codes_of_kinds:
        assert members(Code) <= set(dir(code))
        assert members(Job) <= set(dir(code.prepare(*operands)))


def test_a_code_that_prepares_another_number_of_payloads_is_refused():
    class Short(RowsTimesMatrix):
        n_workers = 5

    with pytest.raises(ValueError, match="each of its 5 workers, but prepared 4"):
        ask(np.matmul, Short(), LEFT, RIGHT)


def test_what_a_job_does_not_say_is_not_waited_for():
    """Without `wait_for` the job says how many answers suffice."""
    result = ask(np.matmul, RowsTimesMatrix(), LEFT, RIGHT)
    assert result.complete
    assert len(result.responders) >= 2


def test_a_read_that_gives_no_kind_is_a_failure_of_the_worker():
    class Unhashable(RaggedJob):
        def read(self, worker, answer):
            return ([] if worker == 1 else None), [answer]

    class Code(Ragged):
        def prepare(self):
            return Unhashable()

    result = ask(list_arguments, Code())
    assert result.responders.tolist() == [0, 2]
    assert "unhashable" in str(result.failures[1])
    assert "dict" in repr(result) or "{0:" in repr(result)


@pytest.mark.parametrize("lost", [(), *itertools.combinations(range(4), 1)])
@pytest.mark.parametrize("count", [2, 3])
def test_a_product_of_two_operands_is_decoded_from_any_answers(lost, count):
    gone = [RowsTimesMatrix().prepare(LEFT, RIGHT).payloads[n][0] for n in lost]

    def multiply(rows, right):
        if any(np.array_equal(rows, one) for one in gone):
            raise OSError("lost")
        return rows @ right

    result = ask(multiply, RowsTimesMatrix(), LEFT, RIGHT, wait_for=count)
    np.testing.assert_allclose(result.outputs, LEFT @ RIGHT, rtol=1e-12)
    assert result.complete
    assert result.exact.all()
    assert result.std is None
    assert set(result.failures) <= set(lost)
    assert "exact=1 of 1" in repr(result)


def test_answers_of_another_shape_or_not_finite_are_failures():
    def multiply(rows, right):
        product = rows @ right
        if rows[0, 0] == LEFT[0, 0] and rows[0, 1] == LEFT[0, 1]:
            return product[:1]
        if np.array_equal(rows, LEFT[2:]):
            product[0, 0] = np.nan
        return product

    result = ask(multiply, RowsTimesMatrix(), LEFT, RIGHT, wait_for=lambda who: len(who) > 2)
    np.testing.assert_allclose(result.outputs, LEFT @ RIGHT, rtol=1e-12)
    assert not result.complete
    assert sorted(result.failures) == [0, 1]
    assert "shape (1, 2), most others have (2, 2)" in str(result.failures[0])


def test_operands_that_do_not_fit_are_refused_before_anything_is_submitted():
    with pytest.raises(ValueError, match="do not fit"):
        ask(np.matmul, RowsTimesMatrix(), LEFT, LEFT)


def test_answers_may_differ_in_shape_where_the_job_allows_it():
    seen = []
    result = ask(list_arguments, Ragged(), on_answer=lambda worker, _: seen.append(worker))
    assert result.outputs == {0: ("worker 0",), 1: ("worker 1", 2.0), 2: ("worker 2", 3.0, 4)}
    assert sorted(seen) == [0, 1, 2]


def test_a_job_says_what_is_no_answer():
    def give(name, *arguments):
        return None if name == "worker 1" else len(arguments)

    result = ask(give, Ragged())
    assert result.outputs == {0: 0, 2: 2}
    assert isinstance(result.failures[1], TypeError)
    assert result.exact.tolist() == [True, False, True]


def test_tasks_are_submitted_in_the_order_of_the_job():
    submitted = []

    class Pool(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            submitted.append(fn.args[0])
            return super().submit(fn, *args, **kwargs)

    with Pool(1) as pool:
        answer(read_request(list_arguments, (), Ragged(), pool, Terms(wait_for=None, timeout=WAIT)))
    assert submitted == ["worker 2", "worker 0", "worker 1"]


def test_too_few_answers_are_told_with_the_job():
    def fail(*_):
        raise OSError("down")

    with pytest.raises(NotEnoughRespondersError, match=r"ProductJob .* cannot decode that; waited"):
        ask(fail, RowsTimesMatrix(), LEFT, RIGHT)


def test_a_coroutine_runs_a_job_too():
    async def main(pool):
        def read():
            return read_request(
                np.matmul, (LEFT, RIGHT), RowsTimesMatrix(), pool, Terms(wait_for=4, timeout=WAIT)
            )

        return await answer_async(read)

    with ThreadPoolExecutor(4) as pool:
        result = asyncio.run(main(pool))
    np.testing.assert_allclose(result.outputs, LEFT @ RIGHT, rtol=1e-12)


@pytest.mark.parametrize("name", codes())
def test_every_scheme_is_a_code_of_one_operand(name):
    """Its job decodes what the scheme itself does, bit for bit."""
    variant = codes()[name]
    scheme = variant.make(Setting(4, 6 if name == "parity" else 24, 2, degree=1))
    inputs = np.arange(12).reshape(4, 3) + 1
    job = SchemeCode(scheme).prepare(inputs)
    bound = scheme.bind(inputs)
    responders = np.flatnonzero(np.arange(scheme.n_workers) != 3)
    assert len(job.payloads) == scheme.n_workers
    assert sorted(job.order) == list(range(scheme.n_workers))
    assert job.min_responders == scheme.min_responders
    coded_outputs = [job.function(n, double)(*job.payloads[n]) for n in responders]
    answers = [job.read(n, one)[1] for n, one in zip(responders, coded_outputs, strict=True)]
    assert job.can_decode(responders) == bound.can_decode(responders)
    np.testing.assert_array_equal(job.exact_mask(responders), bound.exact_mask(responders))
    outputs = job.decode(answers, responders)
    if "private" not in name:  # masks are drawn anew
        np.testing.assert_array_equal(outputs, bound.decode(np.stack(coded_outputs), responders))


def double(x):
    return 2 * x


class NewFunctions(ParityScheme):
    """Makes new functions whenever it is asked, and counts that."""

    asked = 0

    def worker_functions(self, _):
        type(self).asked += 1
        return [partial(np.multiply, float(self.asked))] * self.n_workers


def test_a_scheme_is_asked_once_for_the_functions_of_its_workers():
    with ThreadPoolExecutor(3) as pool:
        scheme = NewFunctions(2, 3)
        result = coded_map(double, np.array([1.0, 2.0]), scheme, pool, wait_for=3, timeout=WAIT)
    assert NewFunctions.asked == 1
    assert result.outputs.tolist() == [1.0, 2.0]


class WithOwnPrior(ReplicationScheme):
    prior = "an attribute of somebody's scheme"


def test_nests_are_refused_for_WithPrior_alone():
    nest = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    with ThreadPoolExecutor(4) as pool:
        scheme = WithOwnPrior(2, 4)
        result = coded_map(lambda pair: pair[0] + pair[1], nest, scheme, pool, wait_for=4)
        assert result.outputs.tolist() == [4.0, 6.0]
        with pytest.raises(TypeError, match="one array for WithPrior"):
            coded_map(np.sin, nest, WithPrior(ReplicationScheme(2, 4), np.cos), pool)


def test_workers_that_evaluate_other_functions_are_sent_these():
    scheme = ParityScheme(2, 3, parity_models=[lambda x: 2.0 * x])
    with ThreadPoolExecutor(3) as pool:
        result = coded_map(double, np.array([1.0, 2.0]), scheme, pool, wait_for=3, timeout=WAIT)
    assert result.outputs.tolist() == [2.0, 4.0]


def test_a_liar_is_named_and_left_out_where_spare_answers_tell():
    scheme, inputs = MDSScheme(3, 7), np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]])
    matrix = np.array([[2.0, 1.0], [1.0, -3.0]])
    lie = scheme.encode(inputs)[5]

    def multiply(x):
        return x @ matrix + 100.0 * np.array_equal(x, lie)

    with ThreadPoolExecutor(7) as pool:
        result = coded_map(multiply, inputs, scheme, pool, wait_for=7, timeout=WAIT)
    assert result.complete
    assert result.stragglers.tolist() == [5]
    assert "contradicts those of the others" in str(result.failures[5])
    assert result.exact.all()
    assert np.allclose(result.outputs, inputs @ matrix, atol=1e-12)


def test_answers_that_contradict_the_code_are_an_error_of_the_call():
    with (
        ThreadPoolExecutor(9) as pool,
        pytest.raises(InconsistentAnswersError, match="polynomial"),
    ):
        coded_map(
            np.tanh, np.linspace(-3.0, 3.0, 3), LagrangeScheme(3, 9, degree=2), pool,
            wait_for=9, timeout=WAIT,
        )  # fmt: skip


class Proxy:
    """A function that has any attribute, as stand-ins for remote objects and mocks do."""

    def __call__(self, rows, right):
        return rows @ right

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Proxy()


def test_a_function_that_has_any_attribute_is_submitted_as_it_is():
    with ThreadPoolExecutor(4) as pool:
        terms = Terms(timeout=WAIT)
        result = answer(read_request(Proxy(), (LEFT, RIGHT), RowsTimesMatrix(), pool, terms))
    np.testing.assert_allclose(result.outputs, LEFT @ RIGHT)
