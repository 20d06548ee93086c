"""`fit`, `evaluate` and `predict`: what they take, what custom losses and metrics see."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import SMALL, relative_difference

from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
from segformer_tf.models.kernels import banded_loss
from segformer_tf.models.metrics import MeanIoU, confusion, scores
from segformer_tf.models.predicted import predicted_labels
from segformer_tf.training.losses import SegmentationLoss


@pytest.fixture
def model(small_config):
    return TFSegformerForSemanticSegmentation(small_config)


def test_without_arguments_it_learns_by_its_own_loss(model, pixels, labels):
    model.compile()
    assert isinstance(model.optimizer, keras.optimizers.AdamW) and not model.jit_compile
    assert (float(model.optimizer.learning_rate), model.optimizer.weight_decay) == (pytest.approx(6e-5), 0.01)
    loss, mean_iou = model.evaluate(pixels, labels, verbose=0)
    assert loss == pytest.approx(float(model(pixels, labels).loss), rel=1e-5)
    predicted = tf.argmax(tf.image.resize(model(pixels).logits, labels.shape[1:]), -1)
    metric = keras.metrics.MeanIoU(5, ignore_class=255)
    metric.update_state(labels, predicted)
    assert mean_iou == pytest.approx(float(metric.result()))
    model.compile(keras.optimizers.AdamW(1e-2))
    history = model.fit(pixels, labels, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_pairs_and_dicts_are_the_same_to_fit(model, pixels, labels):
    model.compile("sgd")
    as_dict = {"pixel_values": pixels, "labels": labels}
    expected = model.evaluate(pixels, labels, verbose=0)
    for data in (
        tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(2),
        tf.data.Dataset.from_tensor_slices(as_dict).batch(2),
        tf.data.Dataset.from_tensor_slices(({"pixel_values": pixels}, labels)).batch(2),
        tf.data.Dataset.from_tensor_slices(({"pixel_values": pixels}, {"labels": labels})).batch(2),
    ):
        assert model.evaluate(data, verbose=0) == pytest.approx(expected)
    for x, y in ((pixels, [labels]), ([pixels], [labels])):
        assert model.evaluate(x, y, verbose=0) == pytest.approx(expected)
    model.fit(tf.data.Dataset.from_tensor_slices(as_dict).batch(2), shuffle=False, verbose=0)
    model.fit({"pixel_values": pixels}, {"labels": labels}, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=r'The targets have masks, expected "labels": name them so'):
        model.fit(pixels, {"masks": labels}, verbose=0)
    predicted = model.predict(as_dict, verbose=0)
    assert list(predicted) == ["logits"] and isinstance(predicted.logits, np.ndarray)
    assert relative_difference(predicted["logits"], model(pixels).logits) < 1e-5


def test_sizes_may_change_from_batch_to_batch(model, pixels, labels):
    model.compile("sgd")
    batches = [(pixels, labels), (pixels[:, :40, :50], labels[:, :40, :50])]
    kinds = (tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((None, None, None), tf.int64))
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=kinds)
    data = data.apply(tf.data.experimental.assert_cardinality(2))
    assert np.isfinite(model.fit(data, shuffle=False, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_custom_losses_and_metrics_get_full_size_logits(small_config, pixels, labels, data_format):
    seen = []

    def loss(y_true, y_pred):
        seen.append((y_true.shape, y_pred.shape, y_pred.dtype))
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)(y_true, y_pred)

    model = TFSegformerForSemanticSegmentation(small_config, data_format=data_format)
    pixels = pixels.transpose(0, 3, 1, 2) if data_format == "channels_first" else pixels
    model.compile("sgd", loss, [keras.metrics.MeanIoU(5, ignore_class=255, sparse_y_pred=False)], run_eagerly=True)
    model.fit(pixels, labels, verbose=0)
    assert seen == [((2, 64, 96), (2, 64, 96, 5), "float32")]


def test_keras_dice_takes_one_hot_labels(model, pixels, labels):
    one_hot = np.eye(5, dtype="float32")[np.where(labels == 255, 0, labels)]
    shares = tf.nn.softmax(tf.image.resize(model(pixels).logits, labels.shape[1:])).numpy()
    expected = 1 - 2 * (shares * one_hot).sum() / (shares.sum() + one_hot.sum())
    model.compile(keras.optimizers.SGD(1.0), lambda y, x: keras.losses.Dice()(y, keras.ops.softmax(x)))
    assert model.evaluate(pixels, one_hot, verbose=0) == pytest.approx(expected, rel=1e-4)
    model.fit(pixels, one_hot, verbose=0)
    assert model.evaluate(pixels, one_hot, verbose=0) < expected


def test_one_label_learns_binary(pixels):
    model = TFSegformerForSemanticSegmentation(SegformerConfig(**{**SMALL, "num_labels": 1}))
    model.compile(keras.optimizers.AdamW(1e-2), run_eagerly=True)
    labels = (pixels[..., 0] > 0).astype("int64")
    history = model.fit(pixels, labels, epochs=3, verbose=0).history
    assert list(history) == ["loss", "mean_iou"] and history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("loss", "jit_compile"), [(None, False), (None, True), (SegmentationLoss({"focal": 1.0}), False)]
)
def test_weights_of_pixels_may_have_a_last_axis_of_1(small_config, pixels, labels, loss, jit_compile):
    """With one picture a batch, whose axis of 1 would take the weights' rows."""
    model = TFSegformerForSemanticSegmentation(small_config)
    model.compile("sgd", loss=loss, metrics=[], jit_compile=jit_compile)
    weights = np.random.default_rng(0).uniform(size=labels.shape).astype("float32")
    expected = model.evaluate(pixels, labels, sample_weight=weights, batch_size=1, verbose=0)
    found = model.evaluate(pixels, labels, sample_weight=weights[..., None], batch_size=1, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_picture_that_is_no_numbers_shows_in_the_loss(model, pixels, labels):
    """Its weights are lost at once, so that `TerminateOnNaN` must see it."""
    pixels = pixels.copy()
    pixels[0, 5, 5] = np.nan
    model.compile()
    history = model.fit(pixels, labels, epochs=3, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()]).history
    assert len(history["loss"]) == 1 and np.isnan(history["loss"][0])


