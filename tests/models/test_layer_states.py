"""What is frozen, quantized or has LoRA stays so in copies and files, as in Keras' own functional models."""

import copy
import pickle
from typing import Any

import keras
import numpy as np
import pytest

from segformer_tf import TFSegformerForSemanticSegmentation
from segformer_tf.models import layer_states, private


def through_a_file(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras")
    return loaded


WAYS = {
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "clone": lambda model, _: keras.models.clone_model(model),
    "config": lambda model, _: type(model).from_config(model.get_config()),
    "file": through_a_file,
}


def mean(model):
    """A functional model that ends in the mean of another's logits."""
    pixels = keras.Input((64, 96, 3))
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(model(pixels).logits))


def learning(model):
    """The variables that learn, without the names of the models around them."""
    return [variable.path.removeprefix(model.name) for variable in model.trainable_variables]


@pytest.fixture
def model(small_config):
    """The encoder is frozen but for one of its attentions, and in the head the BatchNorm is."""
    made = TFSegformerForSemanticSegmentation(small_config, data_format="channels_last", name="mine")
    made.segformer.trainable = False
    made.network.stages[1].blocks[0].attention.trainable = True
    made.decode_head.batch_norm.trainable = False
    return made


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("whole", [lambda model: model, mean], ids=["itself", "nested"])
def test_copies_keep_what_is_frozen(model, tmp_path, whole, way):
    original = whole(model)
    found = way(original, tmp_path)
    assert learning(found) == learning(original)
    assert 0 < len(learning(found)) < len(original.weights) / 2


@pytest.mark.parametrize("whole", [True, False], ids=["all", "the encoder"])
def test_a_copy_of_a_frozen_model_or_encoder_is_frozen(small_config, whole):
    model = TFSegformerForSemanticSegmentation(small_config)
    (model if whole else model.segformer).trainable = False
    found = copy.deepcopy(model)
    assert found.trainable is not whole and not found.segformer.trainable
    assert found.segformer.trainable_variables == []
    assert len(found.trainable_variables) == len(model.trainable_variables)
    assert copy.deepcopy(model.segformer).trainable_variables == []


def by_the_model(model):
    model.trainable = True


def by_the_encoder(model):
    model.segformer.trainable = True


def by_each_layer(model):
    for layer in model.layers:
        layer.trainable = True


def off_and_on(model):
    model.trainable = False
    model.trainable = True


@pytest.mark.parametrize("thaw", [by_the_model, by_the_encoder, by_each_layer, off_and_on])
def test_an_encoder_freezes_again_after_a_thaw(small_config, thaw):
    model = TFSegformerForSemanticSegmentation(small_config)
    whole, encoder = len(model.trainable_variables), model.segformer
    of_encoder = len(encoder.trainable_variables)
    for _ in range(2):
        encoder.trainable = False
        assert (len(model.trainable_variables), len(encoder.trainable_variables)) == (whole - of_encoder, 0)
        assert model.trainable and not encoder.trainable
        thaw(model)
        assert (len(model.trainable_variables), len(encoder.trainable_variables)) == (whole, of_encoder)
        assert encoder.trainable


def test_a_layer_that_learns_is_set_to_learn_with_all_that_is_inside(small_config):
    model = TFSegformerForSemanticSegmentation(small_config)
    block, whole = model.network.stages[1].blocks[0], len(model.trainable_variables)
    for outer in (model, block):
        block.attention.query.trainable = False
        assert outer.trainable and len(model.trainable_variables) == whole - 2
        outer.trainable = True
        assert len(model.trainable_variables) == whole


@pytest.fixture
def with_lora(small_config):
    """LoRA in two layers, of which one is quantized too, and in a convolution of a frozen encoder."""
    made = TFSegformerForSemanticSegmentation(small_config, data_format="channels_last", name="mine")
    made.segformer.trainable = False
    parts = layer_states.places(made)
    parts["decode_head/classifier"].quantize("int8")
    for place in ("decode_head/classifier", "decode_head/linear_c_0", "patch_embeddings_1/proj"):
        parts[place].enable_lora(2, lora_alpha=6)
        parts[place].lora_kernel_b.assign(np.full(parts[place].lora_kernel_b.shape, 0.01, "float32"))
    parts["decode_head/linear_c_0"].trainable = False
    return made


