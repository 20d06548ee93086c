"""The training examples run, in a short form, on the small real data that scikit-learn ships."""

import importlib.util

import pytest
from reference import ROOT


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["finetune_segmentation", "finetune_classification"])
def test_training_examples_are_short(name):
    assert len((ROOT / "examples" / f"{name}.py").read_text("utf-8").splitlines()) <= 60


def test_segmentation_is_finetuned(capsys):
    assert 0 < example("finetune_segmentation").main(steps=6) <= 1
    assert "mIoU" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*has no decode_head")
@pytest.mark.filterwarnings("ignore:The model has no place for these tensors")
def test_a_classifiers_encoder_serves_a_segmentation_model(capsys):
    assert 0 <= example("finetune_classification").main(epochs=1, count=160) <= 1
    assert "TFSegformerForSemanticSegmentation begins with the encoder" in capsys.readouterr().out