def test_a_label_out_of_range_stops_fit_by_name(model, pixels, labels):
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="a label is 77, expected 0 to 4"):
        model.fit(pixels, np.full_like(labels, 77), verbose=0)


def test_fit_without_labels_says_so(model, pixels):
    model.compile()
    with pytest.raises(
        ValueError, match='There are no labels to learn from: pass pairs, or a dict with "pixel_values"'
    ):
        model.fit(pixels, verbose=0)


def test_metrics_of_ours_never_see_full_size_logits(model, pixels, labels):
    seen = []

    class Spy(MeanIoU):
        def update_state(self, y_true, y_pred, sample_weight=None):
            seen.append(tuple(y_pred.shape))
            super().update_state(y_true, y_pred, sample_weight)

    model.compile("sgd", metrics=[Spy(5)], run_eagerly=True)
    model.evaluate(pixels, labels, verbose=0)
    assert seen == [(2, 16, 24, 5)]


def test_one_label_has_the_mean_iou_of_background_and_foreground(pixels):
    model = TFSegformerForSemanticSegmentation(SegformerConfig(**{**SMALL, "num_labels": 1}))
    model.compile()
    labels = (pixels[..., 0] > 0).astype("int64")
    labels[:, :8] = 255
    found = model.evaluate(pixels, labels, verbose=0)[1]
    predicted = tf.image.resize(model(pixels).logits, labels.shape[1:])[..., 0] > 0
    metric = keras.metrics.MeanIoU(2, ignore_class=255)
    metric.update_state(labels, tf.cast(predicted, "int32"))
    assert found == pytest.approx(float(metric.result()))


def test_another_ignore_index_holds_for_loss_and_metric(pixels, labels):
    keras.utils.set_random_seed(0)
    expected = TFSegformerForSemanticSegmentation(SegformerConfig(**SMALL))
    config = SegformerConfig(**SMALL, semantic_loss_ignore_index=254)
    model = TFSegformerForSemanticSegmentation(config)
    model.set_weights(expected.get_weights())
    expected.compile()
    model.compile()
    other = np.where(labels == 255, 254, labels)
    assert model.evaluate(pixels, other, verbose=0) == pytest.approx(expected.evaluate(pixels, labels, verbose=0))
    with pytest.raises(Exception, match=r"a label is.*255.*or the ignore index 254"):
        model.evaluate(pixels, labels, verbose=0)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_the_metric_takes_the_classes_that_the_loss_found(model, pixels, labels, monkeypatch, run_eagerly):
    model.compile("sgd", run_eagerly=run_eagerly)
    expected = scores(confusion(labels, np.asarray(predicted_labels(model(pixels).logits, labels.shape[1:])), 5))
    monkeypatch.setattr("segformer_tf.models.metrics.predicted_labels", lambda *_: pytest.fail("found twice"))
    assert model.evaluate(pixels, labels, verbose=0)[1] == pytest.approx(expected["mIoU"], rel=1e-6)
    trained = model.fit(pixels, labels, batch_size=len(labels), shuffle=False, verbose=0).history
    assert 0 < trained["mean_iou"][0] < 1


