"""The folder that transformers.js loads: its files, their names, and what is in them. Chromium loads one: test-page."""

import json

import numpy as np
import onnxruntime
import PIL
import pytest
from serving_models import model, processor, random_model

from segformer_tf import SegformerConfig, SegformerImageProcessor, SegmentationPipeline
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
