import numpy as np
import pytest
import torch

from bench.science import datasets, networks


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


def by_hand(images, weights):
    """LeNet5 in float64 numpy: convolutions and pooling as plain window sums and maxima."""

    def convolve(maps, kernel, bias, padding):
        maps = np.pad(maps, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
        windows = np.lib.stride_tricks.sliding_window_view(maps, kernel.shape[2:], axis=(2, 3))
        return np.einsum("ncijuv,ocuv->noij", windows, kernel) + bias[:, None, None]

    def pool(maps):
        n, c, height, width = maps.shape
        return maps.reshape(n, c, height // 2, 2, width // 2, 2).max(axis=(3, 5))

    def relu(x):
        return np.maximum(x, 0)

    w = {name: value.double().numpy() for name, value in weights.items()}
    maps = pool(relu(convolve(images[:, None], w["c1.weight"], w["c1.bias"], 2)))
    maps = pool(relu(convolve(maps, w["c2.weight"], w["c2.bias"], 0)))
    hidden = maps.reshape(len(images), -1)
    for layer in ("f1", "f2"):
        hidden = relu(hidden @ w[f"{layer}.weight"].T + w[f"{layer}.bias"])
    return hidden, hidden @ w["f3.weight"].T + w["f3.bias"]


def test_lenet5_is_the_network_of_its_formula(digits):
    images = digits.evaluation.inputs[:7]
    weights = torch.load(datasets.DATA / "lenet5_mnist.pt", weights_only=True)
    hidden, logits = by_hand(images, weights)
    network = networks.lenet5()
    np.testing.assert_allclose(network(images), logits, rtol=0, atol=2e-5)
    np.testing.assert_allclose(network.hidden(images), hidden, rtol=0, atol=2e-5)


def test_lenet5_recognises_held_out_digits(digits):
    network = networks.lenet5()
    right = [
        network(part.inputs).argmax(axis=1) == part.labels
        for part in (digits.tuning, digits.earlier, digits.evaluation)
    ]
    assert np.concatenate(right).mean() == pytest.approx(0.984, abs=5e-4)


def test_rows_do_not_see_each_other(digits):
    images = digits.tuning.inputs[:20]
    network = networks.lenet5()
    alone = np.concatenate([network(image[None]) for image in images])
    np.testing.assert_allclose(network(images), alone, rtol=0, atol=1e-5)
    assert (network(images) == network(images)).all()


def test_split_holds_each_digit_once(digits):
    parts = (digits.training, digits.tuning, digits.earlier, digits.evaluation)
    assert [len(part) for part in parts] == [7000, 600, 600, 1800]
    held = np.concatenate([np.rint(255 * part.inputs).astype(np.uint8) for part in parts])
    classes = np.concatenate([part.labels for part in parts])
    with np.load(datasets.DATA / "mnist_10k.npz") as file:
        stored = [
            (label, image.tobytes())
            for label, image in zip(file["labels"], file["images"], strict=True)
        ]
    assert sorted(stored) == sorted(
        (label, image.tobytes()) for label, image in zip(classes, held, strict=True)
    )
