"""Load from anywhere, save as on the Hub."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from random_checkpoints import checkpoints

from segformer_tf.checkpoints import load, save, save_h5


@pytest.mark.parametrize("name", ["hf4-seg", "hf4-cls"])
def test_a_directory_a_file_and_a_tf_file_give_the_same_checkpoint(fixtures, name):
    whole = load(fixtures / name)
    assert whole.file.name == "model.safetensors" and whole.layout == "hub" and whole.unexpected == []
    for file in ("model.safetensors", "tf_model.h5"):
        other = load(fixtures / name / file)
        assert other.config == whole.config and other.variables.keys() == whole.variables.keys()


def test_one_file_without_a_config_is_read_by_its_shapes(fixtures, tmp_path):
    shutil.copy(fixtures / "hf4-seg" / "model.safetensors", tmp_path / "weights.safetensors")
    with pytest.warns(UserWarning, match="is read off its tensors, and no published SegFormer has depths"):
        config = load(tmp_path / "weights.safetensors").config
    own = load(fixtures / "hf4-seg").config
    assert {key: own[key] for key in config if key not in ("id2label", "label2id")} == {
        key: value for key, value in config.items() if key not in ("id2label", "label2id")
    }


@settings(max_examples=15, deadline=None)
@given(checkpoint=checkpoints())
def test_what_is_saved_loads_with_the_same_bits_and_config(tmp_path_factory, checkpoint):
    config, _, variables = checkpoint
    directory = tmp_path_factory.mktemp("saved")
    save(directory, config, variables)
    back = load(directory)
    assert back.config == config
    assert back.variables.keys() == variables.keys()
    for path, array in variables.items():
        np.testing.assert_array_equal(back.variables[path], array)


def test_keys_that_nobody_knows_are_written_back_and_the_architecture_follows_the_variables(fixtures, tmp_path):
    checkpoint = load(fixtures / "hf4-seg")
    encoder = {k: v for k, v in checkpoint.variables.items() if not k.startswith("decode_head")}
    save(tmp_path, {**checkpoint.config, "my_key": [1, 2], "id2label": {10: "a", 9: "b"}}, encoder)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["my_key"] == [1, 2] and written["architectures"] == ["SegformerModel"]
    assert list(written["id2label"]) == ["9", "10"]


@pytest.mark.parametrize("write", [save, save_h5])
def test_config_json_names_the_type_that_is_written_and_not_the_one_that_was_read(fixtures, tmp_path, write):
    checkpoint = load(fixtures / "hf4-seg")
    write(tmp_path, {**checkpoint.config, "dtype": "float16", "torch_dtype": "bfloat16"}, checkpoint.variables)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["dtype"] == written["torch_dtype"] == "float32"


def test_shards_are_written_with_an_index_and_replace_a_single_file_and_the_other_way_round(fixtures, tmp_path):
    checkpoint = load(fixtures / "hf4-seg")
    save(tmp_path, checkpoint.config, checkpoint.variables)
    save(tmp_path, checkpoint.config, checkpoint.variables, max_shard_size="100KB")
    found = sorted(file.name for file in tmp_path.iterdir())
    assert found == [
        "config.json",
        *(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)),
        "model.safetensors.index.json",
    ]
    assert all((tmp_path / file).stat().st_size < 110_000 for file in found)
    back = load(tmp_path)
    assert back.variables.keys() == checkpoint.variables.keys()
    save(tmp_path, checkpoint.config, checkpoint.variables)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_saving_over_the_directory_that_was_loaded_keeps_the_values(fixtures, tmp_path):
    shutil.copytree(fixtures / "hf4-cls", tmp_path / "model")
    checkpoint = load(tmp_path / "model")
    expected = checkpoint.variables["classifier/kernel"].copy()
    save(tmp_path / "model", checkpoint.config, checkpoint.variables)
    np.testing.assert_array_equal(load(tmp_path / "model").variables["classifier/kernel"], expected)


class Stop(Exception):
    """The process ends here."""


@pytest.mark.parametrize("new_size", [None, "50KB", "100KB"])
@pytest.mark.parametrize("old_size", [None, "100KB"])
def test_a_save_over_another_stopped_between_any_two_steps_leaves_one_of_them_whole(
    fixtures, tmp_path, monkeypatch, old_size, new_size
):
    checkpoint = load(fixtures / "hf4-seg")
    new = {path: array + 1 for path, array in checkpoint.variables.items()}
    found = set()
    for stop in range(100):
        directory, steps = tmp_path / str(stop), iter(range(100))
        save(directory, checkpoint.config, checkpoint.variables, old_size)
        with monkeypatch.context() as patch:
            for name in ("replace", "unlink", "rename", "rmdir"):
                patch.setattr(os, name, _counted(getattr(os, name), steps, stop))
            patch.setattr(shutil, "rmtree", lambda *arguments, **options: None)  # as if killed: drafts stay
            try:
                save(directory, {**checkpoint.config, "stamp": "new"}, new, new_size)
                finished = True
            except Stop:
                finished = False
        back = load(directory)
        differences = {float((back.variables[path] - array).min()) for path, array in new.items()}
        assert differences in ({0.0}, {-1.0}) or max(differences) - min(differences) < 1e-3, differences
        found.add(max(differences) > -0.5)
        assert (back.config.get("stamp") == "new") == (max(differences) > -0.5)  # never one's config, another's weights
        save(directory, checkpoint.config, new, new_size)  # and the next save leaves nothing of the broken one
        left = [file.name for file in directory.glob("model*.safetensors")]
        assert sorted(left) == sorted({file.name for file in _files_of(directory)})
        if finished:
            break
    assert finished and found == {True, False}


def _counted(real, steps, stop):
    def step(*arguments, **options):
        if next(steps) == stop:
            raise Stop
        return real(*arguments, **options)

    return step


def _files_of(directory):
    index = directory / "model.safetensors.index.json"
    if not index.exists():
        return [directory / "model.safetensors"]
    return {directory / name for name in json.loads(index.read_text())["weight_map"].values()}


def test_an_h5_file_beside_weights_that_loading_prefers_is_warned_of(fixtures, tmp_path):
    checkpoint = load(fixtures / "hf4-seg")
    save(tmp_path, checkpoint.config, checkpoint.variables)
    with pytest.warns(UserWarning, match=r"also holds model\.safetensors, which loading prefers to the tf_model\.h5"):
        save_h5(tmp_path, checkpoint.config, checkpoint.variables)


def test_a_shard_size_that_is_none_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"max_shard_size is 'much'; expected bytes or a text such as"):
        save(tmp_path / "new", {}, {}, max_shard_size="much")
    assert not (tmp_path / "new").exists()


def test_an_error_in_the_tensors_names_the_file(fixtures, tmp_path):
    from safetensors.numpy import save_file

    save_file({"fc.weight": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    shutil.copy(fixtures / "hf4-seg" / "config.json", tmp_path)
    with pytest.raises(ValueError, match=r"model\.safetensors: These are not the tensors of a SegFormer.*fc\.weight"):
        load(tmp_path)


def test_importing_the_room_loads_neither_frameworks_nor_the_hubs_client():
    heavy = ["tensorflow", "keras", "torch", "huggingface_hub", "h5py", "safetensors", "segformer_tf.models"]
    code = f"import sys, segformer_tf.checkpoints; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
