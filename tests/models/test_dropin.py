"""What a program for transformers' TensorFlow classes does, done here: its test ideas, and what was broken there."""

import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import FIXTURES, SMALL, relative_difference

from segformer_tf import (
    SegformerConfig,
    SegformerImageProcessor,
    TFSegformerDecodeHead,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
    TFSegformerModel,
)
from segformer_tf.storage.find import DEFAULT_MODEL

CLASSES = [TFSegformerModel, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation]


@pytest.fixture
def model(small_config):
    return TFSegformerForSemanticSegmentation(small_config, data_format="channels_first")


@pytest.fixture
def first(pixels):
    return pixels.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_signature_begins_with_pixel_values(cls):
    assert list(inspect.signature(cls.call).parameters)[1] == cls.main_input_name == "pixel_values"
    assert cls.base_model_prefix == "segformer" and cls.config_class is SegformerConfig


@pytest.mark.parametrize("cls", CLASSES)
def test_tuple_and_dictionary_hold_the_same(cls, small_config, pixels):
    model = cls(small_config)
    arguments = {"output_hidden_states": True, "output_attentions": True}
    as_dict = model(pixels, **arguments)
    as_tuple = model(pixels, return_dict=False, **arguments)
    assert len(as_tuple) == 3 and len(as_tuple[1]) == len(as_tuple[2]) == 2
    for found, expected in zip(tf.nest.flatten(as_tuple), tf.nest.flatten(as_dict.to_tuple()), strict=True):
        assert relative_difference(found, expected) < 1e-6


def test_dummy_inputs_and_signature_fit_the_model(small_config, model):
    assert model.input_signature["pixel_values"].shape.as_list() == [None, 3, None, None]
    assert model.dummy_inputs["pixel_values"].shape == (1, 3, 512, 512)
    small = {"pixel_values": model.dummy_inputs["pixel_values"][:, :, :64, :96]}
    assert model(small).logits.shape == model(**small).logits.shape == (1, 5, 16, 24)
    assert TFSegformerModel(small_config).dummy_inputs["pixel_values"].shape == (1, 512, 512, 3)


def test_the_loss_takes_arguments_in_transformers_order(model, first, labels):
    output = model(first, labels=labels)
    assert float(model.hf_compute_loss(output.logits, labels)) == pytest.approx(float(output.loss))
    assert float(model.hf_compute_loss(labels=labels, logits=output.logits)) == pytest.approx(float(output.loss))
    assert output.loss.shape == ()


def test_parameters_are_counted(model):
    running = 2 * SMALL["decoder_hidden_size"]
    assert model.num_parameters() == model.count_params()
    assert model.num_parameters(only_trainable=True) == model.count_params() - running
    model.base_model.trainable = False
    assert all(weight.path.startswith("decode_head/") for weight in model.trainable_weights)
    assert model.decode_head is model.get_layer("decode_head") and model.framework == "tf"


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_base_model_is_the_encoder_itself(small_config, pixels, data_format):
    model = TFSegformerForImageClassification(small_config, data_format=data_format)
    pixels = pixels.transpose(0, 3, 1, 2) if data_format == "channels_first" else pixels
    expected = model(pixels, output_hidden_states=True, output_attentions=True)
    found = model.segformer(pixels, output_hidden_states=True, output_attentions=True)
    assert isinstance(model.segformer, TFSegformerModel) and list(found) == [*TFSegformerModel.output_class.fields]
    for field in ("hidden_states", "attentions"):
        for one, other in zip(found[field], expected[field], strict=True):
            assert relative_difference(one, other) < 1e-6
    assert relative_difference(model.segformer([pixels])["last_hidden_state"], expected.hidden_states[-1]) < 1e-6
    assert model.segformer is model.base_model and len(model.base_model.weights) == len(model.weights) - 2
    bare = TFSegformerModel(small_config)
    assert bare.base_model is bare.segformer is bare


def test_the_base_model_is_saved_as_an_encoder(tmp_path, model, first):
    expected = model.segformer(first).last_hidden_state
    model.segformer.save_pretrained(tmp_path / "hub")
    model.segformer.save(tmp_path / "encoder.keras")
    kept = keras.saving.load_model(tmp_path / "encoder.keras")
    for encoder in (TFSegformerModel.from_pretrained(tmp_path / "hub", data_format="channels_first"), kept):
        assert type(encoder) is TFSegformerModel
        assert relative_difference(encoder(first).last_hidden_state, expected) == 0


