"""How the weights in bench/science/data were made: `python -m bench.science.train NAME`.

    mnist     LeNet5 on 7,000 digits, 15 seconds
    fashion   LeNet5 on 57,000 images of Fashion-MNIST, a minute
    repvgg    a small RepVGG on CIFAR-10's training images, a quarter of an hour
    vit       a linear head on a ViT-S/14's features of 5,000 of them, four minutes

Weights go to the working directory, or to --out. All but mnist need `bench.science.fetch`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.science import datasets
from bench.science.datasets import Examples
from bench.science.networks import (
    CIFAR_DEVIATION,
    CIFAR_MEAN,
    LeNet5,
    repvgg_blocks,
    vision_transformer,
)

WIDTHS, DEPTHS = (16, 32, 64, 128), (1, 2, 3, 2)


def train_lenet5(examples: Examples, *, epochs: int, shift: int, flip: bool) -> LeNet5:
    """Train by Adam and one learning-rate cycle; each batch is moved and mirrored as a whole."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model, batch = LeNet5(), 64
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 3e-3, total_steps=epochs * (len(examples) // batch + 1)
    )
    images, labels = _tensors(examples)
    for _ in range(epochs):
        rows = rng.permutation(len(images))
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            down, right = (int(step) for step in rng.integers(-shift, shift + 1, 2))
            seen = torch.roll(images[some], (down, right), (1, 2))
            if flip and rng.random() < 0.5:
                seen = seen.flip(2)
            optimiser.zero_grad()
            functional.cross_entropy(model(seen), labels[some]).backward()
            optimiser.step()
            schedule.step()
    return model.eval()


class RepVggBlock(nn.Module):
    """A 3 x 3 and a 1 x 1 convolution and the identity, batch norm after each, then ReLU."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.three = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.one = nn.Conv2d(channels, width, 1, stride, 0, bias=False)
        self.norm_three, self.norm_one = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        keeps_shape = channels == width and stride == 1
        self.norm_identity = nn.BatchNorm2d(channels) if keeps_shape else None

    def forward(self, maps: Tensor) -> Tensor:
        """Sum the branches."""
        total = self.norm_three(self.three(maps)) + self.norm_one(self.one(maps))
        if self.norm_identity is not None:
            total = total + self.norm_identity(maps)
        return functional.relu(total)

    @torch.no_grad()
    def folded(self) -> nn.Sequential:
        """Give the one 3 x 3 convolution that equals the three branches in evaluation."""
        width, channels = self.three.weight.shape[:2]
        identity = torch.zeros(width, channels, 3, 3)
        diagonal = range(min(width, channels))
        identity[diagonal, diagonal, 1, 1] = 1
        branches = [
            (self.three.weight, self.norm_three),
            (functional.pad(self.one.weight, (1, 1, 1, 1)), self.norm_one),
        ]
        if self.norm_identity is not None:
            branches.append((identity, self.norm_identity))
        convolution = nn.Conv2d(channels, width, 3, self.stride, 1)
        convolution.weight.zero_()
        convolution.bias.zero_()
        for kernel, norm in branches:
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            convolution.weight += kernel * gain[:, None, None, None]
            convolution.bias += norm.bias - norm.running_mean * gain
        return nn.Sequential(convolution, nn.ReLU())


class RepVgg(nn.Module):
    """Blocks, the mean over all pixels, and a linear head, as trained."""

    def __init__(self, widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*repvgg_blocks(widths, depths, RepVggBlock))
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, images: Tensor) -> Tensor:
        """Give the logits of normalised images."""
        return self.head(self.blocks(images).mean((2, 3)))

    def folded(self) -> nn.Sequential:
        """Give the network for evaluation: plain convolutions."""
        blocks = [block.folded() for block in self.blocks]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), self.head).eval()


def train_repvgg(images: Tensor, labels: Tensor, *, epochs: int = 8) -> RepVgg:
    """Train by SGD and one learning-rate cycle; images are moved by up to 4 px and mirrored."""
    torch.manual_seed(0)
    model, batch, rate = RepVgg(), 128, 0.1
    groups = [
        {"params": [w for w in model.parameters() if w.ndim > 1], "weight_decay": 5e-4},
        {"params": [w for w in model.parameters() if w.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.SGD(groups, rate, momentum=0.9, nesterov=True)
    steps = len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=epochs * steps, pct_start=0.2
    )
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(images))[: steps * batch].split(batch):
            logits = model(_moved(images[rows]))
            loss = functional.cross_entropy(logits, labels[rows], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}", flush=True)
    return model.eval()


def _moved(images: Tensor, margin: int = 4) -> Tensor:
    """Move each image by up to `margin` pixels either way and mirror half of them."""
    n, _, height, width = images.shape
    padded = functional.pad(images, (margin,) * 4, mode="reflect").permute(0, 2, 3, 1)
    down, right = (torch.randint(0, 2 * margin + 1, (n, 1)) for _ in range(2))
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    image = torch.arange(n)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def fit_head(features: Tensor, labels: Tensor, *, penalty: float = 1e-3) -> nn.Linear:
    """Fit a linear classifier by L-BFGS, with a penalty on the weights of scaled features."""
    mean, deviation = features.mean(0), features.std(0)
    scaled = (features - mean) / deviation
    weight = torch.zeros(10, features.shape[1], requires_grad=True)
    bias = torch.zeros(10, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(scaled @ weight.T + bias, labels)
        value = value + penalty * weight.pow(2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    head = nn.Linear(features.shape[1], 10)
    with torch.no_grad():
        head.weight.copy_(weight / deviation)
        head.bias.copy_(bias - (weight / deviation) @ mean)
    return head


def _tensors(examples: Examples) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(examples.inputs).float(), torch.from_numpy(examples.labels)


def _accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        logits = torch.cat([model(some) for some in inputs.split(500)])
    return (logits.argmax(1) == labels).float().mean().item()


def make_lenet5_mnist(out: Path) -> None:
    """Train on the digits' training share; 98.4 % of the others."""
    split = datasets.digits()
    _save_lenet5(train_lenet5(split.training, epochs=16, shift=2, flip=False), split, out)


