import numpy as np

from coded.maps.arrays import MatrixMap
from coded.schemes.decoders import Decoders


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


def test_what_is_not_worth_keeping_is_built_anew():
    built, decoders = [], Decoders()
    for _ in range(2):
        decoders.get((1,), one_by_one(built), lambda decoder: len(decoder.dense()) > 1)
    assert built == [(1,), (1,)]
