"""Small torch models that worker processes import."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import torch

from tests.support.worker_functions import touch


class Small(torch.nn.Module):
    """Every kind of layer that eval mode changes, and one that it does not."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, batch):
        return self.dropout(self.norm(self.linear(batch)))


class CountsLoads(Small):
    """Leaves a file in a folder each time that it is unpickled."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __setstate__(self, state):
        super().__setstate__(state)
        touch(self.folder / f"{torch.initial_seed()}-{len(list(self.folder.iterdir()))}")


class Large(torch.nn.Module):
    """A megabyte of parameters."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(512, 512)

    def forward(self, batch):
        return self.linear(batch)


class Labelled(torch.nn.Module):
    """Gives text beside numbers."""

    def forward(self, batch):
        return {"a": batch, "b": [batch, "text"]}


class Unbatched(torch.nn.Module):
    def forward(self, batch):
        return batch, batch.mean(0)


class Sum(torch.nn.Module):
    """Of two arguments, the second of which may be nested."""

    def forward(self, left, right):
        return left + (right["inside"][0] if isinstance(right, dict) else right)


class Head(torch.nn.Module):
    """The first of many rows."""

    def forward(self, batch):
        return batch[:, 0]


class Named(NamedTuple):
    scores: object
    hidden: object


@dataclass
class Held:
    scores: object
    hidden: object
    loss: object = None


class Output(OrderedDict):
    """As ModelOutput of transformers: a mapping whose entries that are None are not in it."""


class Scores(torch.nn.Module):
    """Twice the input and its first two columns, in the form wanted."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, batch):
        scores, last = 2 * batch, batch[..., :2]
        if self.form == "output":
            return Output(logits=scores, hidden_states=(last,))
        kinds = {
            "tuple": lambda *both: both,
            "list": lambda *both: list(both),
            "named": Named,
            "dict": lambda *both: dict(zip(("scores", "hidden"), both, strict=True), loss=None),
            "dataclass": Held,
        }
        return kinds[self.form](scores, {"last": last})


class Switches(torch.nn.Module):
    """Turns its dropout on."""

    def __init__(self):
        super().__init__()
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, batch):
        return self.dropout.train()(batch)


class KeepsTraining(Switches):
    """Does not listen."""

    def train(self, mode=True):  # noqa: ARG002, FBT002
        return self


class Mean(torch.nn.Module):
    def forward(self, batch):
        return batch.mean()


def make_small():
    torch.manual_seed(7)
    return Small()


def give_model(model):
    return model


def make_nothing():
    return None


def count_threads(worker, array):
    worker(array)
    return torch.get_num_threads()