@pytest.mark.parametrize("compiled", [{"metrics": []}, {"loss": lambda labels, logits: tf.reduce_mean(logits)}])
def test_without_our_metric_the_loss_looks_for_no_classes(model, pixels, labels, monkeypatch, compiled):
    asked, banded = [], banded_loss.cross_entropy_sum
    monkeypatch.setattr(banded_loss, "cross_entropy_sum", lambda *args: asked.append(args[3]) or banded(*args))
    model.compile("sgd", **compiled)
    model.fit(pixels, labels, verbose=0)
    assert not any(asked)
    model.compile("sgd")
    model.fit(pixels, labels, verbose=0)
    assert asked and asked[-1]


def test_a_metric_of_other_labels_than_the_loss_finds_its_own(small_config, pixels, labels):
    class Halved(TFSegformerForSemanticSegmentation):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            return super().compute_metrics(x, y[:, ::2, ::2], y_pred, sample_weight)

    model = Halved(small_config)
    model.compile("sgd")
    half = labels[:, ::2, ::2]
    expected = scores(confusion(half, np.asarray(predicted_labels(model(pixels).logits, half.shape[1:])), 5))
    assert model.evaluate(pixels, labels, verbose=0)[1] == pytest.approx(expected["mIoU"], rel=1e-6)


def test_a_second_compile_forgets_the_loss_and_metrics_of_the_first(model, pixels, labels):
    model.compile("sgd")
    expected = model.evaluate(pixels, labels, verbose=0, return_dict=True)
    model.compile("sgd", lambda labels, logits: tf.reduce_mean(logits), ["accuracy"])
    model.evaluate(pixels, labels, verbose=0)
    model.compile("sgd", lambda labels, logits: tf.reduce_mean(logits))
    assert model.evaluate(pixels, labels, verbose=0, return_dict=True).keys() == {"loss"}
    model.compile("sgd")
    assert model.evaluate(pixels, labels, verbose=0, return_dict=True) == expected


def test_forward_mode_gives_the_derivative_along_a_direction(model, pixels):
    pixels, direction = tf.constant(pixels), tf.random.normal(pixels.shape)
    with tf.autodiff.ForwardAccumulator(pixels, direction) as forward:
        logits = model(pixels).logits
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        total = tf.reduce_sum(model(pixels).logits)
    backward = tf.reduce_sum(tape.gradient(total, pixels) * direction)
    assert float(tf.reduce_sum(forward.jvp(logits))) == pytest.approx(float(backward), rel=1e-3)


@pytest.mark.parametrize("of", ["logits", "loss"])
@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_gradients_are_whole(small_config, pixels, labels, training, of):
    """The Hessian times a direction, beside the difference of two gradients."""
    small_config.classifier_dropout_prob = small_config.drop_path_rate = 0.0
    model = TFSegformerForSemanticSegmentation(small_config)
    norm = model.decode_head.batch_norm
    norm.beta.assign(tf.fill(norm.beta.shape, 10.0))  # no kink of the ReLU is near
    labels, pixels, direction = tf.constant(labels), tf.constant(pixels), tf.random.normal(pixels.shape)

    def first(pixels):
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            outputs = model(pixels, labels, training=training)
            value = outputs.loss if of == "loss" else tf.reduce_sum(outputs.logits**2)
        return tape.gradient(value, pixels)

    def second(pixels):
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            along = tf.reduce_sum(first(pixels) * direction)
        return tape.gradient(along, pixels)

    expected = (first(pixels + 0.003 * direction) - first(pixels - 0.003 * direction)) / 0.006
    for call in (second, tf.function(second)):
        assert relative_difference(call(pixels), expected) < 0.01


def test_losses_metrics_and_labels_may_be_told_by_the_outputs_name(model, pixels, labels):
    loss, found = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255), []
    for name in (lambda value: value, lambda value: {"logits": value}):
        given = {"metrics": name(["accuracy"]), "weighted_metrics": name(["accuracy"]), "loss_weights": name(0.5)}
        model.compile(keras.optimizers.SGD(0.0), loss=name(loss), **given)
        found.append(model.evaluate(pixels, name(labels), verbose=0))
    np.testing.assert_allclose(*found, rtol=1e-5)
