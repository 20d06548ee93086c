"""The training examples run, in a short form, on the small real data that scikit-learn ships."""

import importlib.util

import pytest
from reference import ROOT


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", ["", "serving"])
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
