"""From every format that needs no PyTorch into every other; those that need it are in tests/parity."""

import json
import shutil
import sys
import warnings

import numpy as np
import pytest
from random_checkpoints import random_variables
from safetensors.numpy import load_file, save_file

from segformer_tf import checkpoints
from segformer_tf.checkpoints import load, save
from segformer_tf.config import SegformerConfig
from segformer_tf.convert import convert

# Keras 3.15 turns TensorFlow variables into numpy in a way that numpy 2 warns about.
KERAS_SAVES = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def same(first, second):
    assert first.variables.keys() == second.variables.keys()
    for path, array in first.variables.items():
        np.testing.assert_array_equal(second.variables[path], array)


@pytest.mark.parametrize("name", ["hf4-seg", "hf4-cls"])
def test_safetensors_to_tf_and_back_is_exact(fixtures, tmp_path, name):
    written = convert(fixtures / name, tmp_path / "tf", format="h5")
    assert written == [tmp_path / "tf" / "config.json", tmp_path / "tf" / "tf_model.h5"]
    assert convert(tmp_path / "tf", tmp_path / "hub") == [
        tmp_path / "hub" / "config.json",
        tmp_path / "hub" / "model.safetensors",
    ]
    same(load(fixtures / name), load(tmp_path / "hub"))
    assert load(tmp_path / "hub").config == load(fixtures / name).config


def test_a_tf_model_h5_comes_with_the_name_of_gelu_that_its_classes_know(fixtures, tmp_path):
    """The two names are one function, by tanh."""
    changed = {"hidden_act": "gelu_pytorch_tanh"}
    convert(fixtures / "hf4-seg", tmp_path / "converted", format="h5", **changed)
    checkpoint = load(fixtures / "hf4-seg")
    checkpoints.save_h5(tmp_path / "saved", {**checkpoint.config, **changed}, checkpoint.variables)
    for name in ("converted", "saved"):
        assert load(tmp_path / name).config["hidden_act"] == "gelu_new"
    convert(fixtures / "hf4-seg", tmp_path / "hub", **changed)
    assert load(tmp_path / "hub").config["hidden_act"] == "gelu_pytorch_tanh"


def test_the_suffix_of_the_destination_names_the_format(fixtures, tmp_path):
    convert(fixtures / "hf4-seg", tmp_path / "mine.h5")
    assert load(tmp_path / "mine.h5").layout == "tf"
    convert(tmp_path / "mine.h5", tmp_path / "mine.safetensors")
    assert load(tmp_path / "mine.safetensors").layout == "hub"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "mine.h5", "mine.safetensors"]


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
def test_the_settings_of_the_image_processor_come_with_the_weights(fixtures, tmp_path, name):
    shutil.copytree(fixtures / "hf4-seg", tmp_path / "own")
    (tmp_path / "own" / name).write_text('{"size": {"height": 64, "width": 96}}')
    for source, goal, format in (("own", "tf", "h5"), ("tf/tf_model.h5", "hub", None)):
        written = convert(tmp_path / source, tmp_path / goal, format=format)
        assert written[2:] == [tmp_path / goal / name]
        assert written[2].read_text() == (tmp_path / "own" / name).read_text()
    assert convert(tmp_path / "hub", tmp_path / "hub")[2:] == []  # it is there


@KERAS_SAVES
@pytest.mark.parametrize("name", ["hf4-seg", "hf4-cls", "encoder"])
def test_safetensors_to_keras_and_back_is_exact(fixtures, tmp_path, name):
    source = fixtures / name
    if name == "encoder":
        source = tmp_path / "encoder"
        source.mkdir()
        tensors = load_file(fixtures / "hf4-cls" / "model.safetensors")
        save_file({k: v for k, v in tensors.items() if k.startswith("segformer")}, source / "model.safetensors")
        shutil.copy(fixtures / "hf4-cls" / "config.json", source)
    assert convert(source, tmp_path / "m.keras") == [tmp_path / "m.keras"]
    convert(tmp_path / "m.keras", tmp_path / "back")
    same(load(source), load(tmp_path / "back"))
    ignored = ("architectures",)  # of the encoder's config, which was the classifier's
    before, after = load(source).config, load(tmp_path / "back").config
    assert {k: v for k, v in before.items() if k not in ignored} == {k: v for k, v in after.items() if k not in ignored}


def test_config_keys_given_replace_the_checkpoints_own(fixtures, tmp_path):
    convert(fixtures / "hf4-seg", tmp_path / "m", num_attention_heads=[1, 1, 1, 1])
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["num_attention_heads"] == [1, 1, 1, 1]