def test_the_base_model_gives_tokens_where_the_config_says_so(pixels):
    config = SegformerConfig(**SMALL, reshape_last_stage=False)
    encoder = TFSegformerForSemanticSegmentation(config).segformer
    assert encoder(pixels).last_hidden_state.shape == (2, 96, SMALL["hidden_sizes"][-1])


def test_the_head_inside_a_model_takes_maps_channels_last(model, first):
    maps = model(first, output_hidden_states=True).hidden_states
    with pytest.raises(ValueError, match=r"The maps' last axes are \(24, 12\), expected \(8, 16\)"):
        model.decode_head(maps)
    assert model.decode_head([tf.transpose(map_, (0, 2, 3, 1)) for map_ in maps]).shape == (2, 16, 24, 5)


def test_looking_at_the_base_model_does_not_change_what_keras_saves(tmp_path, model, first):
    expected = model(first).logits
    model.save_weights(tmp_path / "before.weights.h5")
    assert model.base_model.weights and model.decode_head.weights
    model.save_weights(tmp_path / "after.weights.h5")
    assert (tmp_path / "before.weights.h5").stat().st_size == (tmp_path / "after.weights.h5").stat().st_size
    model.save(tmp_path / "m.keras")
    assert relative_difference(keras.saving.load_model(tmp_path / "m.keras")(first).logits, expected) == 0


def test_serving_gives_a_plain_dictionary_of_what_the_config_asks_for(small_config, pixels):
    small_config.output_hidden_states = True
    answer = TFSegformerForSemanticSegmentation(small_config).serving({"pixel_values": pixels})
    assert type(answer) is dict and list(answer) == ["logits", "hidden_states"]


def test_from_config_takes_both_kinds_of_configuration(model, small_config):
    assert TFSegformerForSemanticSegmentation.from_config(small_config).config == small_config
    again = TFSegformerForSemanticSegmentation.from_config(model.get_config())
    assert again.data_format == "channels_first" and again.config == small_config
    other = {"data_format": "channels_last", "name": "other"}
    for config in (small_config, model.get_config()):
        again = TFSegformerForSemanticSegmentation.from_config(config, **other)
        assert (again.data_format, again.name) == ("channels_last", "other")


def test_the_first_argument_may_have_the_name_that_transformers_gives_it():
    where = {"pretrained_model_name_or_path": FIXTURES / "hf4-seg"}
    for cls in (TFSegformerForSemanticSegmentation, TFSegformerDecodeHead, SegformerConfig):
        found = cls.from_pretrained(**where, num_labels=5)
        assert getattr(found, "config", found).num_labels == 5
    values, _ = SegformerConfig.get_config_dict(**where)
    assert SegformerConfig.from_dict(config_dict=values) == SegformerConfig.from_pretrained(**where)
    processor = SegformerImageProcessor.from_pretrained(pretrained_model_name_or_path=DEFAULT_MODEL, size=64)
    assert SegformerImageProcessor.from_dict(image_processor_dict={"size": 64}).size == processor.size
    with pytest.raises(TypeError, match="multiple values for argument 'name_or_path'"):
        SegformerConfig.from_pretrained(name_or_path=FIXTURES / "hf4-seg", **where)


def test_saving_in_the_old_ways(tmp_path, model, first):
    expected = model(first).logits
    model.save_pretrained(save_directory=tmp_path, safe_serialization=False, saved_model=True, version=3)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "tf_model.h5", "saved_model"}
    again = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path, data_format="channels_first", from_pt=False)
    assert relative_difference(again(first).logits, expected) == 0
    served = tf.saved_model.load(tmp_path / "saved_model" / "3").signatures["serving_default"]
    assert relative_difference(served(tf.constant(first))["logits"], expected) < 1e-5


def test_arguments_of_transformers_from_pretrained_are_taken(tmp_path, model, small_config):
    model.save_pretrained(tmp_path)
    cls = TFSegformerForSemanticSegmentation
    small_config.save_pretrained(tmp_path / "other", push_to_hub=False)
    again = cls.from_pretrained(tmp_path, config=tmp_path / "other", from_pt=True, force_download=True)
    assert again.config.name_or_path == str(tmp_path)
    with pytest.warns(
        UserWarning, match="takes resume_download from programs written for transformers and does nothing"
    ):
        assert not hasattr(cls.from_pretrained(tmp_path, resume_download=True).config, "resume_download")
    with pytest.raises(FileNotFoundError, match=r"holds no weights: looked for tf_model\.h5"):
        cls.from_pretrained(tmp_path, use_safetensors=False)
    assert cls.from_pretrained(tmp_path, use_safetensors=True).num_parameters() == model.num_parameters()


