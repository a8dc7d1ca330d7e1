"""Train parity models (ParM) for the experiments' LeNet5 on real handwritten digits.

    python -m bench.weights.train_parity  # K = 2, 3 and 4, about two minutes each on a quiet core
    python -m bench.weights.train_parity 2 --steps 4000

A parity model for K inputs gets the sum of K digits, pixel by pixel, and is to answer the sum of
the K answers of the network f that it serves: least squares on the logits, as ParM trains. It has
f's architecture and starts from f's weights, the first layer's divided by K. Groups are drawn
anew in each step from the 7,000 digits that f was trained on, each digit moved by up to a
pixel; the held-out digits are not looked at. Weights are stored in half precision.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.science import datasets
from bench.science.datasets import DATA
from bench.science.networks import LeNet5

STEPS, BATCH, LEARNING_RATE, SHIFT = 16000, 64, 5e-3, 1
SEED = 0
TOLD_EVERY = 2000  # steps


def load_served() -> LeNet5:
    """Load f, the network that parity models serve."""
    model = LeNet5()
    model.load_state_dict(torch.load(DATA / "lenet5_mnist.pt", weights_only=True))
    return model.eval()


def start_from(served: LeNet5, n_inputs: int) -> LeNet5:
    """Give a copy of f that would answer the mean of K equal digits as f answers one."""
    model = LeNet5()
    model.load_state_dict(served.state_dict())
    with torch.no_grad():
        model.c1.weight /= n_inputs
    return model


@torch.no_grad()
def answers_to_moved(served: LeNet5, images: Tensor) -> dict[tuple[int, int], Tensor]:
    """Give f's answers to all images, for each way to move them by up to `SHIFT` pixels."""
    steps = range(-SHIFT, SHIFT + 1)
    moves = [(down, right) for down in steps for right in steps]
    return {
        move: torch.cat([served(some) for some in torch.roll(images, move, (1, 2)).split(1000)])
        for move in moves
    }


def train_parity(served: LeNet5, images: Tensor, n_inputs: int, *, steps: int = STEPS) -> LeNet5:
    """Train one parity model by Adam and one learning-rate cycle; print the mean squared error."""
    rng = np.random.default_rng(SEED)
    model = start_from(served, n_inputs).train()
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    answers = answers_to_moved(served, images)
    recent = 0.0
    for step in range(1, steps + 1):
        query, wanted = torch.zeros(()), torch.zeros(())
        for _ in range(n_inputs):
            rows = torch.from_numpy(rng.integers(len(images), size=BATCH))
            down, right = (int(way) for way in rng.integers(-SHIFT, SHIFT + 1, 2))
            query = query + torch.roll(images[rows], (down, right), (1, 2))
            wanted = wanted + answers[down, right][rows]
        loss = functional.mse_loss(model(query), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        recent += loss.item() / TOLD_EVERY
        if step % TOLD_EVERY == 0:
            print(f"K = {n_inputs}, step {step}: mean squared error {recent:.3f}", flush=True)
            recent = 0.0
    return model.eval()


def make(n_inputs: int, *, steps: int, folder: Path) -> None:
    """Train the parity model for K inputs and store it with what it cost."""
    served = load_served()
    images = torch.from_numpy(datasets.digits().training.inputs).float()
    began = time.process_time()
    model = train_parity(served, images, n_inputs, steps=steps)
    stored = {
        "state": {name: weight.half() for name, weight in model.state_dict().items()},
        "steps": steps,
        "examples": len(images),
        "cpu_seconds": round(time.process_time() - began),
    }
    torch.save(stored, folder / f"lenet5_mnist_parity{n_inputs}.pt")
    print(f"K = {n_inputs}: {stored['cpu_seconds']} s of processor time", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.weights.train_parity", description="Train parity models for LeNet5."
    )
    parser.add_argument(
        "n_inputs", nargs="*", type=int, default=[2, 3, 4], metavar="K", help="default: 2 3 4"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="folder; default: this one")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for n_inputs in options.n_inputs:
        make(n_inputs, steps=options.steps, folder=options.out)


if __name__ == "__main__":
    main()
