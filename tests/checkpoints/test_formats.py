"""Weight files: read whatever writers make, refuse what is damaged, write whole files or none."""

import json
import shutil
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from segformer_tf.checkpoints import formats, hdf5, load, names


def test_safetensors_are_mapped_and_not_copied(fixtures):
    tensors, metadata = formats.read(fixtures / "hf4-seg" / "model.safetensors")
    assert metadata == {"format": "pt"}
    assert len(tensors) == 146
    array = tensors["decode_head.linear_fuse.weight"]
    assert array.shape == (16, 64, 1, 1) and array.dtype == np.float32
    assert not array.flags.owndata and not array.flags.writeable
    assert tensors["decode_head.batch_norm.num_batches_tracked"].dtype == np.int64


def test_the_tf_file_holds_the_same_values_as_the_safetensors_file(fixtures):
    for directory in ("hf4-seg", "hf4-cls"):
        hub, _ = names.to_variables(formats.read(fixtures / directory / "model.safetensors")[0], "hub")
        tensors, metadata = formats.read(fixtures / directory / "tf_model.h5")
        tf, unexpected = names.to_variables(tensors, "tf")
        assert metadata["format"] == "tf" and unexpected == [] and tf.keys() == hub.keys()
        for path, array in hub.items():
            np.testing.assert_array_equal(tf[path], array)


def test_safetensors_of_transformers_tf_classes_are_read(fixtures, tmp_path):
    variables, _ = names.to_variables(formats.read(fixtures / "hf4-seg" / "model.safetensors")[0], "hub")
    tensors = names.from_variables(variables, "tf")
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, tmp_path / "m.safetensors", {"format": "tf"})
    tensors, metadata = formats.read(tmp_path / "m.safetensors")
    assert metadata == {"format": "tf"} and names.detect_layout(tensors) == "tf"
    back, unexpected = names.to_variables(tensors, "tf")
    assert unexpected == [] and back.keys() == variables.keys()


