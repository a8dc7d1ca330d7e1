"""Gradients of a small network on blocks of real digits, as a worker computes them; and faults."""

import os
import signal
from functools import cache

import torch
from torch.nn.functional import cross_entropy

from coded.digits.images import read_digits

N_DIGITS, HIDDEN = 600, 16


@cache
def blocks(n_parts):
    """The digits of each part, read once in a process."""
    digits = read_digits(0).batch(0, N_DIGITS)
    pixels = torch.from_numpy(digits.inputs[:, 0, ::2, ::2].reshape(N_DIGITS, -1)).double()
    labels = torch.from_numpy(digits.labels)
    return list(zip(pixels.chunk(n_parts), labels.chunk(n_parts), strict=True))


def first_parameters():
    """Those of a network with one hidden layer."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"w1": (HIDDEN, 256), "b1": (HIDDEN,), "w2": (10, HIDDEN), "b2": (10,)}
    return {
        name: 0.1 * torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def loss_of_part(parameters, n_parts, i):
    """The part's share in the mean loss."""
    pixels, labels = blocks(n_parts)[i]
    hidden = torch.tanh(pixels @ parameters["w1"].T + parameters["b1"])
    logits = hidden @ parameters["w2"].T + parameters["b2"]
    return cross_entropy(logits, labels, reduction="sum") / N_DIGITS


def gradient_of_part(n_parts, parameters, i):
    """The part's share in the loss, and its gradient."""
    free = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    loss = loss_of_part(free, n_parts, i)
    gradients = torch.autograd.grad(loss, list(free.values()))
    return float(loss.detach()), dict(zip(free, gradients, strict=True))


def end_by_pid(signals, parameters, i):
    """Give part i of a sum; the process that has a signal for this part gets it first."""
    signal_number = signals.get((os.getpid(), i))
    if signal_number is not None:
        os.kill(os.getpid(), signal.Signals(signal_number))
    return parameters * (i + 1.0)


def scaled_block(parameters, block):
    """A part whose data stay with the worker."""
    return parameters * block
