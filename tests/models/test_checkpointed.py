import json

import keras
import numpy as np
import pytest
from reference import FIXTURES, SMALL, TINY, relative_difference

from segformer_tf import (
    SegformerConfig,
    TFSegformerDecodeHead,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
    TFSegformerModel,
)


@pytest.mark.parametrize(
    "cls",
    [TFSegformerModel, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation],
)
def test_what_is_saved_comes_back_exactly(tmp_path, tiny_config, pixels, cls):
    model = cls(tiny_config)
    model.save_pretrained(tmp_path)
    again, report = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert (again(pixels)[0].numpy() == model(pixels)[0].numpy()).all()
    assert report == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    assert again.config.to_dict() == {
        **tiny_config.to_dict(),
        "architectures": [cls.__name__.removeprefix("TF")],
    }
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "segformer"


def test_a_new_task_takes_the_encoder_and_names_its_new_head(tmp_path, tiny_config, pixels):
    classifier = TFSegformerForImageClassification(tiny_config)
    classifier.save_pretrained(tmp_path)
    with pytest.warns(UserWarning) as warned:
        segmenter, report = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path, output_loading_info=True)
    assert any("has no decode_head.linear_c.0.proj.weight" in str(warning.message) for warning in warned)
    assert any("left out: classifier." in str(warning.message) for warning in warned)
    assert len(report["missing_keys"]) == 15 and set(report["unexpected_keys"]) == {
        "classifier.weight",
        "classifier.bias",
    }
    maps = [model(pixels, output_hidden_states=True).hidden_states[-1] for model in (classifier, segmenter)]
    assert relative_difference(*maps) < 1e-6


def test_other_classes_need_permission(pixels):
    directory = FIXTURES / "hf4-seg"
    with pytest.raises(ValueError, match=r"decode_head.classifier.weight is \(5, 16, 1, 1\), expected \(3, 16, 1, 1\)"):
        TFSegformerForSemanticSegmentation.from_pretrained(directory, num_labels=3)
    with pytest.warns(UserWarning, match="start from random values"):
        model = TFSegformerForSemanticSegmentation.from_pretrained(
            directory, id2label={0: "a", 1: "b", 2: "c"}, ignore_mismatched_sizes=True
        )
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"} and model(pixels).logits.shape[-1] == 3


def test_arguments_reach_config_and_model(pixels):
    model = TFSegformerForSemanticSegmentation.from_pretrained(
        FIXTURES / "hf4-seg", data_format="channels_first", dtype="mixed_bfloat16", drop_path_rate=0.0
    )
    assert (model.data_format, model.compute_dtype, model.config.drop_path_rate) == ("channels_first", "bfloat16", 0.0)


def test_another_configuration_is_taken_and_keywords_win_over_it(tmp_path):
    names = {i: f"other {i}" for i in range(5)}
    other = SegformerConfig(**TINY | {"num_labels": None}, id2label=names, drop_path_rate=0.7, hidden_act="relu")
    other.save_pretrained(tmp_path)
    for config in (other, tmp_path, str(tmp_path)):
        found = TFSegformerDecodeHead.from_pretrained(FIXTURES / "hf4-seg", config=config, drop_path_rate=0.2).config
        assert (found.id2label, found.hidden_act, found.drop_path_rate) == (names, "relu", 0.2)


def test_classes_may_be_named_by_their_ids_alone():
    ids = {"e": 4, "d": 3, "c": 2, "b": 1, "a": 0}
    model = TFSegformerDecodeHead.from_pretrained(FIXTURES / "hf4-seg", label2id=ids)
    assert model.config.id2label == dict(enumerate("abcde"))
    with pytest.raises(ValueError, match=r"classifier.weight is \(5, 16, 1, 1\), expected \(2, 16, 1, 1\)"):
        TFSegformerDecodeHead.from_pretrained(FIXTURES / "hf4-seg", label2id={"a": 0, "b": 1})
    with pytest.raises(ValueError, match=r"label2id is .*, expected the ids of id2label"):
        TFSegformerDecodeHead.from_pretrained(FIXTURES / "hf4-seg", label2id=ids, id2label={0: "a", 1: "c"})


