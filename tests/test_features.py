import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from coded import pooled_gradients


def by_convolution(images, cells=6):
    """The same features by torch: convolutions, and pooling where the cells' steps are equal."""
    stack = torch.tensor(images).reshape(-1, 1, *images.shape[-2:])
    reach = torch.arange(-4, 5, dtype=torch.float64)
    kernel = torch.exp(-(reach**2) / (2 * 0.7**2))
    kernel = kernel / kernel.sum()
    blurred = F.conv2d(stack, kernel.view(1, 1, 9, 1), padding=(4, 0))
    blurred = F.conv2d(blurred, kernel.view(1, 1, 1, 9), padding=(0, 4))
    across = F.pad(blurred[..., 2:] - blurred[..., :-2], (1, 1))
    down = F.pad(blurred[..., 2:, :] - blurred[..., :-2, :], (0, 0, 1, 1))
    heading = torch.atan2(down, across)
    angles = torch.arange(8, dtype=torch.float64) * np.pi / 4
    length = (across**2 + down**2) ** 0.25
    slopes = torch.cat([length * F.relu(torch.cos(heading - a)) for a in angles], 1)
    if cells == 1:
        return slopes.mean(dim=(2, 3)).numpy()
    widths = [-(-side // 3) for side in images.shape[-2:]]
    steps = [
        (side - width) // (cells - 1) for side, width in zip(images.shape[-2:], widths, strict=True)
    ]
    return F.avg_pool2d(slopes, widths, steps).reshape(len(images), -1).numpy()


@pytest.mark.parametrize("shape", [(5, 8, 8), (3, 23, 16), (2, 30, 30), (1, 53, 23)])
def test_gradients_equal_convolutions(shape):
    images = np.random.default_rng(0).normal(size=shape)
    features = pooled_gradients(images)
    assert features.shape == (shape[0], 288)
    np.testing.assert_allclose(features, by_convolution(images), rtol=0, atol=1e-12)


def test_channels_are_described_one_by_one():
    images = np.random.default_rng(0).normal(size=(4, 3, 15, 16))
    features = pooled_gradients(images)
    assert features.shape == (4, 3 * 288)
    each = [by_convolution(images[:, channel]) for channel in range(3)]
    np.testing.assert_allclose(features, np.concatenate(each, axis=1), rtol=0, atol=1e-12)


@given(seed=st.integers(0, 10**6), height=st.integers(8, 40), width=st.integers(8, 40))
def test_cells_of_any_size_reach_from_border_to_border_in_equal_steps(seed, height, width):
    # One bright pixel is seen by those cells, and only those, that lie near it.
    rng = np.random.default_rng(seed)
    image = np.zeros((1, height, width))
    at = rng.integers(1, height - 1), rng.integers(1, width - 1)
    image[0, at[0], at[1]] = 1.0
    seen = pooled_gradients(image).reshape(8, 6, 6).max(axis=0) > 1e-2
    for place, side, cells in zip(at, (height, width), (seen.any(1), seen.any(0)), strict=True):
        wide = -(-side // 3)
        first = np.floor(np.linspace(0, side - wide, 6) + 0.5 + 1e-9)
        assert first[-1] + wide == side
        inside = (first <= place) & (place < first + wide)
        near = (first - 6 <= place) & (place < first + wide + 6)
        assert (cells[inside]).all()
        assert not cells[~near].any()


def test_many_images_are_described_as_few():
    images = np.random.default_rng(0).normal(size=(5, 600, 500))
    together = pooled_gradients(images)
    np.testing.assert_array_equal(together, [pooled_gradients(image[None])[0] for image in images])


def test_flat_images_have_edges_only_and_contrast_goes_through_by_its_root():
    images = np.random.default_rng(0).normal(size=(3, 20, 20))
    for contrast in (4.0, 1e-200, 1e200):
        scaled = pooled_gradients(contrast * images)
        expected = np.sqrt(contrast) * pooled_gradients(images)
        np.testing.assert_allclose(scaled, expected, rtol=1e-12)
    inner = pooled_gradients(np.ones((1, 40, 40))).reshape(8, 6, 6)[:, 2:4, 2:4]
    np.testing.assert_allclose(inner, 0.0, atol=1e-7)
    assert (pooled_gradients(np.zeros((1, 9, 9))) == 0.0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_are_welcome(dtype):
    images = torch.rand(3, 10, 10, dtype=dtype)
    features = pooled_gradients(images)
    assert features.dtype == np.float64
    np.testing.assert_array_equal(features, pooled_gradients(images.numpy()))


def test_no_images_have_no_features():
    assert pooled_gradients(np.empty((0, 9, 9))).shape == (0, 288)


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


@pytest.mark.parametrize("scale", [1e160, 1e307])
def test_huge_pixels_do_not_overflow(scale):
    images = np.random.default_rng(8).uniform(-1.0, 1.0, (3, 9, 12))
    expected = pooled_gradients(images) * np.sqrt(scale)
    np.testing.assert_allclose(pooled_gradients(images * scale), expected, rtol=1e-9)
