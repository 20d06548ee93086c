import io
import json
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from reference import ROOT, SMALL
from small_models import model_of_several_classes, random_model

from segformer_tf import (
    ImageClassificationPipeline,
    SegformerConfig,
    SegformerImageProcessor,
    SegmentationPipeline,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
)
from segformer_tf.images.raster import Regions
from segformer_tf.pipelines.runtimes.runtime import KerasModel

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype("uint8")


@pytest.fixture(scope="module")
def segment():
    made = SegmentationPipeline(
        model_of_several_classes(PICTURE, (64, 96), (50, 70)), SegformerImageProcessor(size=(64, 96)), "tiny"
    )
    assert len(np.unique(made(PICTURE).labels)) >= 3
    return made


def test_a_copy_with_another_runtime_stays_with_it(monkeypatch):
    monkeypatch.setattr("segformer_tf.pipelines.pipeline.candidate", lambda *_: "openvino")
    monkeypatch.setattr("segformer_tf.pipelines.pipeline.fastest", lambda *_: pytest.fail("it was converted"))
    segment = SegmentationPipeline(random_model(), SegformerImageProcessor(size=(64, 96)))
    before, other = segment.runtime, KerasModel(random_model())
    made = segment.with_runtime(other)
    assert made([PICTURE])[0].labels.shape == (50, 70) and made.runtime is other
    assert segment.runtime is before and segment._may_convert


def test_one_picture_is_labelled_at_its_own_size(segment):
    result = segment(PICTURE)
    logits = segment.model(segment.processor(PICTURE, return_tensors="np").pixel_values).logits
    expected = segment.processor.post_process_semantic_segmentation(logits, [(50, 70)])[0]
    assert result.labels.dtype == np.int32 and result.labels.shape == (50, 70)
    np.testing.assert_array_equal(result.labels, expected)
    assert sum(row["pixels"] for row in result.classes) == 50 * 70
    assert result.classes[0]["name"] == f"LABEL_{result.classes[0]['id']}"


def test_every_kind_of_picture_gives_the_same_answer(segment, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "picture.png")
    data = (tmp_path / "picture.png").read_bytes()
    expected = segment(PICTURE).labels
    for picture in (
        tmp_path / "picture.png",
        str(tmp_path / "picture.png"),
        data,
        io.BytesIO(data),
        Image.fromarray(PICTURE),
        PICTURE.transpose(2, 0, 1),
    ):
        np.testing.assert_array_equal(segment(picture).labels, expected)


def test_a_list_gives_a_list_and_an_iterator_is_streamed(segment):
    results = segment([PICTURE, PICTURE[:40]])
    assert [result.labels.shape for result in results] == [(50, 70), (40, 70)]
    taken = []

    def pictures():
        for index in range(30):
            taken.append(index)
            yield PICTURE

    stream = segment(pictures(), batch_size=2)
    assert taken == []
    assert next(stream).labels.shape == (50, 70) and len(taken) == 6  # three batches: read, computed, finished
    stream.close()
    assert len(taken) == 6


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_sliding_over_a_picture_of_one_window_equals_the_whole(segment, data_format):
    model = TFSegformerForSemanticSegmentation(segment.model.config, data_format=data_format)
    model.set_weights(segment.model.get_weights())
    pipeline = SegmentationPipeline(model, SegformerImageProcessor(do_resize=False))
    picture = PICTURE[:48, :64]
    expected = pipeline(picture).labels
    np.testing.assert_array_equal(pipeline(picture, mode="slide", window=(64, 64), stride=(32, 32)).labels, expected)
    assert pipeline(PICTURE, mode="slide", window=(48, 32), stride=(32, 16)).labels.shape == (50, 70)


def test_mirroring_averages_both_directions(segment):
    plain, mirrored = segment(PICTURE, flip=True).labels, segment(PICTURE[:, ::-1], flip=True).labels
    assert (plain == mirrored[:, ::-1]).mean() > 0.99
    assert segment(PICTURE, scales=(0.75, 1.0, 1.25), flip=True).labels.shape == (50, 70)
    np.testing.assert_array_equal(segment(PICTURE, scales=(1.0,)).labels, segment(PICTURE).labels)


