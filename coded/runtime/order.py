"""The order in which tasks are submitted."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from fastspline.arrays import FloatArray


def spread(inputs: FloatArray, coded_inputs: FloatArray) -> list[int]:
    """Order the tasks so that the first ones, which a shared pool works off first, tell most.

    Each input itself once, where it is a coded input, then the mixed ones, then second copies,
    and so on; among each of these in the order of the workers' reversed bits, so that any
    beginning is spread over the line. Equal are what some of their numbers make equal.
    """
    n_workers = len(coded_inputs)
    step = max(1, inputs[0].size // 64)
    unmixed = {row.tobytes() for row in inputs.reshape(len(inputs), -1)[:, ::step]}
    sample = coded_inputs.reshape(n_workers, -1)[:, ::step]
    copies: Counter[bytes] = Counter()
    turns = []
    for n in _by_reversed_bits(n_workers):
        key = sample[n].tobytes()
        turns.append(((copies[key], key not in unmixed), n))
        copies[key] += 1
    return [n for _, n in sorted(turns, key=lambda turn: turn[0])]


@lru_cache(maxsize=16)
def _by_reversed_bits(count: int) -> list[int]:
    bits = count.bit_length()
    return sorted(range(count), key=lambda n: f"{n:0{bits}b}"[::-1])
