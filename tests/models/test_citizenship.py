"""What Keras users do with any model: copy, pickle, quantize, adapt by LoRA, save."""

import copy
import pickle

import keras
import numpy as np
import pytest

from segformer_tf import TFSegformerForImageClassification, TFSegformerForSemanticSegmentation, TFSegformerModel

CLASSES = [TFSegformerModel, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation]
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_give_the_same(tiny_config, pixels, cls, again):
    model = cls(tiny_config)
    other = again(model)
    assert type(other) is cls
    np.testing.assert_array_equal(other(pixels)[0], model(pixels)[0])


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_a_quantized_model_comes_back_from_a_keras_file(tmp_path, tiny_config, pixels, mode):
    model = TFSegformerForSemanticSegmentation(tiny_config)
    model.quantize(mode)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(pixels).logits, model(pixels).logits)


def test_save_pretrained_of_a_quantized_model_says_what_to_do(tmp_path, tiny_config):
    model = TFSegformerForSemanticSegmentation(tiny_config)
    model.quantize("int8")
    with pytest.raises(
        ValueError, match=r"The model is quantized \(int8\), and the Hub's files hold floats: save it by"
    ):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_save_pretrained_merges_lora_and_leaves_the_model_as_it_is(tmp_path, tiny_config, pixels):
    model = TFSegformerForSemanticSegmentation(tiny_config)
    layer = model.get_layer("block_1_0").attention.query
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    expected = model(pixels).logits
    model.save_pretrained(tmp_path)
    again = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(pixels).logits, expected, atol=1e-5)
    assert layer.lora_enabled
    np.testing.assert_array_equal(model(pixels).logits, expected)