def test_prepare_tf_dataset_feeds_fit(small_config, pixels, labels):
    examples = [{"pixel_values": pixels[i % 2], "labels": labels[i % 2], "name": str(i)} for i in range(5)]
    model = TFSegformerForSemanticSegmentation(small_config)
    data = model.prepare_tf_dataset(examples, batch_size=2, shuffle=False)
    assert [len(ids) for _, ids in data] == [2, 2, 1] and len(data) == 3
    assert len(model.prepare_tf_dataset(examples, batch_size=2)) == 2
    with pytest.raises(ValueError, match="dataset is empty, expected at least one example"):
        model.prepare_tf_dataset([])
    with pytest.raises(ValueError, match="dataset has 5 examples, expected at least batch_size = 8 of them where only"):
        model.prepare_tf_dataset(examples)
    assert len(model.prepare_tf_dataset(examples, drop_remainder=False)) == 1
    with pytest.raises(ValueError, match="batch_size is 0, expected a number above 0"):
        model.prepare_tf_dataset(examples, batch_size=0)
    features, ids = next(iter(data))
    np.testing.assert_array_equal(features["pixel_values"], pixels)
    np.testing.assert_array_equal(ids, labels)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.fit(data, shuffle=False, verbose=0).history["loss"]).all()
    plain = model.prepare_tf_dataset([{"pixel_values": pixels[0]}] * 2, 2, prefetch=False)
    assert model.predict(plain, verbose=0).logits.shape == (2, 16, 24, 5)


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification", "regression"])
def test_every_kind_of_classification_has_its_loss(pixels, problem_type):
    config = SegformerConfig(
        **{**SMALL, "num_labels": 1 if problem_type == "regression" else 5}, problem_type=problem_type
    )
    labels = np.eye(5, dtype="float32")[:2] if problem_type.startswith("multi") else np.array([0, 0])
    output = TFSegformerForImageClassification(config)(pixels, labels=labels)
    logits = np.asarray(output.logits, "float64")
    expected = {
        "single_label_classification": lambda: np.log(np.exp(logits).sum(-1)) - logits[:, 0],
        "multi_label_classification": lambda: np.log1p(np.exp(logits)) - labels * logits,
        "regression": lambda: (logits[:, 0] - labels) ** 2,
    }[problem_type]()
    assert float(output.loss) == pytest.approx(expected.mean(), rel=1e-5)


def test_mean_iou_of_keras_works_as_it_is(model, first, labels):
    ids = np.where(labels == 255, 0, labels)
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        [keras.metrics.MeanIoU(5, sparse_y_pred=False)],
        run_eagerly=True,
    )
    assert np.isfinite(model.fit(first, ids, verbose=0).history["loss"]).all()


def test_dice_of_keras_works_as_it_is(model, first, labels):
    ids = np.where(labels == 255, 0, labels)
    model.compile("sgd", keras.losses.Dice(), run_eagerly=True)
    assert np.isfinite(model.fit(first, np.eye(5, dtype="float32")[ids], verbose=0).history["loss"]).all()


def test_the_config_is_edited_as_in_transformers(tmp_path, small_config):
    config = small_config
    config.update({"drop_path_rate": 0.2, "id2label": {0: "a", 1: "b"}})
    assert config.drop_path_rate == 0.2 and config.num_labels == 2 and config.label2id == {"a": 0, "b": 1}
    with pytest.raises(ValueError, match="drop_path_rate is 3, expected a rate"):
        config.update({"hidden_act": "relu", "drop_path_rate": 3})
    assert config.hidden_act == "gelu"
    config.update_from_string("drop_path_rate=0,hidden_act=relu,output_attentions=True")
    assert (config.drop_path_rate, config.hidden_act, config.output_attentions) == (0.0, "relu", True)
    for text, message in (
        ("nothing=1", "update_str has 'nothing=1'"),
        ("drop_path_rate=much", "drop_path_rate is 'much'"),
    ):
        with pytest.raises(ValueError, match=message):
            config.update_from_string(text)
    assert config.to_diff_dict().keys() >= {"depths", "hidden_act", "model_type"}
    assert "num_channels" not in config.to_diff_dict()
    config.to_json_file(tmp_path / "mine.json", use_diff=True)
    assert "num_channels" not in json.loads((tmp_path / "mine.json").read_text())
    assert SegformerConfig.from_json_file(tmp_path / "mine.json") == config
