import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import picture_and_mask

from segformer_tf.training.distortion import GAIN, GAMMA, SIGMA, blurred, distort, relit, weather


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 0.999), min_size=9, max_size=9))
def test_distorted_pixels_stay_between_0_and_255(draws):
    image = picture_and_mask(1)[0].astype("float32")
    found = distort(tf.constant(image), [tf.constant(draw) for draw in draws]).numpy()
    assert found.min() >= 0 and found.max() <= 255.001


def test_brightness_and_contrast_are_the_published_sums():
    image = picture_and_mask(1)[0].astype("float32")
    off = 0.9
    brighter = distort(tf.constant(image), [0.1, 0.75, 0.9, 0, off, 0, off, off, 0])
    np.testing.assert_array_equal(brighter, np.clip(image + 16, 0, 255))
    contrast = distort(tf.constant(image), [off, 0, 0.9, 0, 0.1, 0.25, off, off, 0])
    np.testing.assert_array_equal(contrast, np.floor(np.clip(image * 0.75, 0, 255)))


def test_contrast_comes_before_or_after_the_colours_as_drawn():
    image = picture_and_mask(1)[0].astype("float32")
    before, after = (
        distort(tf.constant(image), [0.9, 0, order, 0.0, 0.1, 0.99, 0.1, 0.1, 0.99]).numpy() for order in (0.1, 0.9)
    )
    assert np.abs(before - after).max() > 1


def test_hue_turns_red_into_another_colour_and_grey_stays():
    image = np.full((4, 5, 3), 100.0, np.float32)
    image[0, 0] = (200, 0, 0)
    found = distort(tf.constant(image), [0.9, 0, 0.9, 0.999, 0.9, 0, 0.9, 0.1, 0]).numpy()
    np.testing.assert_allclose(found[1:], 100, atol=1e-3)
    assert found[0, 0, 1] > 100  # turned by 34 degrees, towards yellow


@pytest.mark.parametrize(("draw", "green"), [(0.0, 150), (0.5, 100), (0.75, 75)])
def test_saturation_is_a_half_to_one_and_a_half_of_what_it_was(draw, green):
    image = np.full((4, 5, 3), [200, 100, 100], np.float32)
    found = distort(tf.constant(image), [0.9, 0, 0.9, 0, 0.9, 0, 0.1, 0.9, draw]).numpy()
    np.testing.assert_allclose(found[0, 0], [200, green, green], atol=1e-2)


@pytest.mark.parametrize("sigma, height, width", [(0.4, 48, 72), (1.6, 48, 72), (1.6, 1, 72), (1.6, 48, 3), (1, 2, 4)])
def test_blur_is_a_gaussian_of_mirrored_edges(sigma, height, width):
    image = picture_and_mask(2)[0][:height, :width].astype("float32")
    taps = np.exp(-np.square(np.arange(-5, 6) / sigma) / 2)
    taps /= taps.sum()
    padded = np.pad(image, ((5, 5), (5, 5), (0, 0)), "symmetric")
    rows = sum(tap * padded[i : i + image.shape[0]] for i, tap in enumerate(taps))
    expected = sum(tap * rows[:, i : i + image.shape[1]] for i, tap in enumerate(taps))
    np.testing.assert_allclose(blurred(tf.constant(image), tf.constant(sigma, tf.float32)), expected, atol=1e-2)


def test_light_in_the_middle_of_its_ranges_changes_nothing():
    image = picture_and_mask(1)[0].astype("float32")
    np.testing.assert_allclose(relit(tf.constant(image), tf.fill((6,), 0.5)), image, atol=1e-2)


def test_light_is_a_power_of_the_tones_gains_of_the_colours_and_a_slope():
    image = np.full((3, 5, 3), 63.75, np.float32)  # a quarter
    dark, red = (
        relit(tf.constant(image), tf.constant(draws)).numpy() for draws in ([1, *[0.5] * 5], [0.5, 1, *[0.5] * 4])
    )
    np.testing.assert_allclose(dark, 255 * 0.25**GAMMA, rtol=1e-5)
    np.testing.assert_allclose(red[0, 0], [63.75 * GAIN, 63.75, 63.75], rtol=1e-5)
    across = relit(tf.constant(image), tf.constant([0.5, 0.5, 0.5, 0.5, 1, 0.5])).numpy()
    assert (np.diff(across[0, :, 0]) > 0).all() and (np.diff(across[:, 0, 0]) == 0).all()


def test_noise_is_around_the_picture_and_stays_in_range():
    image = tf.fill((64, 64, 3), 128.0)
    found = np.stack([weather(image, tf.constant([1, i]), 0.0, 0.0, 1.0) for i in range(20)])
    deviations = found.std((1, 2, 3))
    assert abs(found.mean() - 128) < 0.5 and deviations.max() < 17 and deviations.min() < 8
    assert weather(tf.fill((8, 8, 3), 255.0), tf.constant([1, 1]), 1.0, 1.0, 1.0).numpy().max() <= 255


def test_every_blur_of_the_range_comes():
    point = np.zeros((13, 13, 3), np.float32)
    point[6, 6] = 255
    found = [weather(tf.constant(point), tf.constant([1, i]), 0.0, 1.0, 0.0)[6, 6, 0].numpy() for i in range(30)]
    weakest, strongest = (blurred(tf.constant(point), tf.constant(sigma))[6, 6, 0].numpy() for sigma in SIGMA)
    assert weakest >= max(found) > 0.7 * weakest and strongest <= min(found) < 1.3 * strongest
