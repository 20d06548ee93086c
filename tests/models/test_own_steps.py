"""Subclasses with a `train_step` of their own, as Keras' guides write it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation


class OwnStep(TFSegformerForSemanticSegmentation):
    tells_metrics = False

    def train_step(self, data):
        pixels, labels = data
        with tf.GradientTape() as tape:
            logits = self(pixels, training=True).logits
            loss = self.compute_loss(pixels, labels, logits)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        if not self.tells_metrics:
            return {"loss": loss}
        for metric in self.metrics:
            metric.update_state(*(loss,) if metric.name == "loss" else (labels, logits))
        return {metric.name: metric.result() for metric in self.metrics}


def learnt(small_config, pixels, labels, cls=OwnStep, tells_metrics=False, **compiled):
    keras.utils.set_random_seed(1)
    config = SegformerConfig.from_dict(
        {**small_config.to_dict(), "drop_path_rate": 0.0, "classifier_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    )
    model = cls(config)
    model.tells_metrics = tells_metrics
    model.compile(keras.optimizers.SGD(0.1), **compiled)
    history = model.fit(pixels, labels, shuffle=False, epochs=2, validation_data=(pixels, labels), verbose=0).history
    return model, history


def test_a_step_may_leave_out_the_metric_that_a_plain_compile_adds(small_config, pixels, labels):
    model, history = learnt(small_config, pixels, labels)
    expected, told = learnt(small_config, pixels, labels, TFSegformerForSemanticSegmentation)
    assert history["loss"] == pytest.approx(told["loss"]) and "mean_iou" not in history
    assert history["val_mean_iou"] == pytest.approx(told["val_mean_iou"])
    for own, other in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(own.numpy(), other.numpy(), atol=1e-6)


def test_a_step_may_feed_the_metrics(small_config, pixels, labels):
    _, history = learnt(small_config, pixels, labels, tells_metrics=True)
    _, told = learnt(small_config, pixels, labels, TFSegformerForSemanticSegmentation)
    assert history["mean_iou"] == pytest.approx(told["mean_iou"])


def test_such_a_step_learns_with_the_weights_of_classes(small_config, pixels, labels):
    weights = {0: 5.0, 1: 0.1, 2: 3.0}
    losses = []
    for cls in (TFSegformerForSemanticSegmentation, OwnStep):
        keras.utils.set_random_seed(1)
        model = cls(
            SegformerConfig.from_dict({**small_config.to_dict(), "classifier_dropout_prob": 0.0, "drop_path_rate": 0.0})
        )
        model.compile("sgd", metrics=[])
        losses += [
            model.fit(pixels, labels, class_weight=given, verbose=0).history["loss"][0] for given in (weights, None)
        ]
    assert losses[2:] == pytest.approx(losses[:2]) and losses[0] != pytest.approx(losses[1], rel=0.01)


@pytest.mark.long
def test_such_a_step_may_be_compiled_by_xla(small_config, pixels, labels):
    """Which has no kernels for what TensorFlow's own executor is fast at."""
    _, expected = learnt(small_config, pixels, labels, metrics=[])
    _, history = learnt(small_config, pixels, labels, metrics=[], jit_compile=True)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert history["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-4)