def test_every_argument_for_the_hub_reaches_it(hub, tmp_path):
    files = {name: (FIXTURES / "hf4-seg" / name).read_bytes() for name in ("config.json", "tf_model.h5")}
    hub.repos["some-one/closed"] = {"main": {}, "other": {f"deep/{name}": data for name, data in files.items()}}
    hub.gated.add("some-one/closed")
    arguments = {"revision": "other", "subfolder": "deep", "cache_dir": tmp_path / "own"}

    def load(**more):
        hub.requests.clear()
        TFSegformerDecodeHead.from_pretrained("some-one/closed", **arguments, **more)
        return {method for method, _, _ in hub.requests}

    with pytest.raises(OSError, match="token"):
        load()
    assert load(token="secret") == {"HEAD", "GET"}
    assert [*(tmp_path / "own").rglob("deep/tf_model.h5")] and not (tmp_path / "cache").exists()
    assert load(token="secret") == {"HEAD"}
    assert load(token="secret", force_download=True) == {"HEAD", "GET"}
    assert load(local_files_only=True) == set()
    with pytest.raises(FileNotFoundError, match=r"looked for model\.safetensors, model\.safetensors\.index\.json in"):
        load(token="secret", use_safetensors=True)


def test_none_takes_a_key_of_the_checkpoint_away_and_leaves_its_classes(tmp_path):
    SegformerConfig(**{**TINY, "merge_queries": [1]}).save_pretrained(tmp_path)
    TFSegformerModel(SegformerConfig.from_pretrained(tmp_path)).save_pretrained(tmp_path)
    assert TFSegformerModel.from_pretrained(tmp_path).config.merge_queries == [1]
    config = TFSegformerModel.from_pretrained(tmp_path, merge_queries=None, num_labels=None).config
    assert config.merge_queries is None and config.num_labels == 5


def test_the_decode_head_loads_from_a_segmentation_checkpoint():
    whole = TFSegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg")
    pixels = np.load(FIXTURES / "hf4-seg" / "golden.npz")["pixel_values.0"].transpose(0, 2, 3, 1)
    output = whole(pixels, output_hidden_states=True)
    head = TFSegformerDecodeHead.from_pretrained(FIXTURES / "hf4-seg")
    assert relative_difference(head(output.hidden_states), output.logits) < 1e-6


def test_everything_that_does_not_fit_is_listed(tmp_path, tiny_config):
    TFSegformerForSemanticSegmentation(tiny_config).save_pretrained(tmp_path)
    deeper = SegformerConfig(**{**TINY, "depths": [1, 1, 1, 2], "architectures": ["SegformerForSemanticSegmentation"]})
    deeper.save_pretrained(tmp_path)
    with pytest.raises(ValueError) as raised:
        TFSegformerForSemanticSegmentation.from_pretrained(tmp_path)
    message = str(raised.value)
    assert str(tmp_path / "model.safetensors") in message
    assert "missing: segformer.encoder.block.3.1.layer_norm_1.weight" in message
    assert "unexpected: segformer.encoder.block.1.1." in message


def test_a_directory_that_cannot_be_written_is_an_error_and_nothing_is_lost(tmp_path, tiny_config):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        TFSegformerModel(tiny_config).save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_two_checkpoints_of_names_of_their_own_are_one_keras_model(tmp_path, pixels):
    first, second = (
        TFSegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg", name=name)
        for name in ("first", "second")
    )
    inputs = keras.Input((None, None, 3))
    both = keras.Model(inputs, keras.ops.add(first(inputs)["logits"], second(inputs)["logits"]))
    expected = first(pixels).logits + second(pixels).logits
    assert relative_difference(both(pixels), expected) < 1e-5
    both.save(tmp_path / "both.keras")
    assert relative_difference(keras.saving.load_model(tmp_path / "both.keras")(pixels), expected) < 1e-5
    assert TFSegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg").name != first.name
    frozen = TFSegformerDecodeHead.from_pretrained(FIXTURES / "hf4-seg", name="head", trainable=False)
    assert frozen.name == "head" and not frozen.trainable_weights


