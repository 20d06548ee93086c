"""A checkpoint in NumPy against the Keras model with the same weights, and how far it is from needing TensorFlow."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from random_checkpoints import random_variables
from reference import ROOT, SMALL, TINY, relative_difference

from segformer_tf import (
    ImageClassificationPipeline,
    SegformerConfig,
    SegmentationPipeline,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
)
from segformer_tf.models.kernels import plain
from segformer_tf.pipelines import loading
from segformer_tf.pipelines.runtimes import numpy_network
from segformer_tf.pipelines.runtimes.description import Description
from segformer_tf.pipelines.runtimes.numpy_network import NumPy

HEADS = {"decode_head": TFSegformerForSemanticSegmentation, "classifier": TFSegformerForImageClassification}


def both(head: str = "decode_head", data_format: str = "channels_last", **config):
    """The Keras model with random values in all variables, its norms' statistics too, and the same in NumPy."""
    model = HEADS[head](
        SegformerConfig(**(config if "depths" in config else {**SMALL, **config})), data_format=data_format
    )
    values = random_variables(model.config.to_dict(), head)
    for variable in model.weights:
        value = values[variable.path] / math.sqrt(np.prod(variable.shape[:-1]))
        variable.assign(np.abs(value) + 0.5 if variable.path.endswith(("gamma", "variance")) else value)
    return model, NumPy("small", Description.of_model(model), model.variable_arrays())


@pytest.mark.parametrize("size", [(64, 96), (50, 71), (33, 32)])
@pytest.mark.parametrize("config", [{}, TINY, {"num_channels": 1, "mlp_ratios": [1.5, 3], "encoder_norm_eps": 1e-3}])
def test_logits_are_the_keras_models(config, size):
    model, ours = both(**config)
    values = np.random.default_rng(0).normal(size=(2, *size, model.config.num_channels)).astype(np.float32)
    found = ours(values)
    assert found.dtype == np.float32
    assert relative_difference(found, np.asarray(model(values).logits)) < 2e-6


def test_a_classifiers_are_too(pixels):
    model, ours = both("classifier")
    assert relative_difference(ours(pixels), np.asarray(model(pixels).logits)) < 2e-6


@pytest.mark.parametrize("name", sorted(plain.ACTIVATIONS))
def test_every_activation_that_the_model_has(name):
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    expected = np.asarray(plain.ACTIVATIONS[name](x))
    np.testing.assert_allclose(numpy_network._activated(name, x.copy()), expected, rtol=1e-6, atol=1e-6)


def test_slices_of_attention_and_of_rows_change_nothing(pixels, monkeypatch):
    _, ours = both()
    before = ours(pixels)
    monkeypatch.setattr(numpy_network, "SCORES", 1)
    monkeypatch.setattr(numpy_network._blocks, "__defaults__", (1000,))
    assert relative_difference(ours(pixels), before) < 1e-6


def test_a_model_with_merged_queries_is_refused():
    with pytest.raises(ValueError, match=r"has merge_queries=\[1\].*another runtime"):
        both(merge_queries=[1])


def test_a_models_pipeline_in_numpy_gives_its_labels():
    model, _ = both(data_format="channels_first")
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    ours, keras = (SegmentationPipeline(model, runtime=runtime) for runtime in ("numpy", "tensorflow"))
    result = ours(picture, scales=(0.5, 1.0), flip=True)
    assert result.runtime == ours.backend == "numpy"
    assert (result.labels == keras(picture, scales=(0.5, 1.0), flip=True).labels).mean() > 0.999


def test_the_bundled_models_labels_are_tensorflows():
    picture = ROOT / "examples" / "china.jpg"
    ours, keras = (
        SegmentationPipeline.from_pretrained(runtime=runtime)(picture) for runtime in ("numpy", "tensorflow")
    )
    assert (ours.labels == keras.labels).mean() >= 0.9999
    assert ours.palette is not None and ours.id2label == keras.id2label


def test_other_arguments_of_the_model_are_followed():
    with pytest.raises(ValueError, match="merge_queries"):
        SegmentationPipeline.from_pretrained(runtime="numpy", merge_queries=[1])
    with pytest.raises(TypeError, match="num_labels"):
        SegmentationPipeline.from_pretrained(runtime="numpy", num_label=3)


def test_a_checkpoint_without_the_head_is_refused_as_by_keras():
    with pytest.raises(ValueError, match=r"has no weights for the head of a TFSegformerForImageClassification"):
        ImageClassificationPipeline.from_pretrained("segformer-b0-camvid", runtime="numpy")


CODE = f"""
import json, sys
from segformer_tf import SegmentationPipeline
from segformer_tf.pipelines.loading import soon_in_numpy
said = {{
    "one": soon_in_numpy("segformer-b0-camvid", 1, {{}}),
    "many": soon_in_numpy("segformer-b0-camvid", 20, {{}}),
    "scales": soon_in_numpy("segformer-b0-camvid", 1, {{"scales": (2.0, 3.0)}}),
    "flip": soon_in_numpy("segformer-b0-camvid", 8, {{"flip": True}}),
    "windows": soon_in_numpy("segformer-b0-camvid", 1, {{"mode": "slide"}}),
    "nothing": soon_in_numpy("/no/such/model", 1, {{}}),
    "file": soon_in_numpy("model.onnx", 1, {{}}),
}}
result = SegmentationPipeline.from_pretrained(runtime="numpy")({str(ROOT / "examples" / "china.jpg")!r})
said["runtime"] = result.runtime
said["loaded"] = [name for name in ("tensorflow", "keras") if name in sys.modules]
import tensorflow
said["later"] = soon_in_numpy("segformer-b0-camvid", 1, {{}})
print(json.dumps(said))
"""


def test_few_pictures_of_a_fresh_process_are_worth_it_and_load_no_tensorflow():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    expected = dict.fromkeys(("many", "scales", "flip", "windows", "nothing", "file", "later"), False)
    assert json.loads(done.stdout) == {"one": True, **expected, "runtime": "numpy", "loaded": []}


def test_a_hub_out_of_reach_is_told_at_once(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow")

    def unreachable(*_):
        raise OSError("The Hub cannot be reached")

    monkeypatch.setattr(loading.find, "load_config", unreachable)
    with pytest.raises(OSError, match="cannot be reached"):
        loading.soon_in_numpy("nvidia/mit-b0", 1, {})


@pytest.mark.parametrize(
    ("settings", "config", "worth"),
    [
        ({"size": {"height": 512, "width": 512}}, {}, True),
        ({"size": {"shortest_edge": 512}}, {}, False),  # only the picture tells
        ({"do_resize": False}, {}, False),
        ({"size": {"height": 2048, "width": 2048}}, {}, False),
        ({"size": {"height": 512, "width": 512}}, {"merge_queries": [1]}, False),
    ],
)
def test_what_the_processor_and_the_model_must_be(settings, config, worth, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow")
    (tmp_path / "config.json").write_text(json.dumps({**SegformerConfig(**SMALL).to_dict(), **config}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    assert loading.soon_in_numpy(tmp_path, 1, {"mode": "whole"}) is worth
