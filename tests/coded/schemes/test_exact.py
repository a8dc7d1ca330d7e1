"""What all exact codes share: a decoder is made once for a set of responders."""

import numpy as np
import pytest

from coded import AnalogLagrangeScheme, LagrangeScheme, MDSScheme, ParityScheme, ProductScheme
from coded.schemes.exact import LARGEST_AMPLIFICATION

SCHEMES = {
    "lagrange": (LagrangeScheme, (2, 6), {"degree": 1}),
    "analog lagrange": (
        AnalogLagrangeScheme,
        (2, 6),
        {"degree": 1, "n_colluders": 1, "mask_std": 10.0},
    ),
    "mds": (MDSScheme, (3, 6), {}),
    "parity": (ParityScheme, (3, 5), {}),
    "product": (ProductScheme, (4, 9), {}),
}


def counting(family, *counts, **settings):
    """Make a scheme that lists the sets for which it makes a decoder."""

    class Counting(family):
        def _build_exact(self, responders):
            self.made.append(responders)
            return super()._build_exact(responders)

    scheme = Counting(*counts, **settings)
    scheme.made = []
    return scheme


@pytest.mark.parametrize(("family", "counts", "settings"), SCHEMES.values(), ids=SCHEMES)
def test_a_decoder_is_made_once_for_the_same_responders(family, counts, settings):
    scheme = counting(family, *counts, **settings)
    answers = scheme.encode(np.linspace(1.0, 2.0, scheme.n_inputs))
    workers = tuple(range(1, scheme.n_workers))
    assert scheme.can_decode(workers)
    first = scheme.decode(answers[1:], workers)
    again = scheme.decode(answers[1:], workers)
    np.testing.assert_array_equal(again, first)
    assert scheme.amplification(workers) <= LARGEST_AMPLIFICATION
    assert scheme.made == [workers]
    everybody = tuple(range(scheme.n_workers))
    scheme.decode(answers, everybody)
    assert scheme.made == [workers, everybody]
