"""Small torch models that worker processes import."""

import torch

from tests.worker_functions import touch


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


class Pair(torch.nn.Module):
    def forward(self, batch):
        return batch, batch


class Mean(torch.nn.Module):
    def forward(self, batch):
        return batch.mean()


def make_small():
    torch.manual_seed(7)
    return Small()


def make_nothing():
    return None


def count_threads(worker, array):
    worker(array)
    return torch.get_num_threads()