def test_a_model_of_one_class_tells_it_from_the_rest():
    model = random_model(num_labels=1)
    segment = SegmentationPipeline(model, SegformerImageProcessor(size=64))
    logits = model(segment.processor(PICTURE, return_tensors="np").pixel_values).logits
    bias = model.get_layer("decode_head").classifier.bias
    bias.assign(bias - np.median(logits))  # half of the picture is one class, half the other
    logits = model(segment.processor(PICTURE, return_tensors="np").pixel_values).logits
    expected = tf.image.resize(logits, PICTURE.shape[:2])[0, ..., 0].numpy() > 0
    result = segment(PICTURE)
    assert (result.labels == expected).mean() > 0.999 and 0.2 < expected.mean() < 0.8
    assert {row["name"]: row["pixels"] for row in result.classes} == {
        "background": (result.labels == 0).sum(),
        "LABEL_0": (result.labels == 1).sum(),
    }
    for options in ({"flip": True}, {"mode": "slide", "window": (32, 32), "stride": (32, 32)}):
        assert set(np.unique(segment(PICTURE, **options).labels)) == {0, 1}


@pytest.mark.parametrize("number", [[0.5], 0.5], ids=str)
def test_grey_models_take_grey_pictures(number):
    processor = SegformerImageProcessor(size=64, image_mean=number, image_std=number)
    segment = SegmentationPipeline(random_model(num_channels=1), processor)
    result = segment(Image.fromarray(PICTURE))
    np.testing.assert_array_equal(segment(np.asarray(Image.fromarray(PICTURE).convert("L"))).labels, result.labels)
    assert result.labels.shape == (50, 70) and result.overlay(legend=False).size == (70, 50)


def test_results_are_saved_whole(segment, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "street.png")
    result = segment(tmp_path / "street.png")
    files = result.save(tmp_path / "out")
    assert [file.name for file in files] == ["street_labels.png", "street_overlay.png", "street.json"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(file.name for file in files)
    labels = Image.open(files[0])
    assert labels.mode == "P"
    np.testing.assert_array_equal(np.asarray(labels), result.labels)
    assert json.loads(files[2].read_text()) == result.to_dict()
    assert json.loads(files[2].read_text())["size"] == {"height": 50, "width": 70}
    with pytest.raises(OSError, match=r"street\.png"):
        result.save(tmp_path / "street.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tiles"}, 'mode is \'tiles\'; expected "whole" or "slide"'),
        ({"scales": ()}, r"scales are \(\); expected at least one"),
        ({"mode": "slide", "stride": (2000, 768)}, r"stride is \(2000, 768\); expected at most the window"),
        ({"window": (1024, 1024)}, r'window is \(1024, 1024\), and is for mode="slide" only: give that too'),
        ({"stride": (768, 768)}, 'and is for mode="slide" only: give that too, or leave stride out'),
        ({"blend": "gaussian"}, "blend is 'gaussian', and is for mode=\"slide\" only"),
        ({"mode": "slide", "window": 64}, r"window is 64; expected \(height, width\) in whole pixels"),
        ({"mode": "slide", "window": "64"}, r"window is '64'; expected \(height, width\) in whole pixels"),
        ({"scales": (None,)}, r"scales are \(None,\); expected each above 0"),
        ({"maps": 5}, 'maps is 5; expected names of classes, or "entropy", in a list'),
        ({"batch_size": 0}, "batch_size is 0; expected a whole number of at least 1"),
        ({"batch_size": 1.5}, r"batch_size is 1\.5; expected a whole number"),
        ({"batch_size": "4"}, "batch_size is '4'; expected a whole number"),
    ],
)
def test_options_that_make_no_sense_are_named(segment, options, message):
    with pytest.raises(ValueError, match=message):
        segment(PICTURE, **options)

    if "batch_size" in options:  # told before the first picture is touched
        with pytest.raises(ValueError, match=message):
            segment(iter([PICTURE]), **options)


def test_a_list_of_colours_works_everywhere_and_what_are_none_is_refused():
    segment = SegmentationPipeline(random_model(), SegformerImageProcessor(size=(64, 96)), "tiny")
    colours = [(10 * i, 0, 255) for i in range(5)]
    segment.palette = colours
    result = segment(PICTURE)
    assert "rgb(" in result._repr_html_() and result.palette.tolist() == [list(colour) for colour in colours]
    with pytest.raises(ValueError, match=r"palette is an array \(4, 3\) .*; expected 5 colours, one for each class"):
        segment.palette = colours[:4]
    assert segment.palette is result.palette


def test_windows_of_whole_numbers_are_taken_whatever_their_type(segment):
    expected = segment(PICTURE, mode="slide", window=(40, 40), stride=(30, 30)).labels
    found = segment(PICTURE, mode="slide", window=(40.0, 40.0), stride=np.array([30, 30])).labels
    np.testing.assert_array_equal(found, expected)


