"""Files for other runtimes: the same logits within each kind of weights' tolerance; the loaders in `examples` work."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from PIL import ExifTags, Image
from serving_models import SIZE, decoded, encoded, model, picture, processor, random_model

from segformer_tf import SegformerImageProcessor, SegmentationPipeline, TFSegformerForImageClassification
from segformer_tf.export import formats as export_formats
from segformer_tf.export.export import export
from segformer_tf.export.onnx_weights import compress
from segformer_tf.pipelines.runtimes import description, exported
from segformer_tf.pipelines.runtimes.exported import open_exported

EXAMPLES = Path(__file__).parents[3] / "examples" / "runtimes"
FILES = {
    "onnx": ("model.onnx", "run_onnx.py"),
    "openvino": ("openvino_model.xml", "run_openvino.py"),
    "litert": ("model.tflite", "run_litert.py"),
}


@pytest.mark.parametrize("format", FILES)
def test_float32_files_give_the_models_labels_and_the_examples_load_them(format, tmp_path):
    """The loaders have the file's own numbers and size, and follow the picture's EXIF tag."""
    file, example = FILES[format]
    own = processor(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6], resample=3)
    image = np.asarray(picture(*SIZE))
    size = SIZE if format == "litert" else None
    written = export(model(), tmp_path, format, processor=own, size=size, picture=image)
    assert written.path == tmp_path / file and written.path.stat().st_size > 1000
    assert written.relative_difference < 1e-4 and written.same_labels >= 0.999
    lying = picture(80, 50)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (tmp_path / "picture.png").write_bytes(encoded(lying, exif=exif))
    command = [sys.executable, EXAMPLES / example, written.path, tmp_path / "picture.png", tmp_path / "labels.png"]
    subprocess.run(command, check=True, capture_output=True)
    pixels = own(np.asarray(lying.transpose(Image.Transpose.ROTATE_270)), return_tensors="np").pixel_values
    logits = np.asarray(model()(pixels).logits)
    expected = Image.fromarray(logits[0].argmax(-1).astype("uint8")).resize((80, 50), Image.Resampling.NEAREST)
    assert len(np.unique(np.asarray(expected))) > 1
    assert (decoded((tmp_path / "labels.png").read_bytes()) == np.asarray(expected)).mean() >= 0.999


@pytest.mark.parametrize("format", FILES)
def test_the_examples_refuse_a_file_that_they_would_get_wrong(format, tmp_path):
    file, example = FILES[format]
    classifier = random_model(TFSegformerForImageClassification)
    export(classifier, tmp_path, format, processor=processor(), size=SIZE if format == "litert" else None)
    (tmp_path / "picture.png").write_bytes(encoded(picture(*SIZE)))
    command = [sys.executable, EXAMPLES / example, tmp_path / file, tmp_path / "picture.png", tmp_path / "labels.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and not (tmp_path / "labels.png").exists()
    assert done.stderr.splitlines()[-1].startswith(f"{tmp_path / file}: class is 'TFSegformerForImageClassification', ")


@pytest.mark.parametrize(("format", "weights"), [("onnx", "int8"), ("openvino", "float16"), ("litert", "int8")])
def test_smaller_weights_stay_close(format, weights, tmp_path):
    written = export(model(), tmp_path, format, processor=processor(), weights=weights)
    assert 0 < written.relative_difference < {"float16": 0.02, "int8": 0.2}[weights]


@pytest.mark.parametrize("format", ["onnx", "saved_model"])
def test_files_hold_logits_alone_whatever_the_configuration_returns(format, tmp_path):
    told = {"return_dict": False, "output_hidden_states": True, "output_attentions": True}
    network = random_model(**told)
    export(network, tmp_path, format, processor=processor(size=SIZE))
    pixels = np.random.default_rng(0).normal(size=(1, *SIZE, 3)).astype("float32")
    found = open_exported(exported.exported_file(tmp_path))(pixels)
    np.testing.assert_allclose(found, model()(pixels).logits, rtol=1e-4, atol=1e-4)
    assert {name: getattr(network.config, name) for name in told} == told
    assert len(network(pixels)) == 3


def test_onnx_takes_any_batch_and_size(tmp_path):
    first = random_model(data_format="channels_first")
    export(first, tmp_path, "onnx", processor=processor())
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    pixels = np.random.default_rng(0).normal(size=(2, 3, 45, 70)).astype("float32")
    expected = np.asarray(first(pixels).logits)
    found = session.run(["logits"], {"pixel_values": pixels})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_openvino_gives_several_pictures_a_stream_each(tmp_path):
    export(model(), tmp_path, "openvino", processor=processor())
    runtime = open_exported(tmp_path / "openvino_model.xml")
    pixels = np.random.default_rng(0).normal(size=(5, 40, 64, 3)).astype("float32")
    alone = np.concatenate([runtime(each[np.newaxis]) for each in pixels])
    assert list(runtime._plans) == [((1, 40, 64, 3), False)]
    with ThreadPoolExecutor(4) as threads:  # as many callers at the same time as like
        for found in threads.map(runtime, [pixels] * 8):
            np.testing.assert_allclose(found, alone, atol=1e-5 * np.abs(alone).max())
    assert list(runtime._plans) == [((1, 40, 64, 3), several) for several in (False, True)]
    other = pixels[:, :32]
    runtime(other)
    runtime(other[:1])  # the rest of a list
    assert list(runtime._plans)[2:] == [((1, 32, 64, 3), True)]
    runtime(other[:1])
    assert list(runtime._plans)[3:] == [((1, 32, 64, 3), False)]


def test_openvino_plans_a_few_sizes_and_has_one_plan_for_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "SIZED_PLANS", 2)
    export(model(), tmp_path, "openvino", processor=processor())
    runtime = open_exported(tmp_path / "openvino_model.xml")
    for width in (32, 40, 48, 56, 32):
        pixels = np.random.default_rng(width).normal(size=(1, 32, width, 3)).astype("float32")
        expected = np.asarray(model()(pixels).logits)
        np.testing.assert_allclose(runtime(pixels), expected, atol=1e-4 * np.abs(expected).max())
    assert [shape for shape, _ in runtime._plans] == [(1, 32, 32, 3), (1, 32, 40, 3), ()]


def test_openvino_finds_the_norms_and_copies_no_maps(tmp_path):
    """What makes it fast: norms in parts and maps copied channels-first and back cost more than the products."""
    written = export(model(), tmp_path, "openvino", processor=processor(), size=SIZE, batch=2)
    compiled = openvino.Core().compile_model(written.path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert tuple(compiled.input(0).shape) == (2, *SIZE, 3)
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ops()]
    config = model().config
    norms = 2 * config.num_encoder_blocks + 2 * sum(config.depths)
    norms += sum(depth for depth, ratio in zip(config.depths, config.sr_ratios, strict=True) if ratio > 1)
    assert kinds.count("MVN") + kinds.count("RMS") == norms
    copies = sum(config.depths) + 2  # heads, and the pixels
    if "avx512f" not in Path("/proc/cpuinfo").read_text():  # OpenVINO resizes channels-first there: the head's maps too
        copies += 2 * (config.num_encoder_blocks - 1)
    assert kinds.count("Transpose") <= copies


@pytest.mark.parametrize("keys", [None, [1, 2]], ids=["queries", "queries and keys"])
@pytest.mark.parametrize("format", FILES)
def test_merged_queries_and_keys_are_in_the_file(format, keys, tmp_path):
    """Of sides that the blocks do not divide; `export` compares the file with the model."""
    size = (90, 100)
    merged = random_model(merge_queries=[1, 2], merge_keys=keys)
    written = export(merged, tmp_path, format, processor=processor(), size=size if format == "litert" else None)
    assert written.relative_difference < 1e-4
    pixels = np.random.default_rng(0).normal(size=(1, *size, 3)).astype("float32")
    file = export_formats.FILES[format].load(written.path)
    assert file.description.config["merge_queries"] == [1, 2] and file.description.config.get("merge_keys") == keys
    expected = np.asarray(merged(pixels).logits)
    np.testing.assert_allclose(file(pixels), expected, atol=1e-4 * np.abs(expected).max())


def test_a_classifier_is_exported_and_compared(tmp_path):
    classifier = random_model(TFSegformerForImageClassification)
    written = export(classifier, tmp_path, "openvino", processor=processor())
    assert written.same_labels is None and written.relative_difference < 1e-4


def test_int8_kernels_are_within_half_a_step_and_a_quarter_of_the_size(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(64, 96)).astype("float32")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "kernel"], ["y"])],
        "product",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [64, 64])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [64, 96])],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    path = tmp_path / "product.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8), path)
    before = path.stat().st_size
    compress(path, "int8")
    assert path.stat().st_size < 0.3 * before
    found = onnxruntime.InferenceSession(path).run(None, {"x": np.eye(64, dtype="float32")})[0]
    assert (np.abs(found - kernel) <= np.abs(kernel).max(0) / 127 * 0.501).all()


def test_litert_needs_a_size(tmp_path):
    with pytest.raises(ValueError, match=r"LiteRT needs one fixed size, .*: give one, size or --size"):
        export(model(), tmp_path, "litert", processor=processor(size={"shortest_edge": 64}))


@pytest.mark.parametrize("format", FILES)
def test_a_pipeline_needs_nothing_beside_the_file_and_gives_the_models_labels(format, tmp_path):
    written = export(model(), tmp_path, format, processor=processor(), size=SIZE if format == "litert" else None)
    image = np.asarray(picture(*SIZE))
    segment = SegmentationPipeline.from_pretrained(written.path)
    own = SegmentationPipeline(model(), processor(), runtime="tensorflow")
    assert segment.backend == format and segment.model is None and segment.id2label == own.id2label
    np.testing.assert_array_equal(segment.palette, own.palette)
    expected = own(image).labels
    assert (segment(image).labels == expected).mean() >= 0.999
    for result in segment([image, image, image]):
        assert (result.labels == expected).mean() >= 0.999


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_model_of_one_logit_gives_both_classes(format, tmp_path):
    binary = random_model(num_labels=1, id2label={0: "leaf"})
    image = np.asarray(picture(*SIZE))
    logits = np.asarray(binary(processor()(image, return_tensors="np").pixel_values).logits)
    bias = binary.get_layer("decode_head").classifier.bias
    bias.assign(bias - np.median(logits))  # half of the picture is one class, half the other
    written = export(binary, tmp_path, format, processor=processor())
    expected = SegmentationPipeline(binary, processor(), runtime="tensorflow")(image)
    found = SegmentationPipeline.from_pretrained(written.path)(image)
    assert set(np.unique(expected.labels)) == {0, 1} and found.id2label == expected.id2label
    assert (found.labels == expected.labels).mean() >= 0.999


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_an_exported_file_is_used_without_loading_tensorflow(format, tmp_path):
    written = export(model(), tmp_path, format, processor=processor())
    code = (
        "import sys, numpy as np; from segformer_tf import SegmentationPipeline;"
        f"SegmentationPipeline.from_pretrained({str(written.path)!r})(np.zeros((40, 50, 3), np.uint8));"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_checkpoint_runs_in_openvino_when_asked_to():
    image = np.asarray(picture(*SIZE))
    segment = SegmentationPipeline(model(), processor(), runtime="openvino")
    assert segment.backend == "openvino"
    expected = SegmentationPipeline(model(), processor(), runtime="tensorflow")(image).labels
    assert (segment(image).labels == expected).mean() >= 0.999


def test_a_checkpoint_runs_in_litert_at_the_processor_s_size_and_in_tensorflow_at_others():
    segment = SegmentationPipeline(model(), processor(), runtime="litert")
    pictures, expected = [np.asarray(picture(*SIZE))] * 3, SegmentationPipeline(model(), processor())
    for result in segment(pictures):
        assert result.runtime == "litert"
        assert (result.labels == expected(pictures[0]).labels).mean() >= 0.999
    sliding = {"mode": "slide", "window": (32, 32)}
    found = segment(pictures[0], **sliding)
    assert found.runtime == "tensorflow"
    assert (found.labels == expected(pictures[0], **sliding).labels).mean() >= 0.999
    with pytest.raises(ValueError, match="'litert' needs one size, and the processor has none"):
        SegmentationPipeline(model(), SegformerImageProcessor(do_resize=False), runtime="litert")


def test_a_file_of_another_program_is_told(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model\.onnx cannot be read by its runtime"):
        SegmentationPipeline.from_pretrained(tmp_path / "model.onnx")


def test_a_file_whose_classes_are_not_its_own_is_refused(tmp_path):
    file = export(model(), tmp_path, "onnx", processor=processor()).path
    changed = onnx.load(file)
    about = json.loads(changed.metadata_props[0].value)
    about["config"] |= {"id2label": {"0": "road", "1": "rest"}, "label2id": {"road": 0, "rest": 1}}
    onnx.helper.set_model_props(changed, {description.KEY: json.dumps(about)})  # the checksum goes
    onnx.save(changed, file)
    with pytest.raises(ValueError, match=r"model\.onnx says that its model has 2 classes, channels_last, and has 5"):
        SegmentationPipeline.from_pretrained(file)


@pytest.mark.parametrize("format", FILES)
def test_a_damaged_file_is_told_whichever_byte_it_is(format, tmp_path):
    """A runtime computes with damaged weights without a word."""
    file = export(model(), tmp_path, format, processor=processor(), size=SIZE).path
    whole = file.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 9).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 255
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{file.name} (is not what was written: its checksum|does not say whi)"):
            open_exported(file)
    file.write_bytes(whole)
    assert open_exported(file).backend == format


def test_openvino_files_come_in_pairs(tmp_path):
    """The .xml of one model with the .bin of another would be run as if nothing were wrong."""
    file = export(model(), tmp_path, "openvino", processor=processor(), size=SIZE).path
    weights = file.with_suffix(".bin")
    own = weights.read_bytes()
    for other in (own[:-4] + b"else", own[: len(own) // 2]):
        weights.write_bytes(other)
        with pytest.raises(
            ValueError, match=r"openvino_model\.(bin is not what was written with|xml cannot be read by)"
        ):
            open_exported(file)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no .*\.bin, which holds the weights of .*: copy it there"):
        open_exported(file)
    weights.write_bytes(own)
    assert open_exported(file).backend == "openvino"


def test_what_a_runtime_says_is_told_without_its_source_places(tmp_path):
    (tmp_path / "model.xml").write_text("<no-model/>")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot be read by its runtime \((?!Exception from|Check)"):
        open_exported(tmp_path / "model.xml")
