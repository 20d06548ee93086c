"""Regions of one training picture laid over another: a box (CutMix) or the pixels of some classes (ClassMix)."""

import tensorflow as tf

BOX = (0.3, 0.8)  # height and width of the box, in those of the crop
BYTES = 256


def lay_over(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, cut_rate: float, paste_rate: float, ignore_index: int
):
    """Pictures (B, h, w, 3) and ids (B, h, w) -> the same, with regions of the picture before each in the batch.

    CutMix (Yun et al. 2019, for masks French et al. 2020) takes a box, its unlabelled pixels too. ClassMix (Olsson et
    al. 2021) takes every labelled pixel of classes that are drawn at rate one half.

    Args:
        seed: Two whole numbers, another pair for every step.
        cut_rate, paste_rate: Rates of pictures that are laid over with a box, and with classes.
    """
    count, height, width = tf.unstack(tf.shape(labels))
    others, other_labels = tf.roll(images, 1, 0), tf.roll(labels, 1, 0)
    draws = tf.random.stateless_uniform((count, 6), seed)
    box = draws[:, 0:1] < cut_rate
    rows = _span(height, draws[:, 1:2], draws[:, 2:3])  # (B, h)
    columns = _span(width, draws[:, 3:4], draws[:, 4:5])
    taken = (rows & box)[:, :, None] & columns[:, None, :]  # (B, h, w)
    if paste_rate > 0:
        coins = tf.random.stateless_uniform((count, BYTES), seed + 1) < 0.5
        chosen = tf.gather(coins, tf.math.floormod(other_labels, BYTES), batch_dims=1) & (other_labels != ignore_index)
        taken |= chosen & (draws[:, 5] < paste_rate)[:, None, None]
    return tf.where(taken[..., None], others, images), tf.where(taken, other_labels, labels)


def _span(length, size, place):
    """(B, length): what lies within a share of the side, at a random place."""
    size = BOX[0] + size * (BOX[1] - BOX[0])
    at = (tf.cast(tf.range(length), tf.float32) + 0.5)[None] / tf.cast(length, tf.float32)
    start = place * (1.0 - size)
    return (at >= start) & (at < start + size)
