"""The training examples run, in a short form, on the small real data that scikit-learn ships; the loaders' pictures."""

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image
from reference import ROOT

from segformer_tf import SegformerConfig, SegformerImageProcessor
from segformer_tf.pipelines.runtimes.description import Description


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", ["", "serving", "runtimes"])
def test_every_example_is_named_in_its_folder_s_readme(folder):
    place = ROOT / "examples" / folder
    text = (place / "README.md").read_text("utf-8")
    named = [path for path in place.iterdir() if path.name not in ("README.md", "__pycache__")]
    assert named and [path.name for path in named if f"`{path.name}{'/' * path.is_dir()}`" not in text] == []


@pytest.mark.parametrize("name", ["finetune_segmentation", "finetune_classification"])
def test_training_examples_are_short(name):
    assert len((ROOT / "examples" / f"{name}.py").read_text("utf-8").splitlines()) <= 60


@pytest.mark.long
def test_segmentation_is_finetuned(capsys):
    """One class everywhere would give less than 0.5."""
    score = example("finetune_segmentation").main(steps=20)
    assert score > 0.5 and f"mIoU {score:.3f}" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*has no decode_head")
@pytest.mark.filterwarnings("ignore:The model has no place for these tensors")
def test_a_classifiers_encoder_serves_a_segmentation_model(capsys):
    """Guessing one of ten digits would give 0.1."""
    accuracy = example("finetune_classification").main(epochs=3, count=320)
    printed = capsys.readouterr().out
    assert accuracy > 0.2 and f"held-out accuracy {accuracy:.4f}" in printed
    assert "TFSegformerForSemanticSegmentation begins with the encoder" in printed


@pytest.fixture(scope="module")
def pictures():
    return example("runtimes/pictures")


def described(size=None, model="TFSegformerForSemanticSegmentation", data_format="channels_last", **settings):
    processor = SegformerImageProcessor(**settings).to_dict()
    return Description(model, SegformerConfig().to_dict(), processor, data_format, size).text()


@pytest.mark.parametrize("settings", [{}, {"resample": 3, "do_normalize": False}, {"do_rescale": False}])
def test_the_loaders_pixels_are_the_processor_s(pictures, settings, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 4), np.uint8)).save(tmp_path / "a.png")
    about = pictures.settings(described((40, 64), **settings), "m.onnx")
    found = pictures.pixel_values(pictures.opened(tmp_path / "a.png", about), about)
    processor = SegformerImageProcessor(**settings, size=(40, 64), data_format="channels_last")
    expected = processor(tmp_path / "a.png", return_tensors="np").pixel_values
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": "TFSegformerForImageClassification"}, "class is 'TFSegformerForImageClassification'"),
        ({"data_format": "channels_first"}, "data_format is 'channels_first'"),
        ({"size": None, "do_resize": False}, "do_resize is False"),
        ({"value_range": (0, 4095)}, "value_range is"),
    ],
)
def test_the_loaders_refuse_what_they_do_not_know(pictures, given, told):
    with pytest.raises(SystemExit, match=rf"m\.onnx: {told}.*, expected .*: use"):
        pictures.settings(described(**given), "m.onnx")


def test_the_loaders_refuse_other_files_and_deep_pictures(pictures, tmp_path):
    with pytest.raises(SystemExit, match="does not say which SegFormer it is"):
        pictures.settings(None, "m.onnx")
    shortest = json.loads(described()) | {"processor": {"do_resize": True, "size": {"shortest_edge": 64}}}
    with pytest.raises(SystemExit, match=r"the size's sides is \['shortest_edge'\]"):
        pictures.settings(json.dumps(shortest), "m.onnx")
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(SystemExit, match=r"deep\.png is a picture of mode I"):
        pictures.opened(tmp_path / "deep.png", {})


@pytest.mark.parametrize("classes", [1, 256, 300])
def test_the_loaders_write_every_class_id(pictures, classes, tmp_path):
    logits = np.zeros((1, 2, 3, classes), np.float32)
    logits[0, 1, 2, -1] = 1
    pictures.save(logits, Image.new("RGB", (6, 4)), tmp_path / "labels.png")
    found = np.asarray(Image.open(tmp_path / "labels.png"))
    assert found.shape == (4, 6) and np.unique(found).tolist() == [0, max(classes - 1, 1)]
