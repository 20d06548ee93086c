import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.images.scaling import IMAGENET_MEAN, IMAGENET_STD
from segformer_tf.training import train
from segformer_tf.training.datasets import mixed
from segformer_tf.training.recipes import RECIPES

RECIPE = dataclasses.replace(RECIPES["classifier"], rand_augment=True, mixup_alpha=0.5)


def batches():
    images = np.random.default_rng(0).normal(size=(5, 4, 32, 40, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((images, np.arange(20).reshape(5, 4) % 3)).prefetch(1)


def test_mixed_labels_are_shares_that_sum_to_1_and_pictures_change():
    images, shares = next(iter(mixed(batches(), RECIPE, 3, 0, 0)))
    assert images.shape == (4, 32, 40, 3) and shares.shape == (4, 3)
    np.testing.assert_allclose(np.sum(shares, 1), 1, rtol=1e-5)
    assert not np.allclose(images, next(iter(batches()))[0], atol=0.1)


def test_mixing_is_a_function_of_seed_and_step_so_that_it_can_go_on():
    whole = list(mixed(batches(), RECIPE, 3, 7, 0))
    rest = list(mixed(batches().skip(2), RECIPE, 3, 7, 2))
    for (x, y), (x2, y2) in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    assert not np.array_equal(whole[0][1], next(iter(mixed(batches(), RECIPE, 3, 8, 0)))[1])


def test_a_recipe_without_mixing_leaves_the_batches_alone():
    source = batches()
    assert mixed(source, RECIPES["fine-tune"], 3, 0, 0) is source


@pytest.mark.parametrize("change", [{"rand_augment": True}, {"mixup_alpha": 0.2}])
def test_masks_are_neither_mixed_nor_left_where_their_pictures_were(data, network, tmp_path, change):
    recipe = dataclasses.replace(RECIPES["fine-tune"], **change)
    with pytest.raises(
        ValueError, match=r"mixup_alpha and rand_augment are .*, expected 0 and False for masks: .*cut_"
    ):
        train(network, data, tmp_path / "run", recipe, verbose=0)
    assert not (tmp_path / "run").exists()
    pairs = tf.data.Dataset.from_tensors((np.zeros((2, 32, 32, 3), "float32"), np.zeros((2, 32, 32), "int32")))
    with pytest.raises(ValueError, match="for masks"):
        mixed(pairs, recipe, 3, 0, 0)


def test_rand_augment_sees_pixels_and_gives_back_what_the_model_sees(monkeypatch):
    class Nothing(keras.layers.Layer):
        def __init__(self, value_range, **more):
            super().__init__()
            assert value_range == (0, 255)

        def call(self, pixels, training=None):
            return pixels

    monkeypatch.setattr(keras.layers, "RandAugment", Nothing)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3)) / 255
    images = ((pixels - IMAGENET_MEAN) / IMAGENET_STD).astype("float32")
    given = tf.data.Dataset.from_tensors((images, np.array([0, 1])))
    found, _ = next(iter(mixed(given, dataclasses.replace(RECIPE, mixup_alpha=0.0), 3, 0, 0)))
    np.testing.assert_allclose(found, images, atol=1e-5)


@pytest.mark.parametrize("recipe", [{"mixup_alpha": 0.0}, {"rand_augment": False}])
def test_one_batch_at_two_steps_is_changed_in_two_ways(recipe):
    one, other = mixed(batches().take(1).repeat(2), dataclasses.replace(RECIPE, **recipe), 3, 0, 0)
    assert np.abs(one[0] - other[0]).max() > 0.01
