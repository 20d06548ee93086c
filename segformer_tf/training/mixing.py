"""RandAugment and MixUp of whole batches for classifiers, by Keras' own layers, as a function of seed and step."""

import keras
import tensorflow as tf

from segformer_tf.models.private import parts_of
from segformer_tf.training.recipe import Recipe

STEPS_APART = 1_000_003  # a layer draws several times a step, and must not meet the next step's numbers


def mixed(batches: tf.data.Dataset, recipe: Recipe, num_labels: int, seed: int, start: int) -> tf.data.Dataset:
    """(images (B, h, w, 3), ids (B,)) -> the same, or images and label shares (B, num_labels) if the recipe mixes.

    Keras' layers draw from a state that counts up; it is set anew at every step, so that a resumed run draws the same.
    """
    if not (recipe.mixup_alpha or recipe.rand_augment):
        return batches
    how = recipe.augmentation
    mean, std = tf.constant(how.image_mean), tf.constant(how.image_std)
    augment = keras.layers.RandAugment(value_range=(0, 255), seed=seed, data_format="channels_last")
    mix = keras.layers.MixUp(alpha=recipe.mixup_alpha or 1.0, seed=seed, data_format="channels_last")
    generators = [layer for layer in (*parts_of(augment), *parts_of(mix)) if hasattr(layer, "generator")]

    def change(step, batch):
        images, ids = batch
        for number, layer in enumerate(generators):
            layer.generator.state.assign(
                tf.cast(tf.stack([seed + number, step * STEPS_APART]), layer.generator.state.dtype)
            )
        if recipe.rand_augment:
            pixels = tf.clip_by_value((images * std + mean) * 255.0, 0.0, 255.0)
            images = (augment(pixels, training=True) / 255.0 - mean) / std
        if not recipe.mixup_alpha:
            return images, ids
        both = mix({"images": images, "labels": tf.one_hot(ids, num_labels)}, training=True)
        return both["images"], both["labels"]

    numbered = tf.data.Dataset.zip(tf.data.Dataset.range(start, tf.int64.max), batches)
    return numbered.map(change).prefetch(2)  # one after the other: the layers' state is shared