@given(values=st.lists(st.floats(width=16), min_size=1, max_size=9))
@settings(max_examples=30, deadline=None)
def test_half_precision_becomes_float32_exactly(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("half") / "m.safetensors"
    half = np.array(values, np.float16)
    bfloat = np.array(values, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    raw = (bfloat >> 16).astype("<u2").tobytes()
    header = {
        "a": {"dtype": "F16", "shape": [len(values)], "data_offsets": [0, half.nbytes]},
        "b": {"dtype": "BF16", "shape": [len(values)], "data_offsets": [half.nbytes, half.nbytes + len(raw)]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + half.tobytes() + raw)
    tensors, _ = formats.read(path)
    assert tensors["a"].dtype == tensors["b"].dtype == np.float32
    np.testing.assert_array_equal(tensors["a"], half.astype(np.float32))
    np.testing.assert_array_equal(tensors["b"], bfloat.view(np.float32))


def test_a_type_that_cannot_be_read_is_named(tmp_path):
    text = json.dumps({"w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"\0")
    with pytest.raises(ValueError, match=r"tensor w has type F8_E4M3; expected one of F64, F32"):
        formats.read(tmp_path / "m.safetensors")


def test_shards_are_joined_and_a_missing_one_is_named(tmp_path):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": np.zeros(3, np.float32)}, tmp_path / "model-00002-of-00002.safetensors")
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    tensors, _ = formats.read(index)
    assert {name: array.shape for name, array in tensors.items()} == {"a": (2,), "b": (3,)}
    index.write_text(json.dumps({"weight_map": {**weight_map, "c": "model-00002-of-00002.safetensors"}}))
    with pytest.raises(ValueError, match=r"index\.json lists tensors that its shards lack: c;"):
        formats.read(index)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lists the shard model-00002-of-00002\.safetensors, which is not there"
    ):
        formats.read(index)


@pytest.mark.parametrize("home", ["1", "2"])
def test_a_tensor_comes_from_the_shard_that_the_index_names(tmp_path, home):
    for shard in "12":
        stale_or_not = np.full(2, shard == home, np.float32)
        save_file({"a": stale_or_not, f"only-{shard}": np.ones(1, np.float32)}, tmp_path / f"{shard}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    weight_map = {"a": f"{home}.safetensors", "only-1": "1.safetensors", "only-2": "2.safetensors"}
    index.write_text(json.dumps({"weight_map": weight_map}))
    tensors, _ = formats.read(index)
    assert tensors["a"].all() and tensors.keys() == weight_map.keys()
    weight_map["only-1"] = "2.safetensors"
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ValueError, match=r"index\.json lists tensors that its shards lack: only-1;"):
        formats.read(index)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match="an index of shards"):
        formats.read(tmp_path / "model.safetensors.index.json")


@pytest.mark.parametrize("name", ["model.safetensors", "tf_model.h5"])
def test_a_damaged_file_is_refused_with_its_name(fixtures, tmp_path, name):
    whole = (fixtures / "hf4-seg" / name).read_bytes()
    path = tmp_path / name
    for content, text in (
        (whole[: len(whole) // 2], "is not a whole"),
        (b"not weights at all, but some text", "is not a whole"),
        (b"", r"is empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=text) as error:
            formats.read(path)
        assert str(path) in str(error.value)


def test_a_missing_file_and_an_unknown_suffix_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no weight file .*gone\.safetensors"):
        formats.read(tmp_path / "gone.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"has the suffix '\.onnx'; expected a weight file with \.safetensors"):
        formats.read(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["mit_b0.pth.tar", "model.pt", "last.ckpt"])
def test_other_suffixes_of_pytorch_are_to_be_renamed(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=rf"{name} has the suffix '\.\w+'; if PyTorch wrote it, rename it to \.pth"):
        formats.read(tmp_path / name)


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("layers", r"a Keras 3 \.weights\.h5 file"),
        ("model_weights", "a whole model saved by Keras 2"),
        ("x", "without"),
    ],
)
def test_other_hdf5_files_are_refused_by_what_they_are(tmp_path, group, kind):
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file.create_group(group)
    with pytest.raises(ValueError, match=rf"{kind}.*expected a tf_model\.h5"):
        formats.read(tmp_path / "m.weights.h5")


def structure(path):
    with h5py.File(path) as file:
        attributes = {"/": list(file.attrs["layer_names"])}
        attributes |= {name: sorted(group.attrs["weight_names"]) for name, group in file.items()}
        datasets = {}
        file.visititems(lambda name, item: datasets.update({name: item.shape}) if hasattr(item, "shape") else None)
    return attributes, datasets


@pytest.mark.parametrize("directory", ["hf4-seg", "hf4-cls"])
def test_the_h5_file_has_the_groups_attributes_and_shapes_of_transformers_own(fixtures, tmp_path, directory):
    variables, _ = names.to_variables(formats.read(fixtures / directory / "model.safetensors")[0], "hub")
    hdf5.write_h5(tmp_path / "tf_model.h5", names.from_variables(variables, "tf"))
    written, reference = structure(tmp_path / "tf_model.h5"), structure(fixtures / directory / "tf_model.h5")
    assert sorted(written[0]["/"]) == sorted(reference[0]["/"])
    assert written[1] == reference[1]
    assert {**written[0], "/": None} == {**reference[0], "/": None}


def test_the_h5_file_of_an_encoder_names_the_bare_model(fixtures, tmp_path):
    variables, _ = names.to_variables(formats.read(fixtures / "hf4-cls" / "model.safetensors")[0], "hub")
    encoder = {path: array for path, array in variables.items() if not path.startswith("classifier")}
    hdf5.write_h5(tmp_path / "tf_model.h5", names.from_variables(encoder, "tf"))
    attributes, datasets = structure(tmp_path / "tf_model.h5")
    assert attributes["/"] == ["segformer"]
    assert "segformer/tf_segformer_model/segformer/encoder/layer_norm.0/gamma:0" in datasets


def test_the_h5_file_takes_more_names_than_an_hdf5_attribute_of_fixed_strings_could(tmp_path):
    tensors = {f"segformer/encoder/block.2.{i}/mlp/dense1/kernel:0": np.zeros((1, 1)) for i in range(1500)}
    hdf5.write_h5(tmp_path / "tf_model.h5", tensors)
    assert formats.read(tmp_path / "tf_model.h5")[0].keys() == {f"tf_segformer_model/{name}" for name in tensors}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "segformer.pth"])
def test_without_pytorch_the_error_says_what_to_install_and_what_to_convert(fixtures, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "torch", None)
    directory = "hf4-seg" if name.endswith(".bin") else "nvlabs"
    with pytest.raises(
        ImportError, match=rf"{name} needs PyTorch: run `pip install 'segformer-tf\[torch\]'`, or convert"
    ):
        formats.read(fixtures / directory / name)


@pytest.mark.parametrize("suffix", ["safetensors", "h5"])
def test_shards_of_the_tensorflow_classes_are_read_whose_index_alone_names_the_model(fixtures, tmp_path, suffix):
    whole = load(fixtures / "hf4-seg")
    tensors = names.from_variables(whole.variables, "tf")
    shutil.copy(fixtures / "hf4-seg" / "config.json", tmp_path)
    weight_map = {}
    for number, keys in enumerate((list(tensors)[::2], list(tensors)[1::2])):
        shard = tmp_path / f"part-{number}.{suffix}"
        if suffix == "safetensors":
            save_file({key: np.ascontiguousarray(tensors[key]) for key in keys}, shard, metadata={"format": "tf"})
        else:
            with h5py.File(shard, "w") as file:
                file.attrs["layer_names0"], file.attrs["layer_names1"] = (keys[:9], keys[9:])  # as long lists are
                for key in keys:
                    file[key] = tensors[key]
        weight_map |= {f"tf_segformer_for_semantic_segmentation/{key}": shard.name for key in keys}
    index = "tf_model.h5.index.json" if suffix == "h5" else "model.safetensors.index.json"
    (tmp_path / index).write_text(json.dumps({"weight_map": weight_map}))
    found = load(tmp_path)
    assert found.layout == "tf" and found.variables.keys() == whole.variables.keys()
    for path, array in whole.variables.items():
        np.testing.assert_array_equal(found.variables[path], array)


def test_each_shard_is_checked_before_it_is_read(tmp_path):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "1.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors"}}))
    seen = []
    formats.read(index, seen.append)
    assert [{name: tuple(shape) for name, shape in shapes.items()} for shapes in seen] == [{"a": (2,)}]
