"""Trained networks as plain functions of numpy stacks: f of coded computing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench.science import vision_transformer as vit
from bench.science.datasets import DATA
from bench.science.fetch import fetched

CIFAR_MEAN, CIFAR_DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Array = NDArray[np.float64]
Layers = Callable[[Tensor], Tensor]


class Network:
    """A model as a function: a stack of inputs to a stack of outputs, each from its row alone.

    `network(stack)` gives the outputs (logits of a classifier), `network.hidden(stack)` what its
    last layer is applied to: features that know f itself, an oracle. One thread; equal stacks
    give equal bits.
    """

    def __init__(self, body: Layers, head: Layers, *, batch: int) -> None:
        # Where cores are busy, threads that wait for each other are slower than one.
        torch.set_num_threads(1)
        self._body, self._head, self._batch = body, head, batch

    def __call__(self, stack: Array) -> Array:
        """Give the outputs, shape (n, C)."""
        return self._apply(lambda inputs: self._head(self._body(inputs)), stack)

    def hidden(self, stack: Array) -> Array:
        """Give the last hidden layer, shape (n, width)."""
        return self._apply(self._body, stack)

    def _apply(self, layers: Layers, stack: Array) -> Array:
        with torch.inference_mode():
            return np.concatenate(
                [
                    layers(torch.from_numpy(np.asarray(rows, np.float32))).double().numpy()
                    for rows in np.split(stack, range(self._batch, len(stack), self._batch))
                ]
            )


class LeNet5(nn.Module):
    """Two convolutions and three dense layers, ReLU, max pooling: (n, 28, 28) to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.f1, self.f2, self.f3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def hidden(self, images: Tensor) -> Tensor:
        """Give the 84 numbers that the last layer sees."""
        maps = functional.max_pool2d(functional.relu(self.c1(images.unsqueeze(1))), 2)
        maps = functional.max_pool2d(functional.relu(self.c2(maps)), 2)
        return functional.relu(self.f2(functional.relu(self.f1(maps.flatten(1)))))

    def forward(self, images: Tensor) -> Tensor:
        """Give the logits."""
        return self.f3(self.hidden(images))


def lenet5(trained_on: Literal["mnist", "fashion"] = "mnist") -> Network:
    """Load LeNet5: images (n, 28, 28) in [0, 1] to logits (n, 10); 98.4 % of held-out digits."""
    model = LeNet5()
    model.load_state_dict(torch.load(DATA / f"lenet5_{trained_on}.pt", weights_only=True))
    return Network(model.hidden, model.f3, batch=1000)


def repvgg() -> Network:
    """Load a small RepVGG: images (n, 3, 32, 32) in [0, 1] to logits; 84.1 % of CIFAR-10's test.

    Nine 3 x 3 convolutions, each folded from the three branches it was trained as.
    """
    stored = torch.load(DATA / "small_repvgg_cifar10.pt", weights_only=True)
    blocks = repvgg_blocks(stored["widths"], stored["depths"], _convolution)
    pooled = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(*pooled, nn.Linear(stored["widths"][-1], 10))
    model.load_state_dict(stored["state"])
    mean, deviation = _channels(CIFAR_MEAN), _channels(CIFAR_DEVIATION)
    return Network(lambda images: pooled((images - mean) / deviation), model[-1], batch=250)


def repvgg_blocks(
    widths: Sequence[int], depths: Sequence[int], block: Callable[[int, int, int], nn.Module]
) -> list[nn.Module]:
    """Make all blocks: the first of each stage but the first one halves height and width."""
    blocks, channels = [], 3
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for i in range(depth):
            blocks.append(block(channels, width, 2 if stage and i == 0 else 1))
            channels = width
    return blocks


def _convolution(channels: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, 1), nn.ReLU())


def vision_transformer() -> Network:
    """Load a ViT-S/14: images (n, 3, 32, 32) in [0, 1] to logits; 79 % of CIFAR-10's test.

    Images are enlarged to 112 x 112 inside f; a linear head reads the class token.
    """
    body, head = vit.load(), nn.Linear(vit.WIDTH, 10)
    head.load_state_dict(torch.load(DATA / "vit_s14_cifar10_head.pt", weights_only=True))
    mean, deviation = _channels(IMAGENET_MEAN), _channels(IMAGENET_DEVIATION)

    def features(images: Tensor) -> Tensor:
        enlarged = functional.interpolate(
            (images - mean) / deviation, size=(112, 112), mode="bilinear", align_corners=False
        )
        return body(enlarged)

    return Network(features, head, batch=20)


def _channels(values: Sequence[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


class SentenceEncoder(Network):
    """MiniLM-L6: word embeddings (n, 32, 384) of a sentence to its embedding, of length 1.

    Workers add the positions and run the layers. Sentences are padded to 32 tokens without a
    mask, so that all coded inputs are of one kind.
    """

    def __init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = fetched("minilm").parent
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        super().__init__(self._mean_token, functional.normalize, batch=50)

    def read(self, sentences: Sequence[str]) -> Array:
        """Give the word embeddings: what is encoded."""
        tokens = self._tokenizer(
            list(sentences),
            padding="max_length",
            truncation=True,
            max_length=32,
            return_tensors="pt",
        )
        with torch.inference_mode():
            words = self._model.embeddings.word_embeddings(tokens["input_ids"])
        return words.double().numpy()

    def _mean_token(self, words: Tensor) -> Tensor:
        return self._model(inputs_embeds=words).last_hidden_state.mean(1)
