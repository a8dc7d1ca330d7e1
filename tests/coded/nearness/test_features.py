import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from coded import pooled_gradients
from coded.nearness import gradients
from tests.oracles.features import reference_features

# Most sides are small; around 128 and 192 averaging over blocks of 2 and of 3 begins.
SIDES = st.one_of(st.integers(8, 70), st.sampled_from([126, 127, 128, 129, 191, 192, 193, 263]))


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


def assert_near(features, expected, atol=1e-13):
    """Equal but for rounding, in units of each image's largest feature."""
    unit = expected.max(axis=1, initial=0.0, keepdims=True)
    unit[unit == 0.0] = 1.0
    np.testing.assert_allclose(features / unit, expected / unit, rtol=0, atol=atol)


@given(
    seed=st.integers(0, 10**6),
    height=SIDES,
    width=SIDES,
    leading=st.sampled_from([(1,), (3,), (2, 3), (2, 1, 2)]),
    dtype=st.sampled_from([np.float64, np.float32, np.float16, np.uint8, np.int64, bool]),
    constant=st.sampled_from([0.0, 3.0, 100.0]),
)
def test_gradients_equal_the_plain_ones(seed, height, width, leading, dtype, constant):
    images = np.random.default_rng(seed).uniform(0.0, 50.0, (*leading, height, width)) + constant
    images[0] = 0.0
    images = images.astype(dtype)
    # Roots magnify the rounding of gradients that cancel: bool and integers have flat places.
    atol = 1e-13 if images.dtype.kind == "f" and constant < 100.0 else 1e-7
    assert_near(pooled_gradients(images), reference_features(images), atol)


@pytest.mark.parametrize("side", [20, 200])
@pytest.mark.parametrize("exponent", [1022, 1000, 2, -400, -1000, -1020])
def test_no_double_is_too_large_or_too_small(side, exponent):
    # Multiples of 2^-49, so that not even tiny ones are rounded; of the second image sums over
    # blocks overflow.
    images = np.random.default_rng(0).integers(-(2**50), 2**50, (2, side, side)) / 2**49
    images[1] = np.abs(images[1])
    expected = np.ldexp(reference_features(images), exponent // 2)
    assert_near(pooled_gradients(np.ldexp(images, exponent)), expected)


def test_the_smallest_doubles_have_edges():
    edge = np.zeros((1, 20, 20))
    edge[:, :, 10:] = 1.0
    expected = reference_features(edge) * np.ldexp(1.0, -537)
    assert_near(pooled_gradients(edge * 2.0**-1074), expected, 1e-7)


@pytest.mark.parametrize("shape", [(13, 17), (600, 500)])
def test_an_image_is_described_alike_in_any_company(shape):
    images = np.random.default_rng(0).normal(size=(5, *shape))
    images[3] *= 1e306
    images[4] *= 1e-306
    together = pooled_gradients(images)
    alone = [pooled_gradients(image[None])[0] for image in images]
    np.testing.assert_array_equal(together, alone)
    some = [2, 2, 0, 3, 2]
    np.testing.assert_array_equal(pooled_gradients(images[some]), together[some])


def test_layouts_are_read_alike_by_one_kernel_a_dtype():
    images = np.random.default_rng(0).normal(size=(6, 40, 50)).astype(np.float32)
    expected = pooled_gradients(images)
    pooled_gradients(images.astype(np.float64))
    locked = images.copy()
    locked.flags.writeable = False
    packed = np.frombuffer(b"." + images.tobytes(), np.uint8)[1:].view(np.float32)
    assert not packed.flags.aligned
    for layout in (
        locked,
        packed.reshape(images.shape),
        np.asfortranarray(images),
        images.astype(">f4"),
        np.repeat(images, 2, axis=2)[:, :, ::2],
    ):
        np.testing.assert_array_equal(pooled_gradients(layout), expected)
    assert len(gradients._describe.signatures) == 2


def test_blocks_are_averaged_and_the_last_one_has_the_remainder():
    small = np.random.default_rng(0).normal(size=(2, 66, 90))
    large = small.repeat(3, axis=1)  # 198 = 66 * 3 rows; 90 columns stay
    assert_near(pooled_gradients(large), pooled_gradients(small))
    longer = np.concatenate([large, large[:, -1:]], axis=1)  # 199: the last block has four rows
    assert_near(pooled_gradients(longer), pooled_gradients(small))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [8, 199])
@pytest.mark.parametrize("at", [0, 5, -1])
def test_no_pixel_escapes_the_check(value, side, at):
    images = np.zeros((3, side, side))
    images[1, at, at] = value
    with pytest.raises(ValueError, match=rf"finite, but images\[1, {at % side}, {at % side}\]"):
        pooled_gradients(images)


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
