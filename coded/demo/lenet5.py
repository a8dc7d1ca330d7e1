"""The demo's network, under its public name; see `digits.lenet5`."""

from coded.digits.lenet5 import LeNet5, load

__all__ = ["LeNet5", "load"]