PART = lambda model: keras.Model(model.inputs, model.get_layer("decode_head").output)  # noqa: E731


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("whole", [lambda model: model, mean, PART], ids=["itself", "nested", "a part"])
def test_copies_keep_lora(with_lora, tmp_path, pixels, whole, way):
    original = whole(with_lora)
    found = way(original, tmp_path)
    assert learning(found) == learning(original)
    states = [layer_states.adapted(each) for each in (original, found)]
    assert states[0] == states[1] and list(states[0].values()) == [[2, 6]] * 3
    assert layer_states.quantization_modes(found) == layer_states.quantization_modes(original) != {}
    if way is through_a_file and whole is mean:
        values = [each.predict(pixels, verbose=0) for each in (original, found)]
        np.testing.assert_allclose(*values, atol=0.02 * np.abs(values[0]).max())  # quantized anew with LoRA's product


def test_lora_of_a_loaded_model_learns_and_the_kernel_does_not(tmp_path, small_config, pixels, labels):
    model = TFSegformerForSemanticSegmentation(small_config, data_format="channels_last")
    for layer in (model.decode_head.classifier, model.get_layer("patch_embeddings_0").proj):
        layer.enable_lora(2)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(pixels, labels, verbose=0)
    loaded = through_a_file(model, tmp_path)
    np.testing.assert_allclose(model(pixels).logits, loaded(pixels).logits, atol=1e-5)
    loaded.trainable = False
    loaded.trainable = True
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    layers = loaded.decode_head.classifier, loaded.get_layer("patch_embeddings_0").proj
    kernels = [np.array(private.kernel_beside_lora(layer)) for layer in layers]
    loaded.compile(keras.optimizers.SGD(0.1))
    loaded.fit(pixels, labels, verbose=0)
    for layer, kernel in zip(layers, kernels, strict=True):
        np.testing.assert_array_equal(private.kernel_beside_lora(layer), kernel)
        assert np.abs(layer.lora_kernel_b).max() > 0


def test_training_goes_on_in_a_loaded_model_as_in_the_one_that_was_kept(tmp_path, model, pixels, labels):
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-3))
    model.fit(pixels, labels, verbose=0)
    loaded = through_a_file(model, tmp_path)
    before = dict(zip(layer_states.places(model), map(_arrays, layer_states.places(model).values()), strict=True))
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for each in (model, loaded):
        keras.utils.set_random_seed(3)
        each.fit(pixels, labels, verbose=0)
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)  # threads add in no fixed order
    parts = layer_states.places(loaded)
    for place in ("block_0_0/mlp", "patch_embeddings_1", "decode_head/batch_norm"):
        for one, other in zip(before[place], _arrays(parts[place]), strict=True):
            np.testing.assert_array_equal(one, other)
    place = "block_1_0/attention/query"
    assert any((a != b).any() for a, b in zip(before[place], _arrays(parts[place]), strict=True))


def _arrays(layer):
    return [np.array(weight) for weight in layer.weights]


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_places_are_the_same_inside_another_layer(small_config):
    class Around(keras.layers.Layer):
        def build(self, _):
            self.inner = TFSegformerForSemanticSegmentation(small_config, data_format="channels_last")

        def call(self, x):
            return self.inner(x).logits

    around = Around()
    around(np.zeros((1, 64, 64, 3), "float32"))
    model = around.inner
    model.decode_head.classifier.quantize("int8")
    assert model.decode_head.classifier.path != "decode_head/classifier"
    found = copy.deepcopy(model)
    assert layer_states.quantization_modes(found) == {"decode_head/classifier": "int8"}
