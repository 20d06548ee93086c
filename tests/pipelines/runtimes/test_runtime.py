"""Runtimes that need no extra package; those of exported files that do are in tests/export/runtimes."""

import importlib.util
import json
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import small_model

from segformer_tf import (
    ImageClassificationPipeline,
    SegformerImageProcessor,
    SegmentationPipeline,
    TFSegformerForImageClassification,
)
from segformer_tf.models import compiled
from segformer_tf.pipelines.runtimes import exported
from segformer_tf.pipelines.runtimes.description import APPENDED_FILE, Description, append, read_appended
from segformer_tf.pipelines.runtimes.runtime import KerasModel


def graphs_of(model):
    """The graphs that stand for a model's calls now."""
    return list(compiled._graphs.get(model, ((), {}))[1].values())


def test_the_graph_is_traced_once_for_all_sizes_and_follows_the_weights(pixels):
    model = small_model()
    runtime = KerasModel(model)
    before = runtime(pixels)
    np.testing.assert_allclose(before, np.asarray(model(pixels).logits), atol=1e-5)
    (graph,) = graphs_of(model)
    assert runtime(pixels[:1, :40, :64]).shape == (1, 10, 16, 5)
    assert graphs_of(model) == [graph] and graph.experimental_get_tracing_count() == 1
    bias = model.get_layer("decode_head").classifier.bias
    bias.assign(bias + 1.0)
    np.testing.assert_allclose(runtime(pixels), before + 1.0, atol=1e-5)


def other_epsilon(model):
    model.get_layer("layer_norm_1").epsilon = 5.0


def other_call(model):
    block = model.get_layer("block_1_0")
    plain = block.call
    block.call = lambda *args, **options: plain(*args, **options) * 0.0


def other_policy(model):
    for layer in model.network.stages[1].blocks:
        layer.mlp.dense1.dtype_policy = keras.DTypePolicy("mixed_bfloat16")


def other_block(model):
    stage = model.network.stages[-1]
    stage.blocks.append(stage.blocks[0])


@pytest.mark.parametrize("change", [other_epsilon, other_call, other_policy, other_block], ids=lambda f: f.__name__)
def test_it_follows_whatever_changes_in_the_model(pixels, change):
    model = small_model()
    numbers = np.random.default_rng(2)
    for variable in model.trainable_variables:
        if variable.path.endswith("kernel"):
            variable.assign(numbers.normal(size=variable.shape) * 0.3)
    runtime = KerasModel(model)
    before = runtime(pixels)
    change(model)
    after, scale = runtime(pixels), np.abs(before).max()
    with compiled.op_by_op():
        expected = np.asarray(model(pixels).logits)
    assert np.abs(after - expected).max() < 5e-4 * scale < 1e-3 * scale < np.abs(after - before).max()


def test_neither_a_tape_nor_run_eagerly_slows_a_pipeline(pixels):
    model = small_model()
    model.compile(run_eagerly=True)
    with tf.GradientTape():
        KerasModel(model)(pixels)
    assert [graph.experimental_get_tracing_count() for graph in graphs_of(model)] == [1]


def test_two_callers_share_a_graph(pixels, monkeypatch):
    model = small_model()
    runtime, made = KerasModel(model), []
    traced = compiled._traced

    def slowly(*arguments):
        made.append(arguments)
        time.sleep(0.2)  # the other caller comes in
        return traced(*arguments)

    monkeypatch.setattr(compiled, "_traced", slowly)
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(runtime, [pixels, pixels])
    np.testing.assert_array_equal(one, other)
    assert len(made) == 1 and [graph.experimental_get_tracing_count() for graph in graphs_of(model)] == [1]


def test_one_picture_as_the_first_call_needs_no_graph(pixels, monkeypatch):
    monkeypatch.setattr(compiled, "WORTH_TRACING", 1)
    model = small_model()
    runtime = KerasModel(model)
    alone = runtime(pixels[:1])
    assert graphs_of(model) == []
    again = runtime(pixels[:1])
    np.testing.assert_allclose(again, alone, atol=1e-5)
    assert [graph.experimental_get_tracing_count() for graph in graphs_of(model)] == [1]


