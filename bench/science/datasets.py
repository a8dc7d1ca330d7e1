"""Real images and sentences, split once and for all: nothing is tuned on what is reported.

Digits lie here; the other images are fetched once by `python -m bench.science.fetch`.
"""

from __future__ import annotations

import gzip
import json
import pydoc_data.topics
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.science.fetch import fetched

DATA = Path(__file__).with_name("data")
SHUFFLE_SEED = 123
N_TRAINED = 7000  # of 10,000 images; networks see no others in training

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images in [0, 1], (n, height, width) or (n, channels, height, width), and their classes."""

    inputs: Array
    labels: Labels

    def __getitem__(self, rows: slice) -> Examples:
        return Examples(self.inputs[rows], self.labels[rows])

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Split:
    """What each image may be used for.

    Attributes
    ----------
    training : Examples
        What the network was trained on.
    tuning : Examples
        Where parameters of schemes are chosen.
    earlier : Examples
        Traffic that a scheme with a memory may have seen before.
    evaluation : Examples
        What is reported.
    """

    training: Examples
    tuning: Examples
    earlier: Examples
    evaluation: Examples


def digits() -> Split:
    """Give 10,000 MNIST digits, (n, 28, 28): 7,000, 600, 600 and 1,800."""
    with np.load(DATA / "mnist_10k.npz") as file:
        return _split(file["images"], file["labels"])


def fashion() -> Split:
    """Give the first 10,000 training images of Fashion-MNIST, split as the digits are."""
    images, labels = _read_fashion()
    return _split(images[:10000], labels[:10000])


def fashion_training() -> Examples:
    """Give 57,000 training images of Fashion-MNIST: all but the 3,000 that `fashion` holds out."""
    images, labels = _read_fashion()
    seen = _split(images[:10000], labels[:10000]).training
    inputs = np.concatenate([seen.inputs, _scaled(images[10000:])])
    return Examples(inputs, np.concatenate([seen.labels, labels[10000:].astype(np.intp)]))


def _read_fashion() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read images and labels; headers of IDX files have 4 bytes a kind and 4 for each length."""
    path = fetched("fashion")
    images = gzip.decompress(path.read_bytes())
    labels = gzip.decompress(path.with_name("train-labels-idx1-ubyte.gz").read_bytes())
    grey = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    return grey, np.frombuffer(labels, np.uint8, offset=8)


def cifar10() -> Split:
    """Give CIFAR-10 images, (n, 3, 32, 32): 5,000 to train, and the first 6,000 test images.

    1,000 of those to tune, 1,000 as earlier traffic and 4,000 to evaluate, in the official order,
    which is random. RepVGG has seen all 50,000 training images, the ViT's head the 5,000 here.
    """
    training, held_out = _read_cifar10("data_batch_1"), _read_cifar10("test_batch")
    return Split(training[:5000], held_out[:1000], held_out[1000:2000], held_out[2000:6000])


def cifar10_training() -> Examples:
    """Give all 50,000 training images of CIFAR-10."""
    sheets = [_read_cifar10(f"data_batch_{i}") for i in range(1, 6)]
    inputs = np.concatenate([sheet.inputs for sheet in sheets])
    return Examples(inputs, np.concatenate([sheet.labels for sheet in sheets]))


def _read_cifar10(sheet: str) -> Examples:
    """Read 10,000 images from a PNG that holds one image a line; float32, to be light."""
    from PIL import Image

    with tarfile.open(fetched("cifar10")) as archive:
        file = "test_lables.json" if sheet == "test_batch" else "train_lables.json"
        classes = json.load(archive.extractfile(f"package/{file}"))
        with Image.open(archive.extractfile(f"package/{sheet}.png")) as picture:
            images = np.asarray(picture.convert("RGB")).reshape(-1, 32, 32, 3)
    first = 0 if sheet == "test_batch" else 10000 * (int(sheet[-1]) - 1)
    inputs = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return Examples(inputs, np.asarray(classes[first : first + 10000], np.intp))


def sentences() -> tuple[list[str], list[str]]:
    """Give English sentences of 8 to 25 words: a quarter to tune on, the others to evaluate.

    They are those of Python's language reference, as `help()` shows it, that hold no code:
    another release of Python has a few others.
    """
    text = "\n\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    plain = [
        " ".join(paragraph.split())
        for paragraph in re.split(r"\n\s*\n", text)
        if re.match(r"[A-Z]", paragraph)  # code, lists and tables are set in
    ]
    found = dict.fromkeys(
        sentence
        for paragraph in plain
        for sentence in re.split(r"(?<=\.) (?=[A-Z])", paragraph)
        if re.fullmatch(r"[A-Z][A-Za-z ,;'-]+\.", sentence) and 8 <= len(sentence.split()) <= 25
    )
    rows = np.random.default_rng(SHUFFLE_SEED).permutation(len(found))
    shuffled = [list(found)[row] for row in rows]
    quarter = len(shuffled) // 4
    return shuffled[:quarter], shuffled[quarter:]


def _split(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> Split:
    """Shuffle 10,000 grey images; a fifth of the held-out ones each to tune and as traffic."""
    rows = np.random.default_rng(SHUFFLE_SEED).permutation(len(images))
    shuffled = Examples(_scaled(images[rows]), labels[rows].astype(np.intp))
    held_out = shuffled[N_TRAINED:]
    fifth = len(held_out) // 5
    return Split(
        training=shuffled[:N_TRAINED],
        tuning=held_out[:fifth],
        earlier=held_out[fifth : 2 * fifth],
        evaluation=held_out[2 * fifth :],
    )


def _scaled(images: NDArray[np.uint8]) -> Array:
    """Divide by 255 in float32, as in the training, so that a network sees equal numbers."""
    return (images.astype(np.float32) / 255).astype(np.float64)
