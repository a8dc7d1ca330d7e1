import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from coded import pooled_gradients


def by_convolution(images, cells=4):
    """The same features by torch: convolutions, and adaptive pooling where cells are equal."""
    stack = torch.tensor(images).reshape(-1, 1, *images.shape[-2:])
    reach = torch.arange(-4, 5, dtype=torch.float64)
    kernel = torch.exp(-(reach**2) / (2 * 0.7**2))
    kernel = kernel / kernel.sum()
    blurred = F.conv2d(stack, kernel.view(1, 1, 9, 1), padding=(4, 0))
    blurred = F.conv2d(blurred, kernel.view(1, 1, 1, 9), padding=(0, 4))
    across = F.pad(blurred[..., 2:] - blurred[..., :-2], (1, 1))
    down = F.pad(blurred[..., 2:, :] - blurred[..., :-2, :], (0, 0, 1, 1))
    angles = torch.arange(8, dtype=torch.float64) * np.pi / 4
    slopes = [F.relu(across * torch.cos(a) + down * torch.sin(a)) for a in angles]
    side = [length // cells for length in images.shape[-2:]]
    return F.avg_pool2d(torch.cat(slopes, 1), side).reshape(len(images), -1).numpy()


@pytest.mark.parametrize("shape", [(5, 28, 28), (3, 8, 16), (2, 32, 32), (1, 64, 12)])
def test_gradients_equal_convolutions(shape):
    images = np.random.default_rng(0).normal(size=shape)
    features = pooled_gradients(images)
    assert features.shape == (shape[0], 128)
    np.testing.assert_allclose(features, by_convolution(images), rtol=0, atol=1e-12)


def test_channels_are_described_one_by_one():
    images = np.random.default_rng(0).normal(size=(4, 3, 12, 12))
    features = pooled_gradients(images)
    assert features.shape == (4, 3 * 128)
    each = [by_convolution(images[:, channel]) for channel in range(3)]
    np.testing.assert_allclose(features, np.concatenate(each, axis=1), rtol=0, atol=1e-12)


@given(seed=st.integers(0, 10**6), height=st.integers(8, 19), width=st.integers(8, 19))
def test_cells_share_all_pixels_of_any_size(seed, height, width):
    # A cell's mean times its size, summed, is the sum over all pixels.
    images = np.random.default_rng(seed).normal(size=(2, height, width))
    rows, columns = (np.diff(np.arange(5) * side // 4) for side in (height, width))
    assert rows.sum() == height
    assert max(np.ptp(rows), np.ptp(columns)) <= 1
    cells = pooled_gradients(images).reshape(2, 8, 4, 4) * np.outer(rows, columns)
    whole = by_convolution(images, cells=1).reshape(2, 8) * height * width
    np.testing.assert_allclose(cells.sum(axis=(2, 3)), whole, rtol=1e-12)


def test_many_images_are_described_as_few():
    images = np.random.default_rng(0).normal(size=(5, 600, 500))
    together = pooled_gradients(images)
    np.testing.assert_array_equal(together, [pooled_gradients(image[None])[0] for image in images])


def test_flat_images_have_edges_only_and_scale_goes_through():
    images = np.random.default_rng(0).normal(size=(3, 20, 20))
    np.testing.assert_allclose(
        pooled_gradients(2.0 * images), 2.0 * pooled_gradients(images), rtol=0, atol=1e-14
    )
    inner = pooled_gradients(np.ones((1, 40, 40))).reshape(8, 4, 4)[:, 1:3, 1:3]
    np.testing.assert_allclose(inner, 0.0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_are_welcome(dtype):
    images = torch.rand(3, 10, 10, dtype=dtype)
    features = pooled_gradients(images)
    assert features.dtype == np.float64
    np.testing.assert_array_equal(features, pooled_gradients(images.numpy()))


def test_no_images_have_no_features():
    assert pooled_gradients(np.empty((0, 9, 9))).shape == (0, 128)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 7, 9)), ValueError, r"both sides at least 8 pixels, got shape \(2, 7, 9\)"),
        (np.zeros((28, 28)), ValueError, r"\(n, ..., height, width\).* got shape \(28, 28\)"),
        (np.full((1, 9, 9), np.nan), ValueError, r"images must be finite, but images\[0, 0, 0\]"),
        (np.zeros((1, 9, 9), complex), TypeError, "images must hold real numbers"),
    ],
)
def test_bad_images_are_refused(images, error, message):
    with pytest.raises(error, match=message):
        pooled_gradients(images)