def test_channels_first_models_are_given_and_give_channels_last(pixels):
    last, first = small_model(), small_model(data_format="channels_first")
    first.set_weights(last.get_weights())
    np.testing.assert_allclose(KerasModel(first)(pixels), KerasModel(last)(pixels), atol=1e-5)


def test_a_batch_that_a_file_is_bound_to_is_filled_up(pixels):
    runtime = KerasModel(small_model())
    expected = runtime(np.concatenate([pixels, pixels[:1]]))
    runtime.batch = 2
    np.testing.assert_allclose(runtime(np.concatenate([pixels, pixels[:1]])), expected, atol=1e-5)


def test_a_description_says_all_that_a_pipeline_needs(tmp_path):
    processor = SegformerImageProcessor(size=(64, 96), image_mean=[0.1, 0.2, 0.3])
    about = Description.of_model(small_model(), processor, (64, 96), weights_sha256="1")
    assert Description.parse(about.text(), "x").text() == about.text()
    assert json.loads(about.text())["classes"][0].keys() == {"id", "name", "color"}
    assert about.task == "segmentation" and about.image_processor().to_dict() == processor.to_dict()
    file = tmp_path / "model.tflite"
    file.write_bytes(b"TFL3 and more")
    append(file, about.text())
    assert file.read_bytes().startswith(b"TFL3 and more") and read_appended(file) == about.text().encode()
    assert APPENDED_FILE.encode() in file.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "x.onnx does not say which SegFormer it is"),
        ("{}", "does not say which SegFormer"),
        ("not json", "does not say which SegFormer"),
        (
            '{"format": 9, "class": "A", "config": {}, "versions": {"segformer_tf": "7.0"}}',
            r"written by segformer-tf 7\.0",
        ),
    ],
)
def test_a_file_of_another_program_or_version_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        Description.parse(text, "x.onnx")


def test_a_package_that_is_missing_is_named_with_the_line_to_run(monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ImportError, match=r"model.onnx needs onnxruntime, .*: pip install 'segformer-tf\[export\]'\."):
        exported.open_exported(tmp_path / "model.onnx")
    with pytest.raises(ImportError, match="runtime='onnx' needs onnxruntime"):
        SegmentationPipeline(small_model(), runtime="onnx")


def test_calls_that_cannot_be_are_told(tmp_path):
    with pytest.raises(ValueError, match="runtime is 'fast'; expected one of auto, tensorflow, openvino, onnx"):
        SegmentationPipeline(small_model(), runtime="fast")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        SegmentationPipeline.from_pretrained(tmp_path / "openvino_model.xml")
    (tmp_path / "model.tflite").write_bytes(b"")
    with pytest.raises(ValueError, match="""runtime is 'onnx'; expected "auto" or 'litert'"""):
        SegmentationPipeline.from_pretrained(tmp_path / "model.tflite", runtime="onnx")
    with pytest.raises(TypeError, match="num_labels cannot change"):
        SegmentationPipeline.from_pretrained(tmp_path / "model.tflite", num_labels=3)


def test_a_model_of_another_task_is_refused(tmp_path):
    classifier, segmenter = small_model(TFSegformerForImageClassification), small_model()
    with pytest.raises(ValueError, match="is a TFSegformerForImageClassification; SegmentationPipeline needs"):
        SegmentationPipeline(classifier)
    segmenter.save_pretrained(tmp_path / "segmenter")
    with pytest.raises(ValueError, match="has no weights for the head of a TFSegformerForImageClassification"):
        ImageClassificationPipeline.from_pretrained(tmp_path / "segmenter")
    classifier.save_pretrained(tmp_path / "classifier")
    with pytest.raises(ValueError, match="has no weights for the head of a TFSegformerForSemanticSegmentation"):
        SegmentationPipeline.from_pretrained(tmp_path / "classifier")


