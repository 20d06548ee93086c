"""Files of strangers: what they may ask for is looked at before it is done, and refused in a sentence."""

import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest
from reference import ROOT
from safetensors.numpy import save_file

from segformer_tf import SegformerConfig, SegformerImageProcessor
from segformer_tf.checkpoints import load, save, save_h5
from segformer_tf.checkpoints.infer import expected_shapes
from segformer_tf.convert import convert

READERS = (
    "safetensors",
    "index",
    "h5",
    "keras",
    "config",
    "preprocessor",
    "mask",
    "coco",
    "labelme",
    "classes",
    "shards",
)
CONFIG = SegformerConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 20, 32], decoder_hidden_size=16, num_labels=5)


@pytest.fixture
def model(tmp_path):
    """A directory with a small model's config and weights."""
    shapes = expected_shapes(CONFIG, "decode_head")
    save(tmp_path / "model", CONFIG.to_dict(), {path: np.ones(shape, np.float32) for path, shape in shapes.items()})
    return tmp_path / "model"


@pytest.fixture
def h5(model):
    checkpoint = load(model)
    save_h5(model.parent / "h5", checkpoint.config, checkpoint.variables)
    return model.parent / "h5" / "tf_model.h5"


def test_an_h5_file_takes_no_values_from_other_files(h5, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(64)))
    with h5py.File(h5, "a") as file:
        name = next(name for name in formats_names(file) if name.endswith("classifier/bias:0"))
        del file[name]
        file.create_dataset(name, (5,), "f4", external=[(str(tmp_path / "secret"), 0, 20)])
    with pytest.raises(ValueError, match=r"tf_model\.h5 is refused: its dataset .*bias:0 takes its values from other"):
        load(h5.parent)
    with h5py.File(h5, "a") as file:
        del file[name]
        layout = h5py.VirtualLayout((5,), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "data", (5,))
        file.create_virtual_dataset(name, layout)
    with pytest.raises(ValueError, match=r"is refused: its dataset .* takes its values from other files"):
        load(h5.parent)


def formats_names(file):
    found = []
    file.visit(found.append)
    return found


def test_an_unused_huge_dataset_of_an_h5_file_is_refused_unread(h5):
    with h5py.File(h5, "a") as file:
        file.create_dataset("segformer/more", (2 * 10**9,), "f4", chunks=(1000,))
    with pytest.raises(ValueError, match=r"its datasets would take 8,000,\d+,\d+ bytes, and the file has"):
        load(h5.parent)


def test_shards_are_files_beside_the_index_and_no_links_out_of_it(model, tmp_path):
    checkpoint = load(model)
    save(model, checkpoint.config, checkpoint.variables, "20KB")
    index = model / "model.safetensors.index.json"
    first = sorted(model.glob("model-*.safetensors"))[0]
    shutil.move(first, tmp_path / "outside.safetensors")
    first.symlink_to(tmp_path / "outside.safetensors")
    with pytest.raises(ValueError, match=r"is not an index of shards.*not links that lead elsewhere"):
        load(model)
    for name in ("../outside.safetensors", str(tmp_path / "outside.safetensors"), index.name):
        values = json.loads(index.read_text())
        values["weight_map"] = dict.fromkeys(values["weight_map"], name)
        index.write_text(json.dumps(values))
        with pytest.raises(ValueError, match="is not an index of shards"):
            load(model)


@pytest.mark.parametrize("key, value, told", [
    ("depths", [10**6, 1, 1, 1], r"depths is \[1000000, 1, 1, 1\], expected whole .* at most 256"),
    ("hidden_sizes", [10**7, 16, 20, 32], "hidden_sizes is .*at most 8192"),
    ("num_channels", 10**9, "num_channels is 1000000000, expected a whole number of at least 1 and at most 4096"),
    ("decoder_hidden_size", 10**9, "decoder_hidden_size is .* at most 16384"),
    ("patch_sizes", [10**5, 3, 3, 3], "patch_sizes is .* at most 64"),
    ("layer_norm_eps", "a", "layer_norm_eps is 'a', expected a number from 0 to 1"),
    ("reshape_last_stage", "yes", "reshape_last_stage is 'yes', expected true or false"),
    ("to_dict", 1, "to_dict is no key of a configuration"),
    ("depths", [250] * 4, r"holds [\d,]+ numbers in \d+ tensors, and its config.json asks for"),
    ("hidden_sizes", [4096] * 4, r"holds [\d,]+ numbers in \d+ tensors, and its config.json asks for"),
])  # fmt: skip
def test_a_config_that_asks_for_too_much_is_refused_before_a_model_is_built(model, key, value, told):
    values = json.loads((model / "config.json").read_text())
    values[key] = value
    if key == "hidden_sizes":
        values["num_attention_heads"] = [1, 1, 1, 1]
    (model / "config.json").write_text(json.dumps(values))
    tracemalloc.start()
    with pytest.raises(ValueError, match=told) as caught:
        load(model)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert str(model) in str(caught.value)


def test_tensors_that_no_model_of_the_config_has_room_for_are_not_expanded(model):
    huge = {"unused": np.broadcast_to(np.float16(1), (10**8,))}
    save_file({name: np.array(array) for name, array in huge.items()}, model / "model.safetensors")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"holds 100,000,000 numbers in 1 tensors, and its config\.json asks for"):
        load(model)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.mark.parametrize("values, told", [
    ({"size": {"shortest_edge": 10**7}}, r"size is .*, in whole pixels from 1 to 16384"),
    ({"size": {"height": 10**7, "width": 2}}, "size is "),
    ({"do_resize": "false"}, "do_resize is 'false'; expected true or false"),
    ({"image_mean": ["a"]}, r"image_mean or image_std is \['a'\]; expected at most"),
    ({"image_std": [0.1] * 10**5}, "image_mean or image_std is "),
    ({"rescale_factor": "x"}, "rescale_factor is 'x'; expected a number"),
    ({"resample": {}}, "resample is {}"),
    ({"page": "x"}, "page is 'x'"),
    ({"value_range": "ab"}, "value_range"),
])  # fmt: skip
def test_settings_of_pictures_are_bounded_and_of_their_kinds(tmp_path, values, told):
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=told) as caught:
        SegformerImageProcessor.from_pretrained(file)
    assert str(file) in str(caught.value)


def test_a_long_thin_picture_does_not_become_a_huge_one():
    processor = SegformerImageProcessor(size={"shortest_edge": 512})
    with pytest.raises(ValueError, match="would make its longest over 16384 pixels"):
        processor(np.zeros((10, 10_000, 3), np.uint8))


def test_a_keras_file_is_looked_at_before_keras_is_given_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(10**8))
    with pytest.raises(ValueError, match=r"bomb\.keras is refused: it unpacks to 100,000,002 bytes"):
        convert(tmp_path / "bomb.keras", tmp_path / "out")


def test_a_short_attack_of_mutated_files_finds_documented_errors_only(tmp_path):
    script = ROOT / "benchmarks" / "trust" / "fuzz.py"
    command = [
        sys.executable,
        str(script),
        "--inputs",
        str(25 * len(READERS)),
        "--keep",
        str(tmp_path),
        "--readers",
        *READERS,
    ]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    assert re.search(rf"\| \*\*together\*\* \| {25 * len(READERS)} \| \d+ \| 0 \|", run.stdout), run.stdout
