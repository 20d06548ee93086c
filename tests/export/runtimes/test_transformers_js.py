"""The folder that transformers.js loads: its files, their names, and what is in them. Chromium loads one: test-page."""

import json
import os
import shutil

import numpy as np
import onnxruntime
import PIL
import pytest
from serving_models import model, processor, random_model

from segformer_tf import SegformerConfig, SegformerImageProcessor, SegmentationPipeline
from segformer_tf.export import export as room
from segformer_tf.export.export import export
from segformer_tf.images import palette_for


@pytest.fixture(scope="module")
def first():
    return random_model(data_format="channels_first")


@pytest.fixture(scope="module")
def folder(first, tmp_path_factory):
    out = tmp_path_factory.mktemp("folder")
    export(first, out, "onnx", processor=processor(), program="transformers.js")
    return out


def test_the_folder_holds_what_is_looked_for_and_nothing_else(folder):
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"config.json", "preprocessor_config.json", "onnx/model.onnx"}
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "segformer" and config["architectures"] == ["SegformerForSemanticSegmentation"]
    assert config["transformers.js_config"] == {"dtype": "fp32"}
    assert config["pillow_version"] == [int(part) for part in PIL.__version__.split(".")[:2]]
    assert config["palette"] == palette_for(model().config.id2label).tolist()
    read = SegformerConfig.from_pretrained(folder)
    assert read.id2label == model().config.id2label and read.depths == model().config.depths
    assert SegformerImageProcessor.from_pretrained(folder).to_dict() == processor().to_dict()


def test_the_file_takes_and_gives_channels_first_of_any_size(folder, first):
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    assert [value.name for value in session.get_inputs()] == ["pixel_values"]
    assert [value.name for value in session.get_outputs()] == ["logits"]
    pixels = np.random.default_rng(0).normal(size=(2, 3, 64, 96)).astype("float32")
    expected = np.asarray(first(pixels).logits)
    (found,) = session.run(None, {"pixel_values": pixels})
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert SegmentationPipeline.from_pretrained(folder / "onnx" / "model.onnx").backend == "onnx"


def test_smaller_weights_lie_beside_and_are_loaded_by_default(first, tmp_path):
    for weights in ("float32", "int8"):
        export(first, tmp_path, "onnx", processor=processor(), program="transformers.js", weights=weights)
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"model.onnx", "model_quantized.onnx"}
    assert json.loads((tmp_path / "config.json").read_text())["transformers.js_config"] == {"dtype": "q8"}


def contents(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_checkpoint_keeps_what_it_is(first, tmp_path, monkeypatch):
    """Its configuration and processor stay; an export that needs others is refused before the work."""
    how = {"format": "onnx", "program": "transformers.js"}
    first.save_pretrained(tmp_path)
    processor().save_pretrained(tmp_path)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(room, "_export_runtime", lambda *_: pytest.fail("work was begun"))
        merged = random_model(data_format="channels_first", merge_keys=[1])
        with pytest.raises(ValueError, match=r"holds a checkpoint, and its config\.json is not the one of this export"):
            export(merged, tmp_path, processor=processor(), **how)
        with pytest.raises(ValueError, match=r"holds a checkpoint, and its preprocessor_config\.json is not the one"):
            export(first, tmp_path, processor=processor(), size=(32, 64), **how)
        (run := tmp_path / "run" / "best").mkdir(parents=True)
        (run / "config.json").touch()
        with pytest.raises(ValueError, match=r"run is a training run, whose model a config\.json would hide"):
            export(first, run.parent, processor=processor(), **how)
        (run / "config.json").unlink()
        (run / "weights.pth").touch()
        with pytest.raises(ValueError, match=r"holds a checkpoint, and its config\.json is not the one"):
            export(first, run, processor=processor(), **how)
        (run / "weights.pth").unlink()
    loaded = type(first).from_pretrained(tmp_path, data_format="channels_first")
    file = export(loaded, tmp_path, processor=processor(), **how).path
    assert contents(tmp_path) == {**before, "onnx/model.onnx": file.read_bytes()}


def test_files_of_two_models_do_not_lie_under_one_configuration(first, folder, tmp_path, monkeypatch):
    how = {"format": "onnx", "program": "transformers.js", "weights": "int8"}
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    monkeypatch.setattr(room, "_export_runtime", lambda *_: pytest.fail("work was begun"))
    other = random_model(data_format="channels_first")
    other.get_layer("decode_head").classifier.bias.assign([9, 0, 0, 0, 0])
    merged = random_model(data_format="channels_first", merge_keys=[1])
    for network, settings in ((other, {}), (merged, {}), (first, {"size": (32, 64)})):
        with pytest.raises(
            ValueError, match=r"model\.onnx is of another model, configuration or processor than model_q"
        ):
            export(network, tmp_path, processor=processor(), **settings, **how)
    assert contents(tmp_path) == before
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"another program's")
    with pytest.raises(ValueError, match=r"model\.onnx is of another model"):
        export(first, tmp_path, processor=processor(), **how)


def test_the_file_and_what_tells_of_it_appear_together(first, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    named = random_model(data_format="channels_first", id2label=dict(enumerate("abcde")))

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(room, "_check_difference", stopped)
        export(named, tmp_path, "onnx", processor=processor(), program="transformers.js")
    assert contents(tmp_path) == before
    real, steps = os.replace, iter(range(9))

    def replace(*paths):
        if next(steps) == 1:  # the draft has become a save
            raise KeyboardInterrupt
        real(*paths)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", replace)
        export(named, tmp_path, "onnx", processor=processor(), program="transformers.js")
    assert SegmentationPipeline.from_pretrained(tmp_path / "onnx" / "model.onnx").id2label[0] == "a"
    assert SegformerConfig.from_pretrained(tmp_path).id2label[0] == "a"