def test_a_dictionary_is_no_picture_and_no_list(segment):
    for call in (segment, segment.stream):
        with pytest.raises(TypeError, match="pictures is a dict; expected a picture or a list of them: its values"):
            call({"image": PICTURE})


def test_files_are_named_as_those_of_the_command_line_are(segment, tmp_path):
    for name in ("a.gif", "a.tif", "a.png"):
        Image.fromarray(PICTURE).save(tmp_path / name)
        assert segment(tmp_path / name).name == {"a.png": "a"}.get(name, name)


def test_pixels_that_are_no_numbers_are_refused(segment):
    with pytest.raises(ValueError, match="image has NaN or infinite values"):
        segment(np.full((64, 64, 3), np.nan, "float32"))
    with pytest.raises(ValueError, match="channels"):
        segment(np.zeros((64, 64, 7), "uint8"))


def test_the_bundled_model_finds_sky_and_trees():
    segment = SegmentationPipeline.from_pretrained()
    result = segment(ROOT / "examples" / "china.jpg")
    assert segment.name == "segformer-b0-camvid" and segment.processor.size == {"height": 360, "width": 480}
    shares = {row["name"]: row["share"] for row in result.classes}
    assert shares["sky"] > 0.25 and shares["tree"] > 0.2 and shares["building"] > 0.1
    assert result.labels.shape == (427, 640)
    assert tuple(segment.palette[0]) == (128, 128, 128)


def test_classification_names_the_likeliest_first(tmp_path):
    model = random_model(TFSegformerForImageClassification)
    model.save_pretrained(tmp_path)
    SegformerImageProcessor(size=64).save_pretrained(tmp_path)
    classify = ImageClassificationPipeline.from_pretrained(tmp_path)
    answers = classify(PICTURE, top_k=3)
    scores = [answer["score"] for answer in answers]
    assert len(answers) == 3 and scores == sorted(scores, reverse=True)
    assert sum(answer["score"] for answer in classify(PICTURE, top_k=5)) == pytest.approx(1, abs=1e-5)
    for bad in (0, 2.5, "2"):
        with pytest.raises(ValueError, match=f"top_k is {bad!r}; expected a whole number, at least 1"):
            classify(PICTURE, top_k=bad)


@pytest.mark.parametrize(
    ("num_labels", "problem_type", "function"),
    [
        (3, None, "softmax"),
        (3, "single_label_classification", "softmax"),
        (3, "multi_label_classification", "sigmoid"),
        (1, None, "sigmoid"),
        (1, "regression", "sigmoid"),
    ],
)
def test_scores_of_classes_that_may_hold_together_are_sigmoids(num_labels, problem_type, function):
    """As transformers' image-classification pipeline has them."""
    config = SegformerConfig(**{**SMALL, "num_labels": num_labels}, problem_type=problem_type)
    model = TFSegformerForImageClassification(config, data_format="channels_last")
    classify = ImageClassificationPipeline(model, SegformerImageProcessor(size=64))
    found = {answer["id"]: answer["score"] for answer in classify(PICTURE)}
    pixels = classify.processor(PICTURE, return_tensors="np", data_format="channels_last").pixel_values
    expected = getattr(keras.ops, function)(model(pixels).logits[0])
    assert [found[i] for i in range(num_labels)] == pytest.approx(np.asarray(expected).tolist(), rel=1e-5)


