"""What Keras users do with any model: copy, clone, pickle, quantize, adapt by LoRA, save, weigh classes."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from segformer_tf import (
    TFSegformerDecodeHead,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
    TFSegformerModel,
)
from segformer_tf.models import compiled

PICTURES = [TFSegformerModel, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation]
CLASSES = [*PICTURES, TFSegformerDecodeHead]
KINDS = [*((cls, "channels_last") for cls in CLASSES), (TFSegformerForSemanticSegmentation, "channels_first")]
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


def _inputs(model):
    """A batch of what the model takes."""
    random = np.random.default_rng(0)
    shapes = [(2, *(96 // 2**i if side is None else side for side in x.shape[1:])) for i, x in enumerate(model.inputs)]
    arrays = [random.normal(size=shape).astype("float32") for shape in shapes]
    return arrays if len(arrays) > 1 else arrays[0]


def _first(output):
    return keras.tree.flatten(output)[0]


@pytest.mark.parametrize(("cls", "data_format"), KINDS)
def test_copies_give_the_same(small_config, cls, data_format):
    model = cls(small_config, data_format=data_format)
    inputs = _inputs(model)
    expected = _first(model(inputs))
    for again in (copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        other = again(model)
        assert type(other) is cls
        np.testing.assert_array_equal(_first(other(inputs)), expected)


@pytest.mark.parametrize(("cls", "data_format"), KINDS)
def test_clone_model_gives_a_functional_model_of_new_layers_that_computes_the_same(small_config, cls, data_format):
    model = cls(small_config, data_format=data_format)
    clone = keras.models.clone_model(model)
    assert not {id(layer) for layer in model.layers} & {id(layer) for layer in clone.layers}
    clone.set_weights(model.get_weights())
    inputs = _inputs(model)
    with compiled.op_by_op():  # as the clone runs; the model's own graph has oneDNN's norms on some processors
        np.testing.assert_array_equal(_first(clone(inputs)), _first(model(inputs)))


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_a_quantized_model_comes_back_from_a_keras_file(tmp_path, small_config, pixels, mode):
    model = TFSegformerForSemanticSegmentation(small_config)
    model.quantize(mode)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(pixels).logits, model(pixels).logits)
    model.save_weights(tmp_path / "model.weights.h5")
    other = TFSegformerForSemanticSegmentation(small_config)
    other.quantize(mode)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(pixels).logits, model(pixels).logits)


def test_save_pretrained_of_a_quantized_model_says_what_to_do(tmp_path, small_config):
    model = TFSegformerForSemanticSegmentation(small_config)
    model.quantize("int8")
    with pytest.raises(
        ValueError, match=r"The model is quantized \(int8\), and the Hub's files hold floats: save it by"
    ):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_save_pretrained_merges_lora_and_leaves_the_model_as_it_is(tmp_path, small_config, pixels):
    model = TFSegformerForSemanticSegmentation(small_config)
    layer = model.get_layer("block_1_0").attention.query
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    expected = model(pixels).logits
    model.save_pretrained(tmp_path)
    again = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(pixels).logits, expected, atol=1e-5)
    assert layer.lora_enabled
    np.testing.assert_array_equal(model(pixels).logits, expected)


def _expected_loss(logits, labels, weights):
    """The mean over the pixels that are not ignored of weight times cross-entropy, in NumPy."""
    logits = np.asarray(keras.ops.image.resize(logits, labels.shape[1:], antialias=False), "float64")
    log_sum = np.log(np.exp(logits).sum(-1))
    true = np.take_along_axis(logits, np.where(labels == 255, 0, labels)[..., None], -1)[..., 0]
    valid = labels != 255
    return ((log_sum - true) * weights)[valid].sum() / valid.sum()


def _without_dropout(config):
    return type(config).from_dict({**config.to_dict(), "classifier_dropout_prob": 0.0, "drop_path_rate": 0.0})


def test_class_weight_weighs_each_pixel_by_its_class_and_is_forgotten_after(small_config, pixels, labels):
    model = TFSegformerForSemanticSegmentation(_without_dropout(small_config))
    model.get_layer("decode_head").batch_norm.trainable = False
    model.compile(keras.optimizers.SGD(0.0), metrics=[])
    logits, table = model(pixels).logits, np.array([1, 3, 1, 1, 0.5])
    picked = table[np.where(labels == 255, 0, labels)]
    pictures, per_pixel = np.array([2.0, 0.5]), np.random.default_rng(2).uniform(size=labels.shape)

    def loss(**arguments):
        return model.fit(pixels, labels, batch_size=2, verbose=0, **arguments).history["loss"][0]

    for arguments, weights in [
        ({"class_weight": {1: 3.0, 4: 0.5}}, picked),
        ({}, np.ones(labels.shape)),
        ({"class_weight": {1: 3.0, 4: 0.5}, "sample_weight": pictures}, picked * pictures[:, None, None]),
        ({"sample_weight": per_pixel}, per_pixel),
    ]:
        np.testing.assert_allclose(loss(**arguments), _expected_loss(logits, labels, weights), rtol=1e-4)
    model.reset_metrics()  # Keras 3.10 tells the mean over all batches since
    found = model.train_on_batch(pixels, labels, class_weight={1: 3.0, 4: 0.5})
    np.testing.assert_allclose(found, _expected_loss(logits, labels, picked), rtol=1e-4)
    with pytest.raises(ValueError, match="class_weight has the class 7, expected 0 to 4"):
        loss(class_weight={7: 1.0})


def test_class_weights_of_a_classifier_are_for_its_classes_and_for_one_class_a_picture(small_config, pixels):
    model = TFSegformerForImageClassification(small_config, data_format="channels_last")
    model.compile(keras.optimizers.SGD(0.0))
    ids, several = np.array([0, 1]), np.eye(5, dtype="float32")[[0, 1]]
    plain, weighed = (model.train_on_batch(pixels, ids, class_weight=given)[0] for given in (None, {0: 2.0, 1: 2.0}))
    np.testing.assert_allclose(weighed, 2 * plain, rtol=1e-3)  # stochastic depth is on
    with pytest.raises(ValueError, match="class_weight has the class 7, expected 0 to 4"):
        model.fit(pixels, ids, class_weight={7: 5.0}, verbose=0)
    data = tf.data.Dataset.from_tensor_slices((pixels, several)).batch(2)
    for given in ((pixels, several), ({"pixel_values": pixels, "labels": several},), (data,)):
        with pytest.raises(ValueError, match="class_weight is given for multi_label_classification, expected none"):
            model.fit(*given, class_weight={1: 3.0}, verbose=0)
