"""A seed or a generator from what callers pass as `rng`, which is never advanced."""

from __future__ import annotations

import copy

import numpy as np

from coded.arguments import read_count


def read_seed(rng: int | np.random.Generator) -> int:
    """Give a seed that stands for `rng`: an int itself, or what a generator would draw next.

    Raises
    ------
    TypeError
        If `rng` is neither an int nor a generator.
    ValueError
        If it is negative.

    Examples
    --------
    >>> generator = np.random.default_rng(3)
    >>> read_seed(generator) == read_seed(generator), read_seed(7)
    (True, 7)
    """
    if isinstance(rng, np.random.Generator):
        return int(copy.deepcopy(rng.bit_generator).random_raw())
    return read_count(rng, "rng", at_least=0, at_most=None)


def derived(rng: int | np.random.Generator) -> np.random.Generator:
    """Make a generator from the seed or the state of `rng` alone, which stays as it is.

    Raises
    ------
    TypeError
        If `rng` is neither an int nor a generator.
    ValueError
        If it is negative.

    Examples
    --------
    >>> bool(derived(3).random() == derived(3).random())
    True
    """
    if isinstance(rng, np.random.Generator):
        state = copy.deepcopy(rng.bit_generator)
    else:
        state = np.random.PCG64(read_count(rng, "rng", at_least=0, at_most=None))
    return np.random.default_rng(state.random_raw(4))
