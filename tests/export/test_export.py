"""SavedModel directories: what they hold, what they answer, and that they appear whole or not at all."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from serving_models import SIZE, decoded, encoded, exported, loaded, model, picture, processor, random_model
from tensorflow_serving.apis import prediction_log_pb2

from segformer_tf import (
    ImageClassificationPipeline,
    SegformerImageProcessor,
    SegmentationPipeline,
    TFSegformerForImageClassification,
    TFSegformerModel,
)
from segformer_tf.export import export as export_module
from segformer_tf.export import signatures
from segformer_tf.export.arguments import FORMATS, check, check_for_transformers_js, check_resized
from segformer_tf.export.export import export
from segformer_tf.export.saved_model import next_version, weights_sha256
from segformer_tf.storage import whole


def test_signatures_have_the_names_types_and_shapes_that_clients_rely_on():
    def inputs(name):
        return {
            key: (spec.dtype.name, spec.shape.as_list())
            for key, spec in loaded()[name].structured_input_signature[1].items()
        }

    def outputs(name):
        return {key: spec.dtype.name for key, spec in loaded()[name].structured_outputs.items()}

    assert set(loaded()) == {"serving_default", "segment_tensor", "logits", "transformers"}
    assert inputs("serving_default") == {"image_bytes": ("string", [None])}
    assert outputs("serving_default") == {"labels": "uint8", "mask_bytes": "string", "error": "string"}
    assert inputs("segment_tensor") == {"images": ("uint8", [None, None, None, 3])}
    assert outputs("segment_tensor") == {"labels": "uint8"}
    assert inputs("logits") == {"pixel_values": ("float32", [None, None, None, 3])}
    assert inputs("transformers") == {"pixel_values": ("float32", [None, 3, None, None])}
    assert outputs("logits") == outputs("transformers") == {"logits": "float32"}


def test_tensor_signatures_answer_as_the_model_does():
    pixels = np.random.default_rng(0).normal(size=(2, 40, 70, 3)).astype("float32")
    expected = model()(pixels).logits
    np.testing.assert_allclose(loaded()["logits"](pixel_values=pixels)["logits"], expected, rtol=1e-4, atol=1e-4)
    first = loaded()["transformers"](pixel_values=np.moveaxis(pixels, -1, 1))["logits"]
    np.testing.assert_allclose(np.moveaxis(first, 1, -1), expected, rtol=1e-4, atol=1e-4)
    images = np.stack([np.asarray(picture(50, 70, seed)) for seed in (1, 2)])
    labels = loaded()["segment_tensor"](images=images)["labels"]
    segment = SegmentationPipeline(model(), processor())
    np.testing.assert_array_equal(labels, [segment(image).labels for image in images])


def test_labels_are_those_of_the_models_own_map():
    image = picture(50, 70)
    answer = loaded()["serving_default"](image_bytes=tf.constant([encoded(image)]))
    logits = model()(processor()(image, return_tensors="np").pixel_values).logits
    np.testing.assert_array_equal(answer["labels"], np.argmax(logits, -1))


def test_assets_name_the_classes_and_where_the_weights_came_from():
    classes = json.loads((exported() / "1/assets/classes.json").read_text())
    assert [row["name"] for row in classes] == ["road", "sky", "tree", "car", "person"]
    assert all(row["id"] == i and len(row["color"]) == 3 for i, row in enumerate(classes))
    facts = json.loads((exported() / "1/assets.extra/model.json").read_text())
    assert facts["weights_sha256"] == weights_sha256(model())
    assert facts["processor"] == processor().to_dict()
    assert facts["config"]["depths"] == [1, 1]


def test_the_hash_of_weights_follows_the_weights():
    other = random_model()
    assert weights_sha256(other) == weights_sha256(model())
    other.weights[0].assign_add(tf.ones_like(other.weights[0]) * 1e-6)
    assert weights_sha256(other) != weights_sha256(model())


def test_the_warm_up_file_holds_a_request_for_each_signature():
    file = str(exported() / "1/assets.extra/tf_serving_warmup_requests")
    records = tf.data.TFRecordDataset(file).as_numpy_iterator()
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    assert [r.model_spec.signature_name for r in requests] == [
        "serving_default",
        "segment_tensor",
        "logits",
        "transformers",
    ]
    assert {r.model_spec.name for r in requests} == {"street"}
    assert tf.make_ndarray(requests[1].inputs["images"]).shape == (1, *SIZE, 3)
    assert decoded(tf.make_ndarray(requests[0].inputs["image_bytes"])[0]).shape == (*SIZE, 3)


def test_versions_count_up_from_the_highest(tmp_path):
    assert next_version(tmp_path / "absent") == 1
    for name in ("1", "9", "10", "latest", ".draft-x"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == 11


def test_a_version_that_came_meanwhile_is_not_in_the_way(tmp_path, monkeypatch):
    """The number is taken while no other export can take it, not when this one begins."""

    def write(draft, *_):
        draft.mkdir()
        (draft / "saved_model.pb").touch()
        return 0.0, 1.0

    finish = whole._finish

    def finished(draft):
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "saved_model.pb").touch()
        finish(draft)

    monkeypatch.setattr(export_module, "write_saved_model", write)
    monkeypatch.setattr(whole, "_finish", finished)
    assert export(model(), tmp_path, processor=processor(), names=["logits"]).path == tmp_path / "2"
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")) == [
        "1/saved_model.pb",
        "2/saved_model.pb",
    ]


def test_a_directory_that_is_called_like_a_file_is_refused_and_found_where_it_is_there(tmp_path):
    for name in ("out.onnx", "OUT.TFLITE", "model.keras"):
        with pytest.raises(ValueError, match=rf"{name} has the name of a file, .*: name a directory"):
            export(model(), tmp_path / name, "keras", processor=processor())
    assert not any(tmp_path.iterdir())
    (tmp_path / "out.onnx").mkdir()
    assert export(model(), tmp_path / "out.onnx", "keras", processor=processor()).path.is_file()


def test_a_failed_export_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail_half_way(draft, *_):
        (draft / "saved_model.pb").parent.mkdir()
        (draft / "saved_model.pb").write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(export_module, "write_saved_model", fail_half_way)
    with pytest.raises(OSError, match="disk full"):
        export(model(), tmp_path, processor=processor(), names=["logits"])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_more_than_the_tolerance_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(export_module.TOLERANCES, "float32", -1.0)
    with pytest.raises(ValueError, match=r"model.keras gives logits up to .* it was not kept"):
        export(model(), tmp_path, "keras", processor=processor())
    assert list(tmp_path.iterdir()) == []


def test_a_keras_file_is_compared_and_kept(tmp_path):
    written = export(model(), tmp_path, "keras", processor=processor())
    assert written.path == tmp_path / "model.keras"
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    assert written.relative_difference < 1e-5 and written.same_labels == 1.0


def test_a_file_is_compared_on_the_picture_that_is_given(tmp_path, monkeypatch):
    seen = []

    class Recorded(export_module.KerasModel):
        def __call__(self, pixels):
            seen.append(pixels)
            return super().__call__(pixels)

    monkeypatch.setattr(export_module, "KerasModel", Recorded)
    given = np.asarray(picture(50, 70, seed=3))
    export(model(), tmp_path, "keras", processor=processor(), picture=given)
    np.testing.assert_array_equal(seen[0], processor()(given, return_tensors="np").pixel_values)


def test_a_difference_that_is_no_number_is_not_below_the_tolerance():
    for difference, scale in ((np.nan, 1.0), (0.3, 2.0), (1.0, 0.0)):
        with pytest.raises(ValueError, match=f"The file gives logits up to {difference:.3g} away .*: it was not kept"):
            export_module._check_difference("The file", difference, scale, 0.1)
    for difference, scale in ((0.1, 1.0), (0.0, 0.0)):
        export_module._check_difference("The file", difference, scale, 0.1)
    assert [export_module._relative(*pair) for pair in ((1.0, 4.0), (0.0, 0.0))] == [0.25, 0.0]
    assert export_module._same_labels(*2 * [np.zeros((1, 5))], np.zeros((1, 64, 96, 3))) is None  # a classifier's


def test_a_size_that_is_asked_for_is_resized_to():
    assert export_module.at_size(SegformerImageProcessor(do_resize=False), (32, 64)).fixed_size == (32, 64)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    broken = random_model()
    bias = broken.get_layer("decode_head").classifier.bias
    bias.assign(np.full(bias.shape, np.nan))
    for format in ("saved_model", "keras"):
        with pytest.raises(ValueError, match="The model has values that are no numbers"):
            export(broken, tmp_path, format, processor=processor())
    assert list(tmp_path.iterdir()) == []


def test_a_saved_model_that_answers_with_other_labels_is_not_kept(tmp_path, monkeypatch):
    other = random_model()
    other.get_layer("decode_head").classifier.bias.assign([1e3, 0, 0, 0, 0])
    kept = tf.saved_model.load(str(exported() / "1"))
    monkeypatch.setattr(tf.saved_model, "load", lambda _: kept)
    with pytest.raises(ValueError, match="serving_default answers with another labels when read back from"):
        export(other, tmp_path, processor=processor(), names=["serving_default"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{"size": {"shortest_edge": 64}}, {"do_resize": False}])
def test_a_size_that_depends_on_the_picture_is_served_one_by_one(settings):
    settings = processor(**settings)
    serve = signatures.build(model(), settings, ["serving_default"])["serving_default"]
    files = [encoded(picture(50, 70)), b"no picture", encoded(picture(90, 60, seed=1), "JPEG")]
    answer = serve(image_bytes=tf.constant(files))
    assert set(answer) == {"mask_bytes", "error"}
    segment = SegmentationPipeline(model(), settings)
    for i in (0, 2):
        np.testing.assert_array_equal(decoded(answer["mask_bytes"].numpy()[i]), segment(files[i]).labels)
    assert answer["mask_bytes"].numpy()[1] == b"" and b"not a picture" in answer["error"].numpy()[1]


@pytest.mark.parametrize("task", [TFSegformerForImageClassification, None])
def test_a_strip_that_would_become_huge_does_not_take_its_batch_along(task):
    settings = processor(size={"shortest_edge": 512})
    network = random_model(task) if task else model()
    built = signatures.build(network, settings)
    strip, good = Image.new("RGB", (1056, 32)), encoded(picture(64, 64))
    answer = built["serving_default"](image_bytes=tf.constant([encoded(strip), good]))
    errors = answer["error"].numpy()
    assert errors[0].startswith(b"The picture is 1056 x 32 pixels, and a shortest edge of 512 would make its longest")
    assert errors[1] == b""
    if not task:
        assert answer["mask_bytes"].numpy()[0] == b"" and decoded(answer["mask_bytes"].numpy()[1]).shape == (64, 64)
        with pytest.raises(tf.errors.InvalidArgumentError, match="image is 32 x 1056, and a shortest edge of 512"):
            built["segment_tensor"](images=tf.zeros((1, 32, 1056, 3), tf.uint8))


def test_a_saved_model_has_the_size_and_the_limit_that_are_asked_for(tmp_path):
    asked = {"size": (32, 64), "labels_at": "input", "max_pixels": 3000}
    written = export(model(), tmp_path, processor=processor(), names=["serving_default"], **asked)
    kept = tf.saved_model.load(str(written.path))
    files = [encoded(picture(50, 60)), encoded(picture(50, 61))]
    answer = kept.signatures["serving_default"](image_bytes=tf.constant(files))
    assert answer["labels"].shape == (2, 32, 64)
    segment = SegmentationPipeline(model(), processor(size=(32, 64)))
    np.testing.assert_array_equal(decoded(answer["mask_bytes"].numpy()[0]), segment(files[0]).labels)
    assert answer["error"].numpy()[0] == b"" and b"at most 3000 in all" in answer["error"].numpy()[1]


@pytest.mark.parametrize("settings", [{}, {"do_resize": False}])
def test_the_limit_of_pixels_holds_for_every_kind_of_model(settings):
    file = encoded(picture(64, 64))
    for served in (model(), random_model(TFSegformerForImageClassification)):
        serve = signatures.build(served, processor(**settings), ["serving_default"], max_pixels=4095)
        error = serve["serving_default"](image_bytes=tf.constant([file]))["error"].numpy()[0]
        assert b"is 64 x 64 pixels, expected" in error and b"at most 4095 in all" in error


def test_labels_may_be_asked_for_at_the_inputs_size():
    serve = signatures.build(model(), processor(), ["serving_default"], labels_at="input")["serving_default"]
    image = picture(*SIZE)
    answer = serve(image_bytes=tf.constant([encoded(image)]))
    assert answer["labels"].shape == (1, *SIZE)
    np.testing.assert_array_equal(answer["labels"][0], decoded(answer["mask_bytes"].numpy()[0]))


def test_over_256_classes_maps_have_16_bits():
    many = random_model(id2label={i: f"class {i}" for i in range(300)})
    bias = many.get_layer("decode_head").classifier.bias
    bias.assign(np.where(np.arange(300) < 200, -1000.0, 0.0))
    serve = signatures.build(many, processor(), ["serving_default"])["serving_default"]
    file = encoded(picture(40, 50))
    answer = serve(image_bytes=tf.constant([file]))
    assert answer["labels"].dtype == tf.uint16
    expected = SegmentationPipeline(many, processor())(file).labels
    assert expected.max() > 255
    np.testing.assert_array_equal(decoded(answer["mask_bytes"].numpy()[0]), expected)


@pytest.mark.parametrize("temperature", [None, 0.01])
def test_a_classifier_answers_with_names_and_scores(temperature):
    classifier = random_model(TFSegformerForImageClassification, data_format="channels_first")
    if temperature:
        classifier.config.calibration_temperature = temperature
    built = signatures.build(classifier, processor())
    assert set(built) == {"serving_default", "logits", "transformers"}
    file = encoded(picture(40, 50), "JPEG")
    answer = built["serving_default"](image_bytes=tf.constant([file, b"x"]))
    expected = ImageClassificationPipeline(classifier, processor())(file)
    assert [name.decode() for name in answer["classes"].numpy()[0]] == [row["label"] for row in expected]
    np.testing.assert_allclose(answer["scores"][0], [row["score"] for row in expected], rtol=1e-4)
    assert answer["error"].numpy()[0] == b"" and b"not a picture" in answer["error"].numpy()[1]
    assert (answer["scores"].numpy()[0, 0] > 0.99) == bool(temperature)


@pytest.mark.parametrize(
    "several", [{"problem_type": "multi_label_classification"}, {"num_labels": 1, "id2label": None}]
)
def test_a_classifier_of_classes_that_do_not_exclude_each_other_answers_with_the_share_of_each(several):
    classifier = random_model(TFSegformerForImageClassification, **several)
    file = encoded(picture(40, 50), "JPEG")
    answer = signatures.build(classifier, processor(), ["serving_default"])["serving_default"](
        image_bytes=tf.constant([file])
    )
    expected = ImageClassificationPipeline(classifier, processor())(file)
    np.testing.assert_allclose(answer["scores"][0], [row["score"] for row in expected], rtol=1e-4)
    assert abs(sum(row["score"] for row in expected) - 1) > 0.01


def test_a_classifier_answers_alike_one_by_one_and_to_numbers():
    classifier = random_model(TFSegformerForImageClassification)
    own_size = processor(do_resize=False)
    built = signatures.build(classifier, own_size)
    file = encoded(picture(64, 96))
    answer = built["serving_default"](image_bytes=tf.constant([file]))
    expected = ImageClassificationPipeline(classifier, own_size)(file)
    assert [name.decode() for name in answer["classes"].numpy()[0]] == [row["label"] for row in expected]
    np.testing.assert_allclose(answer["scores"][0], [row["score"] for row in expected], rtol=1e-4)
    pixels = own_size(file, return_tensors="np").pixel_values
    logits = classifier(pixels).logits
    for name, given in (("logits", pixels), ("transformers", np.moveaxis(pixels, -1, 1))):
        found = built[name](pixel_values=tf.constant(given))["logits"]
        np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("turn", [None, True, False])
@pytest.mark.parametrize("settings", [{}, {"size": {"shortest_edge": 64}}])
def test_pictures_are_turned_where_the_pipeline_turns_them(settings, turn):
    settings = processor(**settings, do_exif_transpose=turn)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [encoded(picture(50, 70), kind, exif=exif) for kind in ("JPEG", "PNG")]
    serve = signatures.build(model(), settings, ["serving_default"])["serving_default"]
    masks = serve(image_bytes=tf.constant(files))["mask_bytes"].numpy()
    segment = SegmentationPipeline(model(), settings)
    for mask, file in zip(masks, files, strict=True):
        assert decoded(mask).shape == ((50, 70) if turn is False else (70, 50))
        np.testing.assert_array_equal(decoded(mask), segment(file).labels)


def test_a_bfloat16_model_is_served_in_bfloat16(tmp_path):
    half = random_model(dtype="mixed_bfloat16")
    half.set_weights(model().get_weights())
    names = ["serving_default", "logits"]
    assert export(half, tmp_path, processor=processor(), names=names).path == tmp_path / "1"
    saved = tf.saved_model.load(str(tmp_path / "1"))
    file = encoded(picture(64, 96), "JPEG")
    mask = decoded(saved.signatures["serving_default"](image_bytes=tf.constant([file]))["mask_bytes"].numpy()[0])
    library = saved.signatures["logits"].graph.as_graph_def().library.function
    products = [node.attr["T"].type for function in library for node in function.node_def if node.op == "MatMul"]
    assert products and set(products) == {tf.bfloat16.as_datatype_enum}
    assert (mask == SegmentationPipeline(half, processor())(file).labels).mean() > 0.97
    assert (mask == SegmentationPipeline(model(), processor())(file).labels).mean() > 0.9


def test_models_of_other_channels_take_tensors_only():
    built = signatures.build(random_model(num_channels=4), processor(do_normalize=False))
    assert set(built) == {"segment_tensor", "logits", "transformers"}


def test_what_a_graph_cannot_run_is_refused_with_its_cause():
    built = signatures.build(model(), processor(), ["logits", "segment_tensor", "serving_default"])
    logits = built["logits"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="a side of under 32 pixels: enlarge or pad"):
        logits(pixel_values=tf.zeros((1, 31, 64, 3)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixel_values is an empty batch, expected at least one"):
        logits(pixel_values=tf.zeros((0, 64, 64, 3)))
    for pixels, batch in (((32, 131_073), 1), ((2048, 2048), 9)):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="have over 4194304 pixels a picture, or over 33554432"
        ):
            built["segment_tensor"](images=tf.zeros((batch, *pixels, 3), tf.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="has over 64 pictures, which is the limit"):
        built["serving_default"](image_bytes=tf.fill([65], b""))


def test_pictures_too_small_for_the_models_reduction_are_refused_one_by_one():
    """57 pixels a side: the smallest that leaves a kernel of 8 x 8 its map in the second stage."""
    network = random_model(sr_ratios=[4, 8])
    built = signatures.build(network, processor(do_resize=False))
    files = [encoded(picture(56, 64)), b"no picture", encoded(picture(57, 64))[:200], encoded(picture(57, 64))]
    small, least = np.asarray(picture(56, 64)), np.asarray(picture(57, 64))
    answer = built["serving_default"](image_bytes=tf.constant(files))
    errors = answer["error"].numpy()
    assert errors[0].startswith(b"The picture is 64 x 56 pixels, expected at least 57 a side") and errors[1:3].all()
    assert errors[3] == b"" and [*answer["mask_bytes"].numpy()[:3]] == [b""] * 3
    expected = SegmentationPipeline(network, processor(do_resize=False), runtime="tensorflow")(least).labels
    np.testing.assert_array_equal(decoded(answer["mask_bytes"].numpy()[3]), expected)
    np.testing.assert_array_equal(built["segment_tensor"](images=tf.constant(least[None]))["labels"][0], expected)
    too_small = {
        "segment_tensor": {"images": tf.constant(small[None])},
        "logits": {"pixel_values": tf.zeros((1, 56, 64, 3))},
        "transformers": {"pixel_values": tf.zeros((1, 3, 64, 56))},
    }
    for name, inputs in too_small.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match="a side of under 57 pixels: enlarge or pad"):
            built[name](**inputs)
    classifier = random_model(TFSegformerForImageClassification, sr_ratios=[4, 8])
    answer = signatures.build(classifier, processor(do_resize=False))["serving_default"](image_bytes=tf.constant(files))
    assert [error != b"" for error in answer["error"].numpy()] == [True, True, True, False]


@pytest.mark.parametrize("size", [16, (64, 31), {"shortest_edge": 16}])
def test_a_processor_that_makes_pictures_too_small_is_refused_before_the_work(tmp_path, size):
    made = SegformerImageProcessor(size=size)
    with pytest.raises(ValueError, match=r"The processor's size is .*, expected at least 32 pixels a side"):
        signatures.build(model(), made, ["serving_default"])
    for format in ("saved_model", "keras", "litert"):
        with pytest.raises(ValueError, match=r"The processor's size is .*, expected at least 32 pixels a side"):
            export(model(), tmp_path, format, processor=made)
    with pytest.raises(ValueError, match=r"size is 56 x 64, expected at least 57 a side"):
        export(random_model(sr_ratios=[4, 8]), tmp_path, size=(56, 64))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "pickle"}, "format is 'pickle', expected one of saved_model, keras, onnx, openvino, litert"),
        ({"weights": "int8"}, "weights is 'int8', expected float32 for saved_model"),
        ({"format": "litert", "weights": "int4"}, "weights is 'int4', expected float32 or float16 or int8 for litert"),
        ({"names": ["logits", "classify"]}, "There is no signature classify, expected some of serving_default, segm"),
        ({"labels_at": "full"}, 'labels_at is \'full\', expected "map" or "input"'),
        (
            {"processor": SegformerImageProcessor(value_range=(0, 4095))},
            r"has value_range=\(0\.0, 4095\.0\), which a graph cannot do: leave serving_default out",
        ),
        ({"size": (64, 31)}, "size is 64 x 31, expected at least 32 a side"),
        ({"batch": 0, "format": "onnx"}, "batch is 0, expected a number above 0"),
        ({"size": (64, 64), "format": "keras"}, "size is 64 x 64 for keras, expected none: a .keras file takes any"),
        ({"picture": np.zeros((64, 64, 3), np.uint8)}, "picture is given for saved_model, expected none"),
        ({"names": ["logits"], "format": "onnx"}, r"names is \['logits'\] for onnx, expected none: it is for saved_"),
        ({"labels_at": "input", "format": "litert"}, "labels_at is 'input' for litert, expected none"),
        ({"max_pixels": 10**6, "format": "keras"}, "max_pixels is 1000000 for keras, expected none"),
        ({"max_pixels": 0}, "max_pixels is 0, expected a number above 0"),
        ({"names": []}, "names is empty, expected some of serving_default, segment_tensor, logits, transformers"),
        ({"tolerance": float("nan"), "format": "keras"}, "tolerance is nan, expected 0 or more"),
        ({"tolerance": -0.1, "format": "keras"}, "tolerance is -0.1, expected 0 or more"),
        (
            {"format": "litert", "processor": SegformerImageProcessor(do_resize=False)},
            "LiteRT needs one fixed size, and the processor has none: give one, size or --size",
        ),
        ({"batch": 2}, "batch is 2 for saved_model, expected none: it binds files of onnx or openvino"),
    ],
)
def test_arguments_that_do_not_fit_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export(model(), tmp_path, **{"processor": processor(), **arguments})
    assert list(tmp_path.iterdir()) == []


def test_what_a_converter_does_not_write_is_named():
    with pytest.raises(ValueError, match="dtype is 'mixed_bfloat16' for onnx, expected 'float32', which converters"):
        check("onnx", None, None, "float32", "mixed_bfloat16")
    check("keras", None, None, "float32", "mixed_bfloat16")
    for format, weights in (("onnx", "int8"), ("openvino", "float32")):
        with pytest.raises(ValueError, match='calibration is for weights "int8" and openvino; weights is'):
            check(format, None, None, weights, "float32", calibration=True)
    check("openvino", None, None, "int8", "float32", calibration=True)


def test_the_size_of_a_processor_that_resizes_nothing_does_not_matter():
    check_resized(SegformerImageProcessor(do_resize=False, size=16), 32)
    check_resized(SegformerImageProcessor(size={"shortest_edge": 32}), 32)
    with pytest.raises(ValueError, match="expected at least 33 pixels a side"):
        check_resized(SegformerImageProcessor(size={"shortest_edge": 32}), 33)


def test_an_encoder_alone_is_not_served():
    with pytest.raises(
        ValueError, match="The model is a TFSegformerModel, expected one with a segmentation or classifier"
    ):
        signatures.build(TFSegformerModel(model().config), processor())


def test_a_missing_package_is_named_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"onnx needs onnx, tf2onnx, onnxruntime: pip install 'segformer-tf\[export\]'"
    ):
        export(model(), tmp_path, "onnx", processor=processor())
    with pytest.raises(ImportError, match=r"openvino, onnx, tf2onnx, nncf: pip install 'segformer-tf\[int8\]'"):
        export_module._check_packages("openvino", calibrated=True)


def test_a_pipeline_needs_nothing_beside_a_directory_of_versions():
    segment = SegmentationPipeline.from_pretrained(exported())
    own = SegmentationPipeline(model(), processor(), runtime="tensorflow")
    assert segment.backend == "tensorflow" and segment.model is None and segment.id2label == own.id2label
    image = np.asarray(picture(50, 71))
    expected = own(image).labels
    for result in (segment(image), *segment([image, image])):
        assert (result.labels == expected).mean() >= 0.999


def test_what_transformers_js_cannot_load_is_refused_before_the_work(tmp_path):
    for format, program in [("openvino", "transformers.js"), ("onnx", "tensorflow.js")]:
        with pytest.raises(ValueError, match=rf'program is \'{program}\' for {format}, expected "transformers.js"'):
            export(model(), tmp_path, format, program=program)
    with pytest.raises(ValueError, match=r"has data_format 'channels_last', transformers\.js expects"):
        export(model(), tmp_path, "onnx", program="transformers.js")
    binary = random_model(num_labels=1, id2label=None, data_format="channels_first")
    with pytest.raises(ValueError, match=r"num_labels 1, transformers\.js expects 3 channels and 2 classes or more"):
        export(binary, tmp_path, "onnx", program="transformers.js")
    with pytest.raises(ValueError, match="num_channels 4 and num_labels 5"):
        check_for_transformers_js("channels_first", 4, 5)
    assert not any(tmp_path.iterdir())


def test_every_format_is_written_by_somebody():
    assert ("saved_model", *export_module.FILES) == FORMATS


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_model_is_refused_with_what_to_do(tmp_path):
    network = random_model()
    network.quantize("int8")
    told = r"quantized \(int8\), expected one of floats: export it before `quantize`"
    with pytest.raises(ValueError, match=told):
        export(network, tmp_path, "onnx")
    for format in FORMATS:  # of the command's --dtype
        with pytest.raises(ValueError, match=told):
            check(format, None, None, "float32", "int8_from_float32")
