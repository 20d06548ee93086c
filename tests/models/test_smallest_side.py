"""Pictures too small for the model's own attention reduction are refused in every way, never answered with garbage."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import SMALL, relative_difference

from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
from segformer_tf.bounds import smallest_side
from segformer_tf.models.kernels import for_xla, portable_ops

STATIC = r"pixel_values are 56 x 64 pixels, expected at least 57 a side: enlarge or pad the picture"
RUNNING = "pixel_values have a side of under 57 pixels: enlarge or pad the picture"
ANY = tf.TensorSpec((None, None, None, 3), tf.float32)


def make(data_format="channels_last"):
    return TFSegformerForSemanticSegmentation(SegformerConfig(**{**SMALL, "sr_ratios": [4, 8]}), data_format)


@pytest.fixture(scope="module")
def model():
    return make()


def picture(height, width):
    return np.random.default_rng(0).normal(size=(1, height, width, 3)).astype("float32")


def graph(model, tmp_path):
    return tf.function(lambda x: model(x).logits, input_signature=[ANY])


def functional(model, tmp_path):
    """The layers one by one, without the model's call."""
    run = keras.Model(model.inputs[0], model.outputs)
    return lambda x: keras.tree.flatten(run(x))[0]


def functional_graph(model, tmp_path):
    return tf.function(functional(model, tmp_path), input_signature=[ANY])


def inside_another(model, tmp_path):
    x = keras.Input((None, None, 3))
    run = keras.Model(x, model(x).logits)
    return tf.function(lambda x: run(x), input_signature=[ANY])


def saved(directory):
    """The SavedModel's signature, which keeps the variables alive."""
    loaded = tf.saved_model.load(str(directory))

    def run(x):
        return keras.tree.flatten(loaded.signatures["serving_default"](pixel_values=tf.constant(x)))[0]

    return run


def exported(model, tmp_path):
    model.export(tmp_path / "exported", verbose=False)
    return saved(tmp_path / "exported")


def saved_pretrained(model, tmp_path):
    model.save_pretrained(tmp_path, saved_model=True)
    return saved(tmp_path / "saved_model" / "1")


def eager(model, tmp_path):
    return lambda x: model(x).logits


def predicted(model, tmp_path):
    return lambda x: model.predict(x, verbose=0).logits


WAYS = [
    (eager, STATIC),
    (predicted, STATIC),
    (functional, STATIC),
    (graph, RUNNING),
    (functional_graph, RUNNING),
    (inside_another, RUNNING),
    (exported, RUNNING),
    (saved_pretrained, RUNNING),
]


@pytest.mark.parametrize(("way", "message"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_one_pixel_less_is_refused_and_the_smallest_side_answers(model, tmp_path, way, message):
    run = way(model, tmp_path)
    for size in ((56, 64), (64, 56), (24, 24)):
        told = message if size == (56, 64) else "pixel_values"
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=told):
            run(picture(*size))
    for size in ((57, 57), (57, 90)):
        assert relative_difference(run(picture(*size)), model(picture(*size)).logits) < 1e-5


def test_a_channels_first_model_is_saved_with_the_same_refusal(model, tmp_path):
    first = make("channels_first")
    first.set_weights(model.get_weights())
    run = saved_pretrained(first, tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError, match=RUNNING):
        run(picture(64, 56).transpose(0, 3, 1, 2))
    found = run(picture(57, 64).transpose(0, 3, 1, 2))
    assert relative_difference(np.moveaxis(found, 1, -1), model(picture(57, 64)).logits) < 1e-5


def test_known_sizes_are_refused_while_a_graph_is_made(model):
    with pytest.raises(ValueError, match=STATIC):
        model(keras.Input((56, 64, 3)))
    with pytest.raises(ValueError, match=STATIC):
        tf.function(lambda x: model(x).logits)(picture(56, 64))
    with pytest.raises(ValueError, match=STATIC):
        model.network(picture(56, 64))


def test_what_converters_and_xla_read_has_no_assertion(model):
    def ops():
        run = tf.function(lambda x: model.network(x)["logits"], input_signature=[ANY])
        return {op.type for op in run.get_concrete_function().graph.get_operations()}

    assert "Assert" in ops()
    for context in (portable_ops, for_xla):
        with context():
            assert "Assert" not in ops()


@pytest.mark.parametrize(
    ("sr_ratios", "side"), [([8, 4, 2, 1], 32), ([8, 4, 2, 2], 33), ([8, 4, 2, 4], 97), ([8, 8, 8, 8], 225)]
)
def test_four_stages_as_the_paper_has_them(tiny_config, sr_ratios, side):
    config = SegformerConfig.from_dict(tiny_config.to_dict(), sr_ratios=sr_ratios)
    assert smallest_side(config) == side
    model = TFSegformerForSemanticSegmentation(config)
    with pytest.raises(ValueError, match=f"expected at least {side} a side"):
        model(picture(side - 1, side), output_attentions=True)
    output = model(picture(side, side), output_attentions=True)
    assert all(weights.shape[-1] >= 1 for weights in output.attentions)
    np.testing.assert_allclose([np.asarray(w).sum(-1).mean() for w in output.attentions], 1, atol=1e-5)