def make_lenet5_fashion(out: Path) -> None:
    """Train on all images that `fashion` does not hold out; about 90 % of those."""
    training = datasets.fashion_training()
    _save_lenet5(train_lenet5(training, epochs=6, shift=1, flip=True), datasets.fashion(), out)


def _save_lenet5(model: LeNet5, split: datasets.Split, out: Path) -> None:
    held_out = [_tensors(part) for part in (split.tuning, split.earlier, split.evaluation)]
    images, labels = (torch.cat(parts) for parts in zip(*held_out, strict=True))
    print(f"{out}: {_accuracy(model, images, labels):.4f} of {len(labels)} held-out images")
    torch.save(model.state_dict(), out)


def make_repvgg(out: Path) -> None:
    """Train the small RepVGG, fold it, tell its accuracy and save it."""
    mean, deviation = (torch.tensor(x)[:, None, None] for x in (CIFAR_MEAN, CIFAR_DEVIATION))
    images, labels = _tensors(datasets.cifar10_training())
    folded = train_repvgg((images - mean) / deviation, labels).folded()
    images, labels = _tensors(datasets.cifar10().evaluation)
    accuracy = _accuracy(folded, (images - mean) / deviation, labels)
    print(f"{out}: {accuracy:.4f} of {len(labels)} test images")
    state = {name: weight.clone() for name, weight in folded.state_dict().items()}
    torch.save({"widths": WIDTHS, "depths": DEPTHS, "state": state}, out)


def make_head(out: Path) -> None:
    """Fit the ViT's head, tell its accuracy and save it."""
    split, network = datasets.cifar10(), vision_transformer()
    features = torch.from_numpy(network.hidden(split.training.inputs)).float()
    head = fit_head(features, torch.from_numpy(split.training.labels))
    features = torch.from_numpy(network.hidden(split.tuning.inputs)).float()
    accuracy = _accuracy(head, features, torch.from_numpy(split.tuning.labels))
    print(f"{out}: {accuracy:.4f} of {len(features)} test images")
    torch.save(head.state_dict(), out)


MADE = {
    "mnist": ("lenet5_mnist.pt", make_lenet5_mnist),
    "fashion": ("lenet5_fashion.pt", make_lenet5_fashion),
    "repvgg": ("small_repvgg_cifar10.pt", make_repvgg),
    "vit": ("vit_s14_cifar10_head.pt", make_head),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one file of weights."""
    parser = argparse.ArgumentParser(prog="python -m bench.science.train", description=__doc__)
    parser.add_argument("name", choices=MADE)
    parser.add_argument("--out", type=Path, help="default: the name it has in bench/science/data")
    options = parser.parse_args(arguments)
    file, make = MADE[options.name]
    torch.set_num_threads(1)
    make(options.out or Path(file))


if __name__ == "__main__":
    main()
