"""What a coded layer costs beside computing again what was lost, and beside copies.

A `CodedLinear` of 8 blocks for 10 workers, at several sizes and batches: the parts of a forward
pass that are not the workers' waiting, in one thread, each beside what it replaces. ``--quick``:
small layers, few repeats.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from bench.documents import to_markdown
from bench.experiments import main
from coded import CodedLinear, LocalWorkers
from coded.layers.blocks import BlockCode

K, N = 8, 10
LOST = ((3,), (3, 5))
SIZES = (1024, 2048, 4096, 8192)
BATCHES = (1, 32, 256)
HALF = (4096,)  # sizes that are measured in bfloat16 too
WAIT = 60.0  # seconds
Numbers = dict[str, Any]
Tensor = torch.Tensor


def race(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Give the least seconds of each, all in turn so many times; each warms its caches first."""
    least = dict.fromkeys(calls, np.inf)
    for _ in range(repeats):
        for name, call in calls.items():
            call()
            began = time.perf_counter()
            call()
            least[name] = min(least[name], time.perf_counter() - began)
    return {name: float(f"{seconds:.4g}") for name, seconds in least.items()}


def finish(code: BlockCode, inputs: Tensor, answers: Mapping[int, Tensor]) -> Tensor:
    """Do what is left to do once these answers are there: check, decode, join, add the bias."""
    job = code.prepare(inputs)
    read = [job.read(n, one)[1] for n, one in answers.items()]
    outputs: Tensor = job.decode(read, np.array(list(answers)))[0]
    return outputs


def measure(
    plain: torch.nn.Linear, layer: CodedLinear, inputs: Tensor, workers: LocalWorkers, repeats: int
) -> Numbers:
    """Time one layer on one batch."""
    code = layer.code
    blocks = code.placed.shares
    answers = {n: code.work(block, inputs) for n, block in enumerate(blocks)}
    (executor,) = workers.executors
    on_worker = code.placed.function(N - 1, code.work)
    came = {
        lost: {n: one for n, one in answers.items() if n not in lost and n < K + len(lost)}
        for lost in ((), *LOST)
    }
    fifths = plain.weight.chunk(N // 2)
    parts = [inputs @ rows.T for rows in fifths]
    calls: dict[str, Callable[[], object]] = {
        "layer": lambda: plain(inputs),
        "block": lambda: code.work(blocks[N - 1], inputs),
        "trip": lambda: on_worker.submit_to(executor, (inputs,)).result(WAIT),
        "join": lambda: finish(code, inputs, came[()]),
        "copy": lambda: inputs @ fifths[0].T,
        "join copies": lambda: torch.cat(parts, dim=1) + plain.bias,
    }
    for lost in LOST:
        calls[f"decode {len(lost)}"] = lambda lost=lost: finish(code, inputs, came[lost])
        calls[f"recompute {len(lost)}"] = lambda lost=lost: [
            code.work(blocks[k], inputs) for k in lost
        ]
    calls["trip"]()  # the block goes along
    expected = torch.nn.functional.linear(
        inputs.double(), plain.weight.double(), plain.bias.double()
    )
    size = float(expected.norm())
    errors = [float((finish(code, inputs, came[one]) - expected).norm()) / size for one in LOST]
    rounding = float((plain(inputs) - expected).norm()) / size
    return {
        "dtype": str(inputs.dtype).removeprefix("torch."),
        "size": plain.in_features,
        "batch": len(inputs),
        "seconds": race(calls, repeats),
        "errors": errors,
        "rounding": rounding,
    }


@torch.no_grad()
def run(*, quick: bool) -> Numbers:
    """Measure all sizes and batches."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes, repeats = ((128, 256), 2) if quick else (SIZES, 9)
    cases = [(torch.float32, size) for size in sizes]
    cases += [(torch.bfloat16, size) for size in (sizes[:1] if quick else HALF)]
    rows, memory = [], []
    try:
        with LocalWorkers(1) as workers:
            workers.wait()
            for dtype, size in cases:
                plain = torch.nn.Linear(size, size, dtype=dtype)
                began = time.perf_counter()
                layer = CodedLinear(plain, K, N, workers.executors)
                encode = time.perf_counter() - began
                held = sum(block.nbytes for block in layer.code.placed.shares)
                memory.append(held / plain.weight.nbytes - 1.0)
                for batch in BATCHES:
                    inputs = torch.randn(batch, size, dtype=dtype)
                    row = measure(plain, layer, inputs, workers, repeats)
                    rows.append({**row, "encode": float(f"{encode:.4g}")})
    finally:
        torch.set_num_threads(threads)
    return {"k": K, "n": N, "repeats": repeats, "memory": memory, "rows": rows}


def tables(numbers: Numbers) -> dict[str, str]:
    """Make the table."""
    header = ["dtype", "size", "batch", "block / layer", "way to a worker and back / block"]
    header += ["nothing lost: finish / block", "one lost: decode / recompute", "error"]
    header += ["two lost: decode / recompute", "error", "plain error", "two copies / coded"]
    rows = [
        [row["dtype"], str(row["size"]), str(row["batch"]), *_tell_row(row)]
        for row in numbers["rows"]
    ]
    return {"layers": f"{to_markdown(header, rows)}\n\n{_caption(numbers)}"}


def _tell_row(row: Numbers) -> list[str]:
    took = row["seconds"]
    told = [
        f"{took['block'] / took['layer']:.3f}",
        f"{took['trip'] / took['block']:.2f}",
        f"{took['join'] / took['block']:.3f}",
    ]
    for lost, error in zip(LOST, row["errors"], strict=True):
        count = len(lost)
        told += [f"{took[f'decode {count}'] / took[f'recompute {count}']:.3f}", f"{error:.1e}"]
    copies = (took["copy"] + took["join copies"]) / (took["block"] + took["decode 1"])
    return [*told, f"{row['rounding']:.1e}", f"{copies:.2f}"]


def _caption(numbers: Numbers) -> str:
    k, n = numbers["k"], numbers["n"]
    encode = [
        row["encode"] / row["seconds"]["layer"] for row in numbers["rows"] if row["batch"] > 1
    ]
    return (
        f"A `CodedLinear` of size x size numbers in {k} blocks for {n} workers, one torch thread; "
        f"the least of {numbers['repeats']} interleaved runs. Block: what a worker does, or this "
        "process for a lost block. Finish, decode: all that follows once the answers are there, "
        "checks, decoding, joining and bias. The way: inputs to a local worker process, its work "
        "and its answer back, so that at 1 it would cost nothing. Errors are relative to the layer "
        "in double precision. Two copies: "
        f"{n // 2} larger blocks on the same {n} workers, work and joining, without checks, beside "
        "a coded block and decoding with one lost. Memory in all workers beyond the weight: "
        f"{max(numbers['memory']):.0%}, of two copies 100 %, of three, which survive any two "
        "losses as this code does, 200 %. Encoding: "
        f"{min(encode):.1f} to {max(encode):.1f} forward passes of the plain layer, once."
    )


def draw(numbers: Numbers) -> dict[str, Figure]:  # noqa: ARG001 (as all experiments)
    """Draw nothing."""
    return {}


if __name__ == "__main__":
    main("layers")