def test_a_broken_picture_of_many_keeps_its_place_and_the_rest_go_on(segment, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    results = segment([PICTURE, tmp_path / "broken.jpg", PICTURE[:40]])
    assert [bool(result) for result in results] == [True, False, True]
    assert [result.labels.shape for result in results if result] == [(50, 70), (40, 70)]
    with pytest.raises(OSError, match=r"broken\.jpg is not an image"):
        _ = results[1].labels
    assert "broken.jpg is not an image" in capsys.readouterr().err
    with pytest.raises(OSError, match=r"broken\.jpg"):
        segment(tmp_path / "broken.jpg")


def test_many_pictures_are_answered_as_each_alone_whatever_their_sizes(segment):
    pictures = [PICTURE[: 30 + i, : 60 - i] for i in range(11)]
    for options in ({}, {"mode": "slide", "window": (40, 40), "stride": (30, 30)}):
        for picture, result in zip(pictures, segment(pictures, batch_size=4, **options), strict=True):
            assert (result.labels == segment(picture, **options).labels).mean() > 0.999
            np.testing.assert_array_equal(result.pixels, picture)


def test_what_is_made_of_an_answer_is_made_beside_the_model(segment):
    found = list(segment.stream([PICTURE, "missing.png"], lambda picture, result: result.labels.shape))
    assert found[0] == (50, 70) and isinstance(found[1].error, FileNotFoundError)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_what_came_before_an_error_of_the_pictures_is_handed_out_first(segment, batch_size):
    def pictures():
        yield from [PICTURE] * 3
        raise OSError("the camera is gone")

    found = []
    with pytest.raises(OSError, match="the camera is gone"):
        found.extend(segment.stream(pictures(), batch_size=batch_size))
    assert [result.labels.shape for result in found] == [(50, 70)] * 3


class Meeting(KerasModel):
    """Notes how many calls and pictures are in it at a time; with `wanted`, calls wait there until so many are."""

    at_once = 2

    def __init__(self, model, wanted: int):
        super().__init__(model)
        self.barrier, self.lock = threading.Barrier(wanted), threading.Lock()
        self.inside, self.most = [], (0, 0)

    def __call__(self, pixel_values):
        with self.lock:
            self.inside.append(len(pixel_values))
            self.most = max(self.most, (len(self.inside), sum(self.inside)))
        self.barrier.wait(timeout=60)
        try:
            return super().__call__(pixel_values)
        finally:
            with self.lock:
                self.inside.remove(len(pixel_values))


@pytest.mark.parametrize(
    ("options", "batch_size", "wanted", "most"),
    [({}, 4, 2, (2, 4)), ({}, 1, 1, (1, 1)), ({"mode": "slide", "window": (40, 40), "stride": (30, 30)}, 4, 1, (1, 4))],
)
def test_two_halves_of_a_batch_are_computed_at_the_same_time(segment, options, batch_size, wanted, most):
    meeting = Meeting(segment.model, wanted)
    pictures = [np.roll(PICTURE, 3 * i, axis=0) for i in range(8)]
    found = SegmentationPipeline(meeting, segment.processor)(pictures, batch_size=batch_size, **options)
    for picture, result in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(result.pixels, picture)
        assert (result.labels == segment(picture, **options).labels).mean() > 0.999
    assert meeting.most == most


def test_scores_are_the_probabilities_of_the_labels(segment):
    result = segment(PICTURE, scores=True)
    logits = segment.model(segment.processor(PICTURE, return_tensors="np").pixel_values).logits
    _, scores = segment.processor.post_process_semantic_segmentation(logits, [(50, 70)], True)
    assert result.scores.dtype == np.float16
    np.testing.assert_allclose(result.scores, scores[0].max(-1), atol=2e-3)
    assert segment(PICTURE).scores is None


def test_options_are_checked_before_a_picture_is_touched(segment):
    with pytest.raises(ValueError, match="mode is 'tiles'"):
        segment.stream(iter(()), mode="tiles")
    with pytest.raises(TypeError, match="did you mean 'window'"):
        segment(PICTURE, windw=(3, 3))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("values", [(-2.0, 3.0), (0.0, 9000.0), (-7.0, -7.0)])
def test_values_beyond_8_bits_are_labelled_and_shown_from_their_lowest_to_their_highest(channels, values):
    config = SegformerConfig(**{**SMALL, "num_channels": channels})
    model = TFSegformerForSemanticSegmentation(config, data_format="channels_last")
    scaled = {"image_mean": [0.0] * channels, "image_std": [1000.0] * channels}
    segment = SegmentationPipeline(model, SegformerImageProcessor(do_resize=False, do_rescale=False, **scaled))
    picture = np.linspace(*values, 40 * 60, dtype=np.float32).reshape(40, 60, 1).repeat(channels, -1)
    result = segment(picture)
    flat = values[0] == values[1]
    assert result.pixels.shape == (40, 60, 3) and result.pixels.min() == 0
    assert result.pixels.max() == (0 if flat else 255) and result.overlay().size[1] >= 40


def test_maps_are_the_probabilities_of_the_classes_that_are_named_and_the_entropy(segment):
    result = segment(PICTURE, maps=("LABEL_3", "entropy", "LABEL_1"))
    assert list(result.maps) == ["LABEL_3", "entropy", "LABEL_1"]
    logits = segment.model(segment.processor(PICTURE, return_tensors="np").pixel_values).logits
    _, scores = segment.processor.post_process_semantic_segmentation(logits, [(50, 70)], True)
    rates = np.asarray(scores[0], np.float64)
    for name, number in {"LABEL_3": 3, "LABEL_1": 1}.items():
        np.testing.assert_allclose(result.maps[name], rates[..., number], atol=2e-3)
    entropy = -(rates * np.log(np.maximum(rates, 1e-30))).sum(-1) / np.log(5)
    np.testing.assert_allclose(result.maps["entropy"], entropy, atol=4e-3)
    np.testing.assert_allclose(segment(PICTURE, maps="LABEL_3").maps["LABEL_3"], rates[..., 3], atol=2e-3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    random_model().save_pretrained(directory)
    SegformerImageProcessor(size=(64, 96)).save_pretrained(directory)
    return directory


def test_other_arguments_go_to_the_model(saved):
    assert SegmentationPipeline.from_pretrained(saved).model.compute_dtype == "float32"
    found = SegmentationPipeline.from_pretrained(saved, dtype="bfloat16")
    assert found.model.compute_dtype == "bfloat16" and found(PICTURE).labels.shape == (50, 70)


@pytest.mark.parametrize("runtime", ["tensorflow", "numpy"])
def test_where_on_the_hub_holds_for_the_model_and_its_processor(saved, hub, tmp_path, runtime):
    files = {f"sub/{file.name}": file.read_bytes() for file in saved.iterdir()}
    hub.repos["some-one/closed"] = {"v2": files}
    hub.gated.add("some-one/closed")
    where = {"revision": "v2", "subfolder": "sub", "cache_dir": tmp_path / "own"}
    found = SegmentationPipeline.from_pretrained("some-one/closed", runtime=runtime, token="secret", **where)
    assert found.processor.size == {"height": 64, "width": 96} and found.backend == runtime
    expected = SegmentationPipeline.from_pretrained(saved, runtime=runtime)
    np.testing.assert_allclose(
        *(each(PICTURE, maps="LABEL_0").maps["LABEL_0"] for each in (found, expected)), atol=2e-3
    )
    assert (tmp_path / "own").is_dir() and not (tmp_path / "cache").exists()
    asked = len(hub.requests)
    where["local_files_only"] = True
    again = SegmentationPipeline.from_pretrained("some-one/closed", runtime=runtime, **where)
    assert again.processor.size == found.processor.size and len(hub.requests) == asked


def test_labels_of_a_page_are_saved_where_that_page_lies(segment, tmp_path):
    rasterio, tifffile = pytest.importorskip("rasterio"), pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for x in (100.0, 5000.0):
            place = [(33550, "d", 3, (2.0, 2.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, x, 70.0, 0.0), True)]
            file.write(PICTURE, photometric="rgb", extratags=place)
    processor = SegformerImageProcessor(size=(64, 96), page=2)
    result = SegmentationPipeline(segment.model, processor)(tmp_path / "pages.tif")
    (written,) = result.save(tmp_path / "out", "tiff")
    with rasterio.open(written) as file:
        assert (file.transform.c, file.transform.f, file.transform.a) == (5000, 70, 2)


def test_a_large_tiff_is_read_in_windows_unless_its_values_or_its_page_ask_for_more(segment, tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rasterio")
    monkeypatch.setattr("segformer_tf.images.raster.LARGE", 1)
    tifffile.imwrite(tmp_path / "a.tif", PICTURE, photometric="rgb")
    tifffile.imwrite(tmp_path / "deep.tif", PICTURE.astype(np.uint16) * 16, photometric="rgb")
    sliding = {"mode": "slide", "window": (40, 40), "stride": (30, 30), "maps": "LABEL_1"}
    ranged = SegmentationPipeline(segment.model, SegformerImageProcessor(size=(64, 96), value_range=(0, 255 * 16)))
    expected = segment(PICTURE, **sliding).maps["LABEL_1"]
    for pipeline, name, in_windows in ((segment, "a", True), (ranged, "a", True), (ranged, "deep", False)):
        found = pipeline(tmp_path / f"{name}.tif", **sliding)
        assert isinstance(found.pixels, Regions) is in_windows
        np.testing.assert_array_equal(np.asarray(found.pixels), PICTURE)
        np.testing.assert_allclose(found.maps["LABEL_1"], expected, atol=2e-3)
    second = SegmentationPipeline(segment.model, SegformerImageProcessor(size=(64, 96), page=2))
    with pytest.raises(ValueError, match="page"):
        second(tmp_path / "a.tif", **sliding)


def test_a_classifier_without_a_name_is_told_that_none_is_bundled():
    with pytest.raises(TypeError, match="No classifier is bundled: give from_pretrained a Hub id, a directory"):
        ImageClassificationPipeline.from_pretrained()