def test_a_part_with_one_output_is_a_step_of_sequential_and_time_distributed(pixels):
    model = TFSegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg")
    plain, expected = keras.Model(model.inputs, model.outputs[0]), model(pixels).logits
    assert relative_difference(keras.Sequential([plain, keras.layers.ReLU()])(pixels), np.maximum(expected, 0)) < 1e-5
    assert relative_difference(keras.layers.TimeDistributed(plain)(pixels[:, None])[:, 0], expected) < 1e-5


def test_a_dtype_of_pytorch_is_told_to_have_no_effect():
    with pytest.warns(UserWarning, match=r"takes torch_dtype from .* a Keras dtype policy is given by dtype"):
        model = TFSegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg", torch_dtype="bfloat16")
    assert model.dtype_policy.name == "float32" and not hasattr(model.config, "torch_dtype")


def test_a_configuration_from_the_hub_comes_with_the_token_and_the_cache_of_the_call(hub, tmp_path):
    hub.repos["some-one/closed"] = {"main": {"config.json": (FIXTURES / "hf4-seg" / "config.json").read_bytes()}}
    hub.gated.add("some-one/closed")
    arguments = {"config": "some-one/closed", "cache_dir": tmp_path / "own"}
    with pytest.raises(OSError, match="token"):
        TFSegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg", **arguments)
    model = TFSegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg", **arguments, token="secret")
    assert model.config.num_labels == 5 and [*(tmp_path / "own").rglob("config.json")]


class OfTransformers:
    """What transformers' SegformerConfig is to this package."""

    def to_diff_dict(self):
        return {**SMALL, "model_type": "segformer", "transformers_version": "4.57.6"}


@pytest.mark.parametrize("cls", [TFSegformerDecodeHead, TFSegformerForSemanticSegmentation])
def test_a_configuration_may_be_a_dictionary_or_transformers_own(tmp_path, cls, small_config):
    cls(small_config).save_pretrained(tmp_path)
    for config in (OfTransformers(), OfTransformers().to_diff_dict(), small_config):
        models = cls(config), cls.from_config(config), cls.from_pretrained(tmp_path, config=config)
        assert [model.config.hidden_sizes for model in models] == [SMALL["hidden_sizes"]] * 3
    assert cls(small_config).config is small_config
    with pytest.raises(ValueError, match="config is a list, expected a SegformerConfig"):
        cls([])
    with pytest.raises(ValueError, match="model_type is 'bert'"):
        cls({"model_type": "bert"})


@pytest.mark.parametrize("value", [True, False])
def test_a_second_argument_that_is_no_size_is_refused_before_anything_is_written(tmp_path, small_config, value):
    """It is `saved_model` in transformers' TensorFlow classes."""
    with pytest.raises(ValueError, match=f"max_shard_size is {value}; .*: give saved_model by its name"):
        TFSegformerModel(small_config).save_pretrained(tmp_path / "new", value)
    assert not (tmp_path / "new").exists()


def test_tf_model_h5_is_one_file_or_an_error(tmp_path, small_config):
    model = TFSegformerModel(small_config)
    model.save_pretrained(tmp_path / "one", safe_serialization=False, max_shard_size="5GB")
    assert (tmp_path / "one" / "tf_model.h5").is_file()
    with pytest.raises(
        ValueError, match=r"tf_model\.h5 would be larger than max_shard_size = '1KB', expected one file"
    ):
        model.save_pretrained(tmp_path / "several", safe_serialization=False, max_shard_size="1KB")
    assert not (tmp_path / "several").exists()