@KERAS_SAVES
@pytest.mark.parametrize("source", ["hub", "m.keras"])
def test_overrides_are_checked_and_follow_each_other_whatever_the_source_is(fixtures, tmp_path, source):
    convert(fixtures / "hf4-seg", tmp_path / source)
    names = {i: f"class {i}" for i in range(5)}
    convert(tmp_path / source, tmp_path / "named", id2label=names)
    config = json.loads((tmp_path / "named" / "config.json").read_text())
    assert config["label2id"] == {name: i for i, name in names.items()} and config["id2label"]["4"] == "class 4"
    convert(tmp_path / source, tmp_path / "named", merge_queries=[1], num_labels=5)
    assert load(tmp_path / "named").config["merge_queries"] == [1]
    for wrong, message in [
        ({"hidden_act": "foo"}, "hidden_act is 'foo', expected one of"),
        ({"depths": [1, 1, 1, 2]}, "do not fit the model"),
        ({"num_labels": 3}, r"decode_head\.classifier\.weight is \(5, 16, 1, 1\), expected \(3, 16, 1, 1\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            convert(tmp_path / source, tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


@KERAS_SAVES
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_keras_file_is_refused_with_what_to_do(tmp_path, small_config):
    from segformer_tf import TFSegformerModel

    model = TFSegformerModel(small_config)
    model.quantize("int8")
    model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"^The model is quantized \(int8\), and the Hub's files hold floats"):
        convert(tmp_path / "m.keras", tmp_path / "out")


def test_a_name_that_loading_takes_for_a_file_of_keras_hub_is_refused(fixtures, tmp_path):
    with pytest.raises(ValueError, match=r"x\.weights\.h5 ends in \.weights\.h5, .*: call it tf_model\.h5"):
        convert(fixtures / "hf4-seg", tmp_path / "x.weights.h5")
    assert not any(tmp_path.iterdir())
    (tmp_path / "x.weights.h5").mkdir()  # a directory may be called so
    convert(fixtures / "hf4-seg", tmp_path / "x.weights.h5", format="h5")
    assert load(tmp_path / "x.weights.h5").layout == "tf"


def test_an_incomplete_checkpoint_is_refused_and_the_destination_left_as_it_was(fixtures, tmp_path):
    tensors = load_file(fixtures / "hf4-seg" / "model.safetensors")
    del tensors["segformer.encoder.block.1.1.mlp.dense1.bias"]
    tensors["more.weight"] = np.zeros(1, np.float32)
    (tmp_path / "broken").mkdir()
    save_file(tensors, tmp_path / "broken" / "model.safetensors")
    shutil.copy(fixtures / "hf4-seg" / "config.json", tmp_path / "broken")
    (tmp_path / "tf_model.h5").write_text("old")
    with pytest.raises(
        ValueError, match=r"1 missing: segformer\.encoder\.block\.1\.1\.mlp\.dense1\.bias; 1 unexpected: more\.weight"
    ):
        convert(tmp_path / "broken", tmp_path / "tf_model.h5")
    assert (tmp_path / "tf_model.h5").read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken", "tf_model.h5"]


def test_a_config_that_asks_for_other_shapes_is_refused(fixtures, tmp_path):
    with pytest.raises(
        ValueError, match=r"decode_head\.linear_fuse\.weight is \(16, 64, 1, 1\), expected \(8, 32, 1, 1\)"
    ):
        convert(fixtures / "hf4-seg", tmp_path / "m", decoder_hidden_size=8)
    with pytest.raises(ValueError, match=r"num_attention_heads is \[3, 3, 3, 3\], expected numbers that divide"):
        convert(fixtures / "hf4-seg", tmp_path / "m", num_attention_heads=[3, 3, 3, 3])
    assert not (tmp_path / "m").exists()


def test_unknown_formats_and_a_format_against_the_suffix_are_refused(fixtures, tmp_path):
    with pytest.raises(ValueError, match=r"format is 'onnx'; expected one of safetensors, h5, bin, pth, keras"):
        convert(fixtures / "hf4-seg", tmp_path / "m", format="onnx")
    with pytest.raises(ValueError, match=r"m\.h5 ends in \.h5 but format is 'keras'; make them agree"):
        convert(fixtures / "hf4-seg", tmp_path / "m.h5", format="keras")


@pytest.mark.parametrize("name", ["m.pt", "a.ckpt", "m.msgpack", "m.safetensor", "M.H5", "m.kera", "m.npz"])
def test_a_suffix_of_another_format_is_refused(fixtures, tmp_path, name):
    listed = r"expected one of \.safetensors, \.h5, \.bin, \.pth, \.keras, or a directory's name"
    with pytest.raises(ValueError, match=rf"{name} ends in \.\w+, which is no format here; {listed}"):
        convert(fixtures / "hf4-seg", tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_formats_for_runtimes_point_to_export_and_misspelt_ones_to_the_nearest(fixtures, tmp_path):
    for name in ("m.onnx", "m.tflite", "openvino_model.xml"):
        with pytest.raises(
            ValueError, match=rf"{name} ends in .*, which `segformer-tf export` writes; expected one of"
        ):
            convert(fixtures / "hf4-seg", tmp_path / name)
    with pytest.raises(ValueError, match=r"did you mean \.safetensors\?"):
        convert(fixtures / "hf4-seg", tmp_path / "m.safetensor")


def test_directories_may_have_a_dot(fixtures, tmp_path):
    (tmp_path / "old.pt").mkdir()
    for name in ("segformer-b0.v2", "old.pt", "new.ckpt/", "1.0", ".hidden"):
        files = convert(fixtures / "hf4-seg", f"{tmp_path}/{name}")
        assert files == [tmp_path / name / "config.json", tmp_path / name / "model.safetensors"]


def test_the_contracts_name_is_the_same_function():
    assert checkpoints.convert is convert and "convert" in checkpoints.__all__
    with pytest.raises(AttributeError, match="has no attribute 'converts'; its public names are Checkpoint, "):
        _ = checkpoints.converts


@KERAS_SAVES
def test_a_keras_file_that_is_missing_or_another_model_is_refused(tmp_path):
    import keras

    with pytest.raises(FileNotFoundError, match=r"There is no file .*gone\.keras"):
        convert(tmp_path / "gone.keras", tmp_path / "out")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"other\.keras is not a SegFormer of this package saved by Keras"):
        convert(tmp_path / "other.keras", tmp_path / "out")
    (tmp_path / "broken.keras").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"broken\.keras is not a SegFormer of this package saved by Keras"):
        convert(tmp_path / "broken.keras", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_formats_of_pytorch_without_it_leave_nothing_behind(fixtures, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pytorch_model\.bin needs PyTorch: run `pip install 'segformer-tf\["):
        convert(fixtures / "hf4-seg", tmp_path / "m", format="bin")
    assert list(tmp_path.iterdir()) == []


def lost(monkeypatch, source, file, **overrides):
    """What `convert` warns of, with a writer in place of PyTorch's."""
    monkeypatch.setattr("segformer_tf.checkpoints.formats.write_torch", lambda file, *_: file.touch())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        convert(source, file, **overrides)
    return [str(warning.message) for warning in caught]


def test_a_pth_tells_what_its_names_cannot_carry(fixtures, tmp_path, monkeypatch):
    as_inferred = {"encoder_norm_eps": 1e-6, "num_attention_heads": [1, 2, 5, 8]}
    sizes = {"hidden_sizes": [8, 16, 40, 32], "depths": [1] * 4, "decoder_hidden_size": 4}
    config = SegformerConfig(**sizes, **as_inferred, id2label={0: "sky", 1: "road"})
    source = tmp_path / "source"
    save(source, config.to_dict(), random_variables(config.to_dict(), "decode_head"))
    assert lost(monkeypatch, source, tmp_path / "m.pth") == []  # the classes' names go with the file
    changed = {
        "hidden_act": "relu",
        "merge_queries": [1],
        "semantic_loss_ignore_index": 0,
        "num_attention_heads": [1] * 4,
    }
    (told,) = lost(monkeypatch, source, tmp_path / "m.pth", **changed, strides=[2] * 4)
    for key, value in {**changed, "strides": [2] * 4}.items():
        assert f"{key}={value!r} (from the file: " in told
    assert told.count("from the file") == 5 and "put the checkpoint's config.json beside the file" in told
    (told,) = lost(monkeypatch, source, tmp_path / "m.pth", encoder_norm_eps=1e-5)
    assert "from_pretrained takes encoder_norm_eps=1e-5" in told
    save(
        source,
        {**config.to_dict(), "class_colors": {"sky": [0, 0, 255]}},
        random_variables(config.to_dict(), "decode_head"),
    )
    (told,) = lost(monkeypatch, source, tmp_path / "m.pth")
    assert "class_colors={'sky': [0, 0, 255]} (from the file: None)" in told
    odd = SegformerConfig(
        **{**sizes, "hidden_sizes": [8, 16, 24, 32]}, num_attention_heads=[1] * 4, encoder_norm_eps=1e-6
    )
    save(tmp_path / "odd", odd.to_dict(), random_variables(odd.to_dict(), "decode_head"))
    (told,) = lost(monkeypatch, tmp_path / "odd", tmp_path / "m.pth")  # sizes that b0's heads do not divide
    assert "num_attention_heads=[1, 1, 1, 1] (from the file: [1, 2, 5, 8])" in told
    save(source, config.to_dict(), random_variables(config.to_dict(), None))
    (told,) = lost(monkeypatch, source, tmp_path / "m.pth")
    assert "id2label={0: 'sky', 1: 'road'}" in told and "label2id" not in told
