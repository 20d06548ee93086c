import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import ONE_STAGE, SMALL, TINY, relative_difference

from segformer_tf import (
    SegformerConfig,
    SegformerImageProcessor,
    TFSegformerDecodeHead,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
    TFSegformerModel,
)


@pytest.fixture
def model(tiny_config):
    return TFSegformerForSemanticSegmentation(tiny_config)


def turned(model, data_format):
    """The same weights at another boundary."""
    other = type(model)(model.config, data_format=data_format)
    other.set_weights(model.get_weights())
    return other


@pytest.mark.parametrize("size", [(32, 32), (33, 70), (64, 96), (95, 41)])
def test_any_size_at_least_32_is_taken(model, size):
    rows, columns = (-(-side // 4) for side in size)
    assert model(np.zeros((1, *size, 3))).logits.shape == (1, rows, columns, 5)


@pytest.mark.parametrize(
    ("inputs", "more", "message"),
    [
        (np.zeros((0, 32, 32, 3)), {}, r"shape \(0, 32, 32, 3\), expected at least one picture"),
        ({}, {}, 'The inputs have no keys, expected "pixel_values"'),
        ({"images": np.zeros((1, 32, 32, 3))}, {}, 'The inputs have images, expected "pixel_values"'),
        (
            np.zeros((1, 32, 32, 3)),
            {"labels": np.zeros((2, 32, 32), int)},
            "expected one mask for each picture of logits of shape",
        ),
    ],
)
def test_what_cannot_be_a_call_is_told(model, inputs, more, message):
    with pytest.raises(ValueError, match=message):
        model(inputs, **more)


def test_numpys_true_and_false_are_options_too(model):
    pixels = np.random.default_rng(0).normal(size=(1, 128, 160, 3)).astype("float32")
    found = model(pixels, training=np.bool_(False), return_dict=np.bool_(True)).logits
    assert relative_difference(found, model(pixels).logits) < 1e-6


def test_a_call_takes_arrays_dicts_and_keywords(model, pixels, labels):
    plain = model(pixels)
    assert list(plain) == ["logits"]
    in_lists = model([pixels]), model([tf.constant(pixels)]), model(list(pixels))
    for other in (model(pixel_values=pixels), model({"pixel_values": pixels}), model(tf.constant(pixels)), *in_lists):
        assert relative_difference(other.logits, plain.logits) < 1e-6
    with_loss = model({"pixel_values": pixels, "labels": labels})
    assert list(with_loss) == ["loss", "logits"]
    assert float(with_loss.loss) == pytest.approx(float(model(pixels, labels).loss))
    as_tuple = model(pixels, labels=labels, return_dict=False, output_hidden_states=True)
    assert isinstance(as_tuple, tuple) and len(as_tuple) == 3 and len(as_tuple[2]) == 4
    assert model((pixels * 40).astype("uint8")).logits.shape == plain.logits.shape


def test_optional_outputs_follow_the_config(pixels):
    config = SegformerConfig(**TINY, output_hidden_states=True, output_attentions=True, return_dict=False)
    model = TFSegformerForSemanticSegmentation(config)
    logits, hidden_states, attentions = model(pixels)
    assert [map_.shape for map_ in hidden_states] == [
        (2, 16, 24, 8),
        (2, 8, 12, 16),
        (2, 4, 6, 20),
        (2, 2, 3, 32),
    ]
    assert [weights.shape[1:] for weights in attentions] == [(1, 384, 6), (2, 96, 6), (2, 96, 6), (5, 24, 6), (8, 6, 6)]
    assert logits.shape == model(pixels, output_hidden_states=False, return_dict=True).logits.shape


def test_channels_first_turns_input_and_outputs(model, pixels, labels):
    first = turned(model, "channels_first")
    expected = model(pixels, labels, output_hidden_states=True)
    output = first(pixels.transpose(0, 3, 1, 2), labels, output_hidden_states=True)
    assert relative_difference(output.logits, tf.transpose(expected.logits, (0, 3, 1, 2))) < 1e-6
    assert output.hidden_states[0].shape == (2, 8, 16, 24)
    assert float(output.loss) == pytest.approx(float(expected.loss))


def test_none_takes_keras_own_data_format(tiny_config):
    keras.config.set_image_data_format("channels_first")
    try:
        assert TFSegformerModel(tiny_config)(np.zeros((1, 3, 64, 96))).last_hidden_state.shape == (1, 32, 2, 3)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_other_numbers_of_channels_and_stages(pixels):
    config = SegformerConfig(num_channels=5, **TINY)
    assert TFSegformerForSemanticSegmentation(config)(np.zeros((1, 64, 96, 5))).logits.shape == (1, 16, 24, 5)
    per_stage = {key: getattr(config, key)[:2] for key in ("depths", "hidden_sizes", "sr_ratios", "patch_sizes")}
    per_stage |= {key: getattr(config, key)[:2] for key in ("strides", "num_attention_heads", "mlp_ratios")}
    small = SegformerConfig(num_encoder_blocks=2, **per_stage)
    assert TFSegformerForSemanticSegmentation(small)(pixels).logits.shape == (2, 16, 24, 2)


def test_the_last_stage_as_tokens(pixels):
    model = TFSegformerModel(SegformerConfig(**TINY, reshape_last_stage=False))
    output = model(pixels, output_hidden_states=True)
    assert output.last_hidden_state.shape == (2, 6, 32) == output.hidden_states[-1].shape


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("cls", [TFSegformerForImageClassification, TFSegformerForSemanticSegmentation])
def test_the_last_stage_of_a_model_with_a_head_is_tokens_too(tiny_config, pixels, cls, data_format):
    pixels = pixels.transpose(0, 3, 1, 2) if data_format == "channels_first" else pixels
    whole = cls(tiny_config, data_format=data_format)
    expected = whole(pixels, output_hidden_states=True)
    model = cls(SegformerConfig(**TINY, reshape_last_stage=False), data_format=data_format)
    model.set_weights(whole.get_weights())
    found = model(pixels, output_hidden_states=True)
    deepest = np.asarray(expected.hidden_states[-1])
    deepest = deepest.transpose(0, 2, 3, 1) if data_format == "channels_first" else deepest
    np.testing.assert_array_equal(found.hidden_states[-1], deepest.reshape(2, 6, 32))
    np.testing.assert_array_equal(found.logits, expected.logits)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_decode_head_takes_the_tokens_of_any_picture(data_format):
    config = SegformerConfig(**TINY, reshape_last_stage=False)
    whole = TFSegformerForSemanticSegmentation(config, data_format=data_format)
    head = TFSegformerDecodeHead(config, data_format=data_format)
    head.set_weights(whole.get_layer("decode_head").get_weights())
    shape = (2, 3, 70, 101) if data_format == "channels_first" else (2, 70, 101, 3)
    pixels = np.random.default_rng(2).normal(size=shape).astype("float32")
    output = whole(pixels, output_hidden_states=True)
    assert output.hidden_states[-1].shape == (2, 12, 32)
    assert relative_difference(head(output.hidden_states), output.logits) < 1e-6
    inputs = keras.Input(shape[1:])
    joined = keras.Model(inputs, head(whole.segformer(inputs, output_hidden_states=True).hidden_states))
    assert joined.outputs[0].shape[1 if data_format == "channels_first" else -1] == 5
    assert relative_difference(joined(pixels), output.logits) < 1e-6


def test_what_the_decode_head_cannot_take_is_named_by_its_shape(small_config, pixels):
    head = TFSegformerDecodeHead(small_config)
    states = TFSegformerModel(SegformerConfig(**SMALL, reshape_last_stage=False))(
        pixels, output_hidden_states=True
    ).hidden_states
    tokens = keras.ops.reshape(states[0], (2, -1, 8))
    for wrong in (states[1:], states[::-1], [*states, states[-1]], states[0], [tokens, states[1]]):
        with pytest.raises(
            ValueError, match=r"The hidden states have shapes .* with \[8, 16\] channels: give all that"
        ):
            head(wrong)
    with pytest.raises(ValueError, match=r"have shape \(2, 95, 16\), expected 8 x 12 .* reshape_last_stage=True"):
        head([states[0], states[1][:, 1:]])
    alone = SegformerConfig(**ONE_STAGE, reshape_last_stage=False)
    with pytest.raises(ValueError, match=r"have shape \(2, 384, 16\), expected a map.* reshape_last_stage=True"):
        TFSegformerDecodeHead(alone)(TFSegformerModel(alone)(pixels, output_hidden_states=True).hidden_states)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_decode_head_takes_the_encoders_maps(tiny_config, pixels, data_format):
    whole = TFSegformerForSemanticSegmentation(tiny_config, data_format=data_format)
    head = TFSegformerDecodeHead(tiny_config, data_format=data_format)
    head.set_weights(whole.get_layer("decode_head").get_weights())
    pixels = pixels.transpose(0, 3, 1, 2) if data_format == "channels_first" else pixels
    output = whole(pixels, output_hidden_states=True)
    assert relative_difference(head(output.hidden_states), output.logits) < 1e-6


def test_it_is_a_functional_model(model, pixels, capsys):
    model.summary()
    assert "block_1_1" in capsys.readouterr().out
    inner = keras.Model(model.inputs, model.get_layer("block_1_1").output)
    assert inner([pixels]).shape == (2, 8, 12, 16)
    whole = keras.Model(model.inputs, model.outputs)
    assert relative_difference(whole([pixels]), model(pixels).logits) < 1e-6
    outer_input = keras.Input((64, 96, 3))
    outer = keras.Model(outer_input, keras.layers.Softmax()(model(outer_input)["logits"]))
    assert relative_difference(outer(pixels), tf.nn.softmax(model(pixels).logits)) < 1e-6
    assert {variable.path.split("/")[0] for variable in model.weights} >= {"block_0_0", "layer_norm_3", "decode_head"}


def test_frozen_layers_do_not_learn(model, pixels, labels):
    for layer in model.layers:
        layer.trainable = layer.name == "decode_head"
    model.compile(run_eagerly=True)
    before = {variable.path: variable.numpy() for variable in model.weights}
    model.fit(pixels, labels, verbose=0)
    changed = {variable.path for variable in model.weights if (variable.numpy() != before[variable.path]).any()}
    assert changed and all(path.startswith("decode_head/") for path in changed)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")  # Keras says so of its InputLayer
def test_int8_weights_stay_close(small_config, pixels):
    model = TFSegformerForSemanticSegmentation(small_config)
    exact = model(pixels).logits
    model.quantize("int8")
    assert model.get_layer("block_0_0").mlp.dense1.quantization_mode == "int8"
    assert 0 < relative_difference(model(pixels).logits, exact) < 0.2


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_gives_float32_logits_and_losses(small_config, pixels, labels, policy):
    model = TFSegformerForSemanticSegmentation(small_config)
    mixed = TFSegformerForSemanticSegmentation(small_config, dtype=policy)
    mixed.set_weights(model.get_weights())
    output = mixed(pixels, labels, output_attentions=True)
    assert output.logits.dtype == output.loss.dtype == tf.float32
    assert output.attentions[0].dtype == mixed.compute_dtype
    assert relative_difference(output.logits, model(pixels).logits) < 0.1
    mixed.compile(run_eagerly=True)
    assert np.isfinite(mixed.fit(pixels, labels, verbose=0).history["loss"]).all()
    with_all_ignored = mixed.fit(pixels, np.full_like(labels, 255), verbose=0).history["loss"]
    assert np.isfinite(with_all_ignored).all() and all(np.isfinite(value).all() for value in mixed.get_weights())


def test_stochastic_depth_rises_over_all_blocks(tiny_config):
    tiny_config.drop_path_rate = 0.4
    model = TFSegformerModel(tiny_config)
    rates = [layer.drop_path.rate for layer in model.layers if layer.name.startswith("block")]
    np.testing.assert_allclose(rates, [0.0, 0.1, 0.2, 0.3, 0.4])


def test_classification(tiny_config, pixels):
    model = TFSegformerForImageClassification(tiny_config)
    output = model(pixels, labels=np.array([1, 4]))
    assert output.logits.shape == (2, 5) and float(output.loss) == pytest.approx(np.log(5), rel=0.1)
    model.compile(run_eagerly=True)
    assert set(model.fit(pixels, np.array([1, 4]), verbose=0).history) == {"loss", "accuracy"}


@pytest.mark.parametrize("problem_type", [None, "multi_label_classification"])
@pytest.mark.parametrize("pictures", [2, 3])
def test_the_accuracy_of_several_labels_a_picture_counts_each(small_config, pixels, problem_type, pictures):
    config = SegformerConfig.from_dict(small_config.to_dict(), num_labels=3, problem_type=problem_type)
    model = TFSegformerForImageClassification(config)
    model.compile(run_eagerly=True)
    model.get_layer("classifier").set_weights([np.zeros((16, 3)), np.array([1.0, -1.0, 1.0])])
    several = np.array([[1, 0, 0], [1, 1, 1], [1, 0, 1]])[:pictures]
    found = model.evaluate(pixels[[0, 1, 0]][:pictures], several, verbose=0, return_dict=True)
    assert found["accuracy"] == pytest.approx({2: 4 / 6, 3: 7 / 9}[pictures])


@pytest.mark.parametrize(("labels", "problem_type"), [(1, None), (3, "regression")])
def test_a_regression_has_no_accuracy(small_config, labels, problem_type):
    config = SegformerConfig.from_dict(small_config.to_dict(), num_labels=labels, problem_type=problem_type)
    assert TFSegformerForImageClassification(config)._default_metrics() == []


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 31, 64, 3), "pixel_values are 31 x 64 pixels, expected at least 32 a side"),
        (
            (1, 3, 64, 96),
            r"shape \(1, 3, 64, 96\), expected \(batch, height, width, channels\) with 3 channels: transpose",
        ),
        ((64, 96, 3), r"shape \(64, 96, 3\), expected \(batch, height, width, channels\)"),
    ],
)
def test_pixels_that_do_not_fit_are_named(model, shape, message):
    with pytest.raises(ValueError, match=message):
        model(np.zeros(shape, "float32"))


def test_impossible_arguments_are_named(tiny_config, pixels):
    with pytest.raises(ValueError, match="config is a str, expected a SegformerConfig"):
        TFSegformerModel("b0")
    with pytest.raises(
        ValueError, match='data_format is \'first\', expected "channels_last", "channels_first" or None'
    ):
        TFSegformerModel(tiny_config, data_format="first")
    with pytest.raises(ValueError, match="TFSegformerModel has no loss"):
        TFSegformerModel(tiny_config)(pixels, labels=np.zeros((2, 64, 96)))


def test_what_the_processor_gives_goes_straight_in(model):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3)).astype("uint8")
    batch = SegformerImageProcessor(size=(64, 96))(pictures, pictures[..., 0] % 5, return_tensors="tf")
    expected = model(batch["pixel_values"], labels=batch["labels"])
    for output in (model(batch), model(**batch)):
        assert float(output.loss) == pytest.approx(float(expected.loss))
        assert relative_difference(output.logits, expected.logits) < 1e-6
