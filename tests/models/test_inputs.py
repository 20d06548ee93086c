"""What a call is given: a mapping of its arguments, and logits in the model's own layout."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import relative_difference

from segformer_tf import TFSegformerForImageClassification, TFSegformerForSemanticSegmentation, TFSegformerModel


@pytest.fixture
def model(small_config):
    return TFSegformerForSemanticSegmentation(small_config)


def test_a_mapping_holds_any_argument_of_the_call(model, pixels, labels):
    inputs = {"pixel_values": pixels, "labels": labels, "output_hidden_states": True, "output_attentions": True}
    output, expected = model(inputs), model(**inputs)
    assert list(output) == list(expected) == ["loss", "logits", "hidden_states", "attentions"]
    assert float(output.loss) == pytest.approx(float(expected.loss))
    assert type(model({"pixel_values": pixels, "return_dict": False})) is tuple
    trained = {"pixel_values": pixels, "training": True}
    model(trained)
    moved = model.decode_head.batch_norm.moving_mean.numpy()
    assert moved.any(), "training in the mapping reaches every layer"
    assert list(model(inputs, output_attentions=False)) == ["loss", "logits", "hidden_states"]
    assert list(model(pixel_values=inputs)) == list(expected)


def test_a_mapping_in_a_keras_graph_holds_options_too(small_config, pixels):
    model = TFSegformerModel(small_config)
    x = keras.Input((64, 96, 3))
    maps = model({"pixel_values": x, "output_hidden_states": True}).hidden_states
    expected = model(pixels, output_hidden_states=True).hidden_states
    assert relative_difference(keras.Model(x, maps[0])(pixels), expected[0]) < 1e-5


@pytest.mark.parametrize(
    ("key", "nearest"), [("label", "labels"), ("output_hidden_state", "output_hidden_states"), ("name", "return_dict")]
)
def test_an_unknown_key_of_a_mapping_is_named_with_the_nearest(model, pixels, key, nearest):
    with pytest.raises(TypeError, match=f"The model got an unknown keyword '{key}': .*{nearest}"):
        model({"pixel_values": pixels, key: True})


def test_columns_of_a_data_set_that_are_no_arguments_are_left_out(model, pixels, labels):
    batch = {"pixel_values": pixels, "labels": labels, "label": labels, "name": tf.constant(["a", "b"])}
    data = tf.data.Dataset.from_tensors(batch)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.fit(data, shuffle=False, verbose=0).history["loss"]).all()
    assert len(model.evaluate(data, verbose=0)) == 2
    assert model.predict(data, verbose=0).logits.shape == (2, 16, 24, 5)


def test_a_subclass_may_hand_a_mapping_on(small_config, pixels):
    class Mine(TFSegformerForSemanticSegmentation):
        def call(self, inputs, training=None):
            return super().call(inputs, training=training)

    output = Mine(small_config)({"pixel_values": pixels, "output_hidden_states": True})
    assert list(output) == ["logits", "hidden_states"]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_logits_of_another_layout_have_no_loss(small_config, pixels, labels, data_format):
    first = data_format == "channels_first"
    model = TFSegformerForSemanticSegmentation(small_config, data_format=data_format)
    logits = model(pixels.transpose(0, 3, 1, 2) if first else pixels).logits
    turned = np.transpose(logits, (0, 2, 3, 1) if first else (0, 3, 1, 2))
    made = r"\(batch, 5, height, width\)" if first else r"\(batch, height, width, 5\)"
    with pytest.raises(ValueError, match=rf"logits have shape \(2, .*\), expected {made} as the model returns them"):
        model.hf_compute_loss(turned, labels)
    assert np.isfinite(float(model.hf_compute_loss(logits, labels)))


def test_logits_of_another_number_of_classes_have_no_loss(small_config):
    model = TFSegformerForImageClassification(small_config)
    with pytest.raises(ValueError, match=r"logits have shape \(2, 4\), expected \(batch, 5\)"):
        model.hf_compute_loss(labels=np.zeros(2), logits=np.zeros((2, 4), "float32"))


def trained_after(config, model_class, batches, **how):
    """`fit` on batches of a data set that says no shapes, as Keras traces a step where one batch differs."""
    specs = tuple(tf.TensorSpec(None, tf.as_dtype(part.dtype)) for part in batches[0])
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=specs)
    data = data.apply(tf.data.experimental.assert_cardinality(len(batches)))
    model = model_class(config)
    model.compile()
    return model.fit(data, verbose=0, shuffle=False, **how).history


def test_a_data_set_that_says_no_shapes_trains(small_config, pixels, labels):
    history = trained_after(small_config, TFSegformerForSemanticSegmentation, [(pixels, labels)], class_weight={0: 2.0})
    assert np.isfinite(history["loss"]).all() and np.isfinite(history["mean_iou"]).all()
    small_config.problem_type = "single_label_classification"
    history = trained_after(small_config, TFSegformerForImageClassification, [(pixels, np.array([0, 4]))])
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            lambda x, y: (x, y[..., None]),
            r"labels have shape\] \[2 64 96 1\] \[expected \(batch, height, width\)",
        ),
        (lambda x, y: (x, y[0]), r"labels have shape\] \[64 96\] \[expected \(batch, height, width\) class ids"),
        (lambda x, y: (x, y[:1]), r"labels have shape\] \[1 64 96\] \[expected one mask for each picture of logits"),
        (
            lambda x, y: (x[0], y),
            r"pixel_values have shape\] \[64 96 3\] \[expected \(batch, height, width",
        ),
        (lambda x, y: (x[..., :1], y), r"pixel_values have shape\] \[2 64 96 1\] \[expected .* with 3 channels"),
    ],
)
def test_a_batch_of_another_shape_than_the_first_is_told(small_config, pixels, labels, wrong, told):
    batches = [(pixels, labels), wrong(pixels, labels)]
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        trained_after(small_config, TFSegformerForSemanticSegmentation, batches)


@pytest.mark.parametrize(
    ("problem_type", "good", "wrong", "error", "told"),
    [
        ("single_label_classification", (2,), (2, 3), tf.errors.InvalidArgumentError, r"\[2 3\] \[expected \(batch,\)"),
        ("multi_label_classification", (2, 5), (2,), tf.errors.InvalidArgumentError, r"\[2\] \[expected \(batch, 5\)"),
        (None, (2,), (2, 3), ValueError, "labels have an unknown number of axes .* or set the config's problem_type"),
    ],
)
def test_class_labels_of_another_shape_than_the_first_are_told(
    small_config, pixels, problem_type, good, wrong, error, told
):
    small_config.problem_type = problem_type
    model = TFSegformerForImageClassification(small_config)
    model.compile()
    model.train_on_batch(pixels, np.zeros(good, "int32"))
    with pytest.raises(error, match=told):
        model.train_on_batch(pixels, np.zeros(wrong, "int32"))
    assert np.isfinite(model.train_on_batch(pixels, np.zeros(good, "int32"))).all()


@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch"]
)
def test_no_pictures_are_told(small_config, method):
    model = TFSegformerForSemanticSegmentation(small_config)
    model.compile()
    none = np.zeros((0, 64, 96, 3), "float32")
    with pytest.raises(
        ValueError, match=rf"{method} got pixel_values of shape \(0, 64, 96, 3\), expected at least one"
    ):
        getattr(model, method)(none)
    with pytest.raises(ValueError, match=f"{method} got pixel_values of shape"):
        getattr(model, method)(x={"pixel_values": none})
