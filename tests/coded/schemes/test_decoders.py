import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from coded.maps.arrays import MatrixMap
from coded.schemes.decoders import Decoders
from tests.support.meanwhile import MOMENT
from tests.support.worker_functions import WAIT


def one_by_one(built):
    """Build maps of one row, and tell which were built."""

    def build(responders):
        built.append(responders)
        return MatrixMap(np.ones((1, len(responders))))

    return build


def test_a_decoder_is_built_once():
    built, decoders = [], Decoders()
    first = decoders.get((0, 2), one_by_one(built))
    assert decoders.get((0, 2), one_by_one(built)) is first
    assert built == [(0, 2)]


def test_the_one_used_longest_ago_goes():
    built, decoders = [], Decoders()
    for n in range(256):
        decoders.get((n,), one_by_one(built))
    decoders.get((0,), one_by_one(built))
    decoders.get((256,), one_by_one(built))
    decoders.get((0,), one_by_one(built))
    assert len(built) == 257
    decoders.get((1,), one_by_one(built))
    assert built[257:] == [(1,)]


class Watched(tuple):
    """A set of responders that counts how often it is looked up; at one of them others act."""

    count, last, moment = 0, None, None

    def __hash__(self):
        self.count += 1
        if self.count == self.last:
            self.moment()
        return super().__hash__()


def test_another_thread_may_push_a_decoder_out_just_as_it_becomes_the_latest():
    decoders, counted, asked = Decoders(), Watched((0,)), Watched((0,))
    building, come, gone = threading.Event(), threading.Event(), threading.Event()

    def build_late(_):
        building.set()
        assert come.wait(WAIT)
        return MatrixMap(np.ones((1, 1)))

    def push_out():
        decoders.get((256,), build_late)
        gone.set()

    def let_it_come():
        come.set()
        gone.wait(MOMENT)  # it cannot, while a lock keeps it out

    for n in range(256):
        decoders.get((n,), one_by_one([]))
    with ThreadPoolExecutor(1) as other:
        pushed = other.submit(push_out)
        assert building.wait(WAIT)
        decoders.get(counted, one_by_one([]))
        for n in range(1, 256):  # so that it is the oldest again
            decoders.get((n,), one_by_one([]))
        asked.last, asked.moment = counted.count, let_it_come
        assert decoders.get(asked, one_by_one([])).dense().shape == (1, 1)
        assert come.is_set()
        pushed.result(WAIT)
