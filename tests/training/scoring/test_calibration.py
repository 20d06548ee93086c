import json

import numpy as np
import pytest
import tensorflow as tf
from small_data import tiny_network

from segformer_tf import SegformerImageProcessor
from segformer_tf.images.merging import Box, Merger
from segformer_tf.pipelines.pipeline import SegmentationPipeline
from segformer_tf.pipelines.runtimes.description import Description
from segformer_tf.pipelines.runtimes.runtime import KerasModel
from segformer_tf.training import Protocol, evaluate, read_split
from segformer_tf.training.scoring import calibration
from segformer_tf.training.scoring.calibration import Reliability, Sampler, calibrate, fit_temperature


def drawn(temperature, count=20000, classes=5):
    """Logits (N, C), and class ids drawn from their probabilities at a temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(count, classes)) * 4
    odds = np.exp(logits / temperature)
    shares = np.cumsum(odds / odds.sum(-1, keepdims=True), -1)
    return logits, (rng.random((count, 1)) > shares).sum(-1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_labels_that_are_always_right_or_noise_end_at_the_bounds():
    logits, _ = drawn(1.0, 500)
    assert fit_temperature(logits, logits.argmax(-1)) == pytest.approx(calibration.COLDEST, rel=0.01)
    assert fit_temperature(logits, logits.argmin(-1)) == pytest.approx(calibration.WARMEST, rel=0.01)


def test_a_temperature_at_its_bound_is_told(monkeypatch):
    logits, _ = drawn(1.0, 500)
    monkeypatch.setattr(calibration, "sampled_logits", lambda *given, **options: (logits, logits.argmax(-1)))
    with pytest.warns(
        UserWarning, match=r"the temperature 0.0500 is at the end of 0.05 to 20.0, where the search stops"
    ):
        calibrate(None, None, "plain", None)


def test_the_error_is_the_distance_of_confidence_and_accuracy_weighed_by_pixels():
    counted = Reliability()
    counted.add(np.full(30, 0.9), np.arange(30) < 15)  # half are right: off by 0.4
    counted.add(np.full((2, 5), 0.3), np.arange(10).reshape(2, 5) < 3)  # right as often as it says
    found = counted.result()
    assert found["ECE"] == pytest.approx(0.4 * 30 / 40)
    assert found["confidence"] == pytest.approx(0.75) and found["accuracy"] == pytest.approx(18 / 40)
    assert [row["pixels"] for row in found["bins"] if row["pixels"]] == [10, 30]
    json.dumps(found)


def test_a_confidence_of_0_and_of_1_has_a_bin():
    counted = Reliability()
    counted.add(np.array([0.0, 1.0]), np.array([False, True]))
    bins = counted.result()["bins"]
    assert bins[0]["pixels"] == bins[-1]["pixels"] == 1


def test_nothing_labelled_cannot_be_calibrated():
    with pytest.raises(ValueError, match="no pixel is labelled"):
        Reliability().result()


def test_sampled_logits_are_those_of_the_picture_resized(network):
    logits = np.random.default_rng(0).normal(size=(6, 9, 3)).astype("float32")
    rows, columns = np.divmod(np.arange(24 * 35), 35)
    sampler = Sampler(rows, columns)
    sampler.add(logits, Box(0, 0, 24, 35), 0)
    expected = tf.image.resize(logits, (24, 35)).numpy().reshape(-1, 3)
    np.testing.assert_allclose(sampler.logits, expected, atol=1e-5)


def test_sampled_logits_of_several_windows_are_their_mean_and_one_logit_stands_beside_0():
    sampler = Sampler(np.array([1, 2]), np.array([3, 12]))  # the first pixel is in one window, the second in both
    for left, value in ((0, 2.0), (8, 4.0)):
        sampler.add(np.full((4, 4, 1), value, np.float32), Box(0, left, 16, 16), 0)
    np.testing.assert_allclose(sampler.logits, [[0, 2], [0, 3]])


def test_a_temperature_changes_probabilities_and_no_label():
    logits = np.random.default_rng(1).normal(size=(4, 5, 3)) * 3
    plain, warm = Merger((16, 20), scores=True), Merger((16, 20), scores=True, temperature=2.0)
    half = Merger((16, 20), scores=True)
    for merger, values in ((plain, logits), (warm, logits), (half, logits / 2)):
        merger.add(values)
        merger.add(values[:, ::-1], variant=1)
        merger.finish()
    np.testing.assert_array_equal(plain.labels, warm.labels)
    same = half.labels == warm.labels  # of several variants the likeliest class may depend on the temperature
    np.testing.assert_allclose(warm.scores[same], half.scores[same], atol=1e-3)
    assert warm.scores.mean() < plain.scores.mean()


def test_labels_are_the_same_whether_probabilities_are_asked_for():
    """Also where two logits are so near that their probabilities are equal."""
    logits = np.zeros((3, 4, 2), np.float32)
    logits[..., 1] = 1e-8
    for size in ((12, 16), (3, 4)):
        plain, scored = Merger(size), Merger(size, scores=True)
        for merger in (plain, scored):
            merger.add(logits)
            merger.finish()
        np.testing.assert_array_equal(plain.labels, scored.labels)
        assert (plain.labels == 1).all()


def test_a_temperature_that_is_no_number_above_0_is_told():
    for value in (0, -1.0, "warm", True, float("nan")):
        with pytest.raises(ValueError, match=r"calibration_temperature is .*, expected a number above 0"):
            _ = Description("TFSegformerForSemanticSegmentation", {"calibration_temperature": value}).temperature


@pytest.mark.filterwarnings("ignore:the temperature")  # of random weights
def test_a_calibrated_model_says_so_in_its_scores_wherever_it_is_loaded(data, network, tmp_path):
    split = read_split(data, "val")
    processor = SegformerImageProcessor(do_resize=False)
    found = calibrate(KerasModel(network), split, Protocol(), processor)
    assert found["pixels"] == 6000 and found["after"]["loss"] <= found["before"]["loss"]
    calibration.save_into(network, found["temperature"], tmp_path / "warm")
    processor.save_pretrained(tmp_path / "warm")
    network.save_pretrained(tmp_path / "plain")
    calibration.write_temperature(calibration.config_of(tmp_path / "plain"), 4.0)
    assert json.loads((tmp_path / "plain/config.json").read_text())["calibration_temperature"] == 4.0
    loaded = type(network).from_pretrained(tmp_path / "warm", data_format="channels_last")
    scored = evaluate(loaded, split, processor=processor, calibration=True)
    assert scored["mIoU"] == evaluate(network, split, processor=processor)["mIoU"]
    assert scored["calibration"]["temperature"] == found["temperature"]
    assert scored["calibration"]["ECE"] == pytest.approx(found["after"]["ECE"], abs=0.02)
    picture = split.images[0]
    pipelines = [SegmentationPipeline(model, processor, runtime="tensorflow") for model in (loaded, network)]
    warm, plain = (segment(picture, scores=True) for segment in pipelines)
    np.testing.assert_array_equal(warm.labels, plain.labels)
    assert (warm.scores != plain.scores).any()


def test_a_model_without_a_directory_of_its_own_needs_an_output():
    with pytest.raises(ValueError, match=r"is no directory with a config.json .*: give --output"):
        calibration.config_of("segformer-b0-camvid")


def test_several_scales_have_no_logits_to_divide(data):
    with pytest.raises(ValueError, match="expected one scale and no flip"):
        calibrate(KerasModel(tiny_network()), read_split(data, "val"), Protocol(flip=True), SegformerImageProcessor())


def test_a_diagram_is_drawn(tmp_path):
    counted = Reliability()
    counted.add(np.array([0.2, 0.9]), np.array([True, True]))
    calibration.draw([("before", counted.result()), ("after", counted.result())], tmp_path / "diagram.png")
    assert (tmp_path / "diagram.png").stat().st_size > 5000
