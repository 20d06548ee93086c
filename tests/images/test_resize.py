"""The resize ops against Pillow, byte for byte."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segformer_tf.images import resize as resize_function
from segformer_tf.images.resize import METHODS, resize, target_size

SIDE = st.integers(1, 90) | st.sampled_from([1, 2, 255, 256, 600])


@pytest.fixture(scope="module")
def graphs():
    """One traced graph a method, of unknown height, width and target."""
    signature = [tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((2,), tf.int32)]
    return {
        method: tf.function(lambda image, size, method=method: resize(image, size, method), input_signature=signature)
        for method in METHODS
    }


def noise(height, width, seed=0, channels=3):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return np.where(image > 200, 255, np.where(image < 50, 0, image)).astype(np.uint8)


def pillow(image, size, method):
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling[method.upper()]))


@pytest.mark.parametrize("method", METHODS)
def test_random_sizes_give_pillows_bytes(method, graphs):
    @settings(max_examples=40, deadline=None, database=None)
    @given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.integers(0, 99))
    def check(source, target, seed):
        image = noise(*source, seed)
        np.testing.assert_array_equal(graphs[method](image, target), pillow(image, target, method))

    check()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((1, 1), (1, 1)),
        ((1, 1), (7, 9)),
        ((1, 50), (50, 1)),
        ((5, 7), (1, 1)),
        ((40, 60), (40, 60)),
        ((40, 60), (40, 30)),
        ((40, 60), (20, 60)),
        ((3000, 3), (4, 30)),
        ((3, 3000), (30, 4)),
        ((360, 480), (512, 512)),
    ],
)
def test_edge_sizes_give_pillows_bytes(method, source, target, graphs):
    image = noise(*source)
    expected = pillow(image, target, method)
    np.testing.assert_array_equal(graphs[method](image, target), expected)
    np.testing.assert_array_equal(resize(image, target, method), expected)


def test_pillows_order_of_passes_is_followed_when_the_height_shrinks_more(graphs):
    for source, target in [((60, 40), (30, 26)), ((60, 40), (30, 25)), ((60, 40), (31, 26)), ((50, 20), (40, 30))]:
        image = noise(*source)
        np.testing.assert_array_equal(graphs["lanczos"](image, target), pillow(image, target, "lanczos"))


@pytest.mark.parametrize("method", ["bicubic", "nearest"])
def test_a_batch_is_its_images_and_any_number_of_channels_works(method):
    batch = np.stack([noise(21, 34, seed, channels=5) for seed in range(3)])
    result = resize(batch, (17, 40), method).numpy()
    assert result.shape == (3, 17, 40, 5)
    for image, resized in zip(batch, result, strict=True):
        for channel in range(5):
            np.testing.assert_array_equal(resized[..., channel], pillow(image[..., channel], (17, 40), method))


@pytest.mark.parametrize("method", ["bilinear", "lanczos"])
def test_floats_follow_pillows_mode_f(method):
    image = np.random.default_rng(0).normal(size=(30, 41, 1)).astype("float32")
    result = resize(image, (47, 19), method)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result[..., 0], pillow(image[..., 0], (47, 19), method), rtol=0, atol=3e-7)


def test_nearest_keeps_other_types():
    ids = np.arange(12, dtype=np.int64).reshape(3, 4, 1) * 1000
    result = resize(ids, (6, 8), "nearest")
    assert result.dtype == tf.int64
    np.testing.assert_array_equal(result[::2, ::2], ids)


def test_static_sizes_stay_known_in_a_data_set():
    data = tf.data.Dataset.from_tensors(noise(20, 30)).map(lambda image: resize(image, (8, 12)))
    assert data.element_spec.shape == (8, 12, 3)


def test_the_room_offers_the_function_under_its_own_name():
    assert resize_function is resize


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="method is 'cubic'; expected one of nearest, box, bilinear"):
        resize(noise(4, 4), (2, 2), "cubic")
    with pytest.raises(ValueError, match=r"size has a side of 2.5; expected \(height, width\) in whole pixels from 1"):
        resize(noise(4, 4), (2.5, 2))
    with pytest.raises(ValueError, match=r"image has shape \(4, 4\); expected \(H, W, C\)"):
        resize(noise(4, 4)[..., 0], (2, 2))
    with pytest.raises(ValueError, match="image is int32; bilinear resizing expects uint8 or float32"):
        resize(noise(4, 4).astype("int32"), (2, 2))


def test_the_longer_side_is_rounded_down():
    assert target_size({"shortest_edge": 10}, 30, 50) == (10, 16)
    assert target_size({"shortest_edge": 10}, 50, 30) == (16, 10)
    assert target_size({"height": 7, "width": 9}, 50, 30) == (7, 9)


@pytest.mark.parametrize("shape", [(32, 1024), (1024, 32), (33, 1056), (480, 360), (1, 32)])
def test_sides_that_are_tensors_give_what_ints_give(shape):
    expected = target_size({"shortest_edge": 512}, *shape)
    assert target_size({"shortest_edge": 512}, *np.array(shape, np.int16)) == expected
    for known in ([], [0], [1]):
        sides = (side if axis in known else tf.constant(side) for axis, side in enumerate(shape))
        assert tuple(map(int, target_size({"shortest_edge": 512}, *sides))) == expected


@pytest.mark.parametrize("shape", [(32, 1056), (1056, 32), (32, 780_000), (1, 4_194_304), (2**31 - 1, 1)])
def test_a_strip_is_refused_in_the_same_words_as_ints_and_as_tensors(shape):
    height, width = shape
    told = (
        f"image is {height} x {width}, and a shortest edge of 512 would make its longest over 16384 pixels: "
        "give height and width instead"
    )
    for sides in (shape, np.array(shape, np.int32)):
        with pytest.raises(ValueError, match=told):
            target_size({"shortest_edge": 512}, *sides)
    for sides in ((tf.constant(height), width), (height, tf.constant(width)), tf.unstack(tf.constant(shape))):
        with pytest.raises(tf.errors.InvalidArgumentError, match=told):
            target_size({"shortest_edge": 512}, *sides)


def test_sides_of_no_pixels_are_refused_as_numbers_and_in_a_graph(graphs):
    for method in ("bilinear", "nearest"):
        for source, target in (((4, 5), (0, 3)), ((4, 5), (3, -1)), ((0, 5), (3, 3)), ((4, 0), (3, 3))):
            told = r"(size|image) has a side of (0|-1); expected \(height, width\) in whole pixels from 1"
            image = np.zeros((*source, 3), np.uint8)
            with pytest.raises(ValueError, match=told):
                resize(image, target, method)
            with pytest.raises(tf.errors.InvalidArgumentError, match=told):
                graphs[method](image, target)
    with pytest.raises(ValueError, match="size has a side of float32"):
        resize(noise(4, 4), tf.constant([2.5, 2]))