def test_a_size_that_a_bound_file_does_not_take_is_told():
    runtime = KerasModel(small_model())
    runtime.size, runtime.source = (64, 96), "model.tflite"
    segment = SegmentationPipeline(runtime, SegformerImageProcessor(size=(64, 96)))
    picture = np.zeros((100, 130, 3), np.uint8)
    assert segment(picture).labels.shape == (100, 130)
    assert segment(picture, mode="slide").labels.shape == (100, 130)  # its own size is the window
    with pytest.raises(ValueError, match=r"model\.tflite takes 64 x 96 pixels only, and would be given 32 x 48"):
        segment(picture, scales=(0.5,))
    for backend, way in (("onnx", "without a size"), ("litert", "for that size")):  # which always has one
        runtime.backend = backend
        with pytest.raises(ValueError, match=f"export it {way}, or have pictures resized"):
            segment(picture, scales=(0.5,))


@pytest.mark.parametrize("name", ["openvino_model.xml", "model.onnx", "model.tflite", "3/saved_model.pb"])
def test_the_directory_that_export_wrote_means_the_file_in_it(name, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    (tmp_path / "quantization.json").touch()
    assert exported.exported_file(tmp_path) == (file.parent if file.parent != tmp_path else file)
    for name in ("config.json", "best/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert exported.exported_file(tmp_path) is None  # a checkpoint or a run, whatever lies beside it
        (tmp_path / name).unlink()
    assert exported.exported_file(tmp_path / "nothing") is None


@pytest.mark.parametrize("name", ["out.onnx", "out.xml", "saved_model.tflite"])
def test_a_directory_that_is_called_like_a_file_is_a_directory(name, tmp_path, monkeypatch):
    (directory := tmp_path / name).mkdir()
    (directory / "model.onnx").touch()
    assert exported.exported_file(directory) == directory / "model.onnx"
    (directory / "model.onnx").unlink()
    (directory / "saved_model.pb").touch()
    assert exported.exported_file(directory) == directory
    with pytest.raises(ValueError, match="does not say which SegFormer it is"):
        exported.open_exported(directory)


def test_a_folder_named_by_a_digit_that_is_no_number_is_no_version(tmp_path):
    from segformer_tf.export.saved_model import next_version

    for name in ("\u00b2", "3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert exported.exported_file(tmp_path) == tmp_path / "3" and next_version(tmp_path) == 4


def test_a_folder_for_transformers_js_means_the_file_in_it(tmp_path):
    (file := tmp_path / "onnx" / "model_quantized.onnx").parent.mkdir()
    file.touch()
    assert exported.exported_file(tmp_path) is exported.exported_file(file.parent) is None  # no folder of ours
    (tmp_path / "config.json").touch()
    assert exported.exported_file(tmp_path) == exported.exported_file(file.parent) == file
    (tmp_path / "onnx" / "model.onnx").touch()
    with pytest.raises(ValueError, match=r"has several exported models \(model.onnx, model_quantized.onnx\), expected"):
        exported.exported_file(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert exported.exported_file(tmp_path) is None, "a checkpoint"


@pytest.mark.parametrize(("name", "meant"), [("A.ONNX", "A.ONNX"), ("B.TFLite", "B.TFLite"), ("1/saved_model.pb", "1")])
def test_a_file_is_known_by_its_suffix_however_it_is_written(name, meant, tmp_path):
    assert exported.exported_file(tmp_path / name) == tmp_path / meant


def test_openvinos_weights_mean_the_graph_beside_them(tmp_path):
    weights = tmp_path / "openvino_model.bin"
    assert exported.exported_file(weights) is None  # PyTorch's have that suffix too
    weights.with_suffix(".xml").touch()
    assert exported.exported_file(weights) == weights.with_suffix(".xml")


def test_a_directory_of_two_formats_does_not_say_which(tmp_path):
    for name in ("model.onnx", "model.tflite"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"has several exported models \(model.onnx, model.tflite\), expected one"):
        SegmentationPipeline.from_pretrained(tmp_path)
