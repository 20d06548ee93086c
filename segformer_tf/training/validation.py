"""The loss on validation pictures: the model's own, of the weights that are evaluated."""

import keras
import tensorflow as tf

from segformer_tf.models.network import to_boundary
from segformer_tf.training.augment import Augmentation, normalize
from segformer_tf.training.datasets import Source, pictures

PICTURES = 16  # at most, so that it costs little beside the scores


class ValidationLoss:
    """Mean cross-entropy over some pictures, each whole and at its own size, weighed alike."""

    def __init__(self, model: keras.Model, source: Source, how: Augmentation):
        pairs = pictures(source, model.config.semantic_loss_ignore_index).take(PICTURES)
        self.pairs = pairs.map(lambda image, labels: (normalize(tf.cast(image, tf.float32), how)[None], labels[None]))

        def loss(pixel_values, labels):
            return model(to_boundary(pixel_values, model.data_format), labels=labels, training=False).loss

        self._loss = tf.function(loss, autograph=False, reduce_retracing=True)

    def take(self) -> float:
        """The loss of the weights as they are."""
        return float(tf.reduce_mean([self._loss(*pair) for pair in self.pairs]))
