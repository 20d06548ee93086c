"""The logits of a picture, held against what they are defined as, in plain NumPy."""

import numpy as np
import pytest
from small_models import model_of_several_classes, random_model

from segformer_tf import (
    SegformerImageProcessor,
    SegmentationPipeline,
)
from segformer_tf.images.probabilities import softmax
from segformer_tf.pipelines.predict import How, Predictor
from segformer_tf.pipelines.runtimes.runtime import KerasModel, Runtime
from segformer_tf.pipelines.windows import ade20k_size
from segformer_tf.training.evaluate import Protocol, predictions

PICTURE = np.random.default_rng(0).integers(0, 256, (90, 130, 3)).astype("uint8")
PICTURE[20:60, 30:100] //= 3


@pytest.fixture(scope="module")
def model():
    return model_of_several_classes(PICTURE, (64, 96), (90, 130))


def predict(model, pixels, how=None, size=None, processor=None, batch_size=8, **options):
    predictor = Predictor(KerasModel(model), processor or SegformerImageProcessor(size=(64, 96)), batch_size)
    return predictor.answer(predictor.job(pixels, how or How(**options), size))


def bilinear(logits, size):
    """Half-pixel centres, no antialiasing: (h, w, C) -> (*size, C) float64."""

    def along(values, length):
        place = np.clip((np.arange(length) + 0.5) * len(values) / length - 0.5, 0, len(values) - 1)
        before = np.floor(place).astype(int)
        weight = (place - before).reshape(-1, 1, 1)
        return values[before] * (1 - weight) + values[np.minimum(before + 1, len(values) - 1)] * weight

    return along(along(logits.astype(np.float64), size[0]).swapaxes(0, 1), size[1]).swapaxes(0, 1)


def logits_of(model, pixels, **settings):
    """The model's own answer for a picture, (h, w, C)."""
    values = SegformerImageProcessor(**settings)(pixels, return_tensors="np").pixel_values
    return np.asarray(model(values).logits)[0]


def starts(length, window, stride):
    """Where MMSegmentation puts windows."""
    count = max(length - window + stride - 1, 0) // stride + 1
    return [max(min(i * stride, length - window), 0) for i in range(count)]


def slide(model, pixels, window, stride):
    """Mean of the full-size logits of all windows, (H, W, C), as MMSegmentation has it."""
    height, width = pixels.shape[:2]
    total, count = 0.0, np.zeros((height, width, 1))
    for top in starts(height, window[0], stride[0]):
        for left in starts(width, window[1], stride[1]):
            part = pixels[top : top + window[0], left : left + window[1]]
            full = bilinear(logits_of(model, part, do_resize=False), part.shape[:2])
            placed = np.zeros((height, width, full.shape[-1]))
            place = slice(top, top + part.shape[0]), slice(left, left + part.shape[1])
            placed[place] = full
            count[place] += 1
            total = total + placed
    return total / count


def assert_labels(found, logits):
    """Equal but where the two likeliest classes are a rounding error apart."""
    first, second = np.sort(logits, -1)[..., -1], np.sort(logits, -1)[..., -2]
    clear = first - second > 1e-4 * np.abs(logits).max()
    assert clear.mean() > 0.98
    assert len(np.unique(found)) >= 3 or found.size < 2000, "a map of one class shows no fault"
    np.testing.assert_array_equal(found[clear], logits.argmax(-1)[clear])


def test_the_whole_picture_is_resized_as_the_processor_says(model):
    logits = bilinear(logits_of(model, PICTURE, size=(64, 96)), PICTURE.shape[:2])
    assert_labels(predict(model, PICTURE).labels, logits)


@pytest.mark.parametrize(("window", "stride"), [((64, 64), (48, 40)), ((50, 70), (33, 70)), ((200, 64), (64, 64))])
def test_windows_are_averaged_at_full_size(model, window, stride):
    expected = slide(model, PICTURE, window, stride)
    assert_labels(predict(model, PICTURE, mode="slide", window=window, stride=stride).labels, expected)


@pytest.mark.parametrize("size", [(90, 130), (61, 127), (90, 65)])
def test_segment_and_evaluate_say_the_same_of_the_same_windows(model, size):
    import tensorflow as tf

    picture = PICTURE[: size[0], : size[1]]
    source = tf.data.Dataset.from_tensors((picture, np.zeros(size, np.int32)))
    scored = next(predictions(model, source, Protocol("slide", (48, 64), (32, 40))))
    shown = SegmentationPipeline(model)(picture, mode="slide", window=(48, 64), stride=(32, 40))
    np.testing.assert_array_equal(scored.predicted, shown.labels)
    assert_labels(shown.labels, slide(model, picture, (48, 64), (32, 40)))


@pytest.mark.parametrize("size", [(64, 96), (61, 95), (33, 40)])
def test_a_picture_that_fits_one_window_is_the_whole_picture(model, size):
    picture = PICTURE[: size[0], : size[1]]
    whole = predict(model, picture, resize="none").labels
    np.testing.assert_array_equal(predict(model, picture, mode="slide").labels, whole)
    assert_labels(whole, bilinear(logits_of(model, picture, do_resize=False), size))


@pytest.mark.parametrize("size", [(200, 5), (5, 200), (1, 1), (31, 33)])
@pytest.mark.parametrize("options", [{"mode": "slide", "window": (64, 64), "stride": (48, 48)}, {"resize": "none"}])
def test_pictures_under_32_pixels_are_filled_up_with_the_mean_pixel(model, size, options):
    picture = np.random.default_rng(2).integers(0, 256, (*size, 3)).astype("uint8")
    found = predict(model, picture, **options).labels
    assert found.shape == size
    if max(size) <= 64 or "resize" in options:
        values = SegformerImageProcessor(do_resize=False)(picture, return_tensors="np").pixel_values
        missing = [(0, max(32 - side, 0)) for side in size]
        logits = np.asarray(model(np.pad(values, [(0, 0), *missing, (0, 0)])).logits)[0]
        full = bilinear(logits, tuple(max(side, 32) for side in size))[: size[0], : size[1]]
        assert_labels(found, full)
    mirrored = predict(model, picture, flip=True, **options).labels
    assert mirrored.shape == size


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_batches_of_any_size_give_the_same_map(model, batch_size):
    options = {"mode": "slide", "window": (48, 48), "stride": (30, 30), "scales": (0.8, 1.0), "flip": True}
    expected = predict(model, PICTURE, **options, batch_size=8).labels
    assert (predict(model, PICTURE, **options, batch_size=batch_size).labels == expected).mean() > 0.9999


def test_scales_and_mirror_images_average_probabilities_at_full_size(model):
    total = 0.0
    for scale in (0.75, 1.5):
        size = (round(64 * scale), round(96 * scale))
        upright = bilinear(logits_of(model, PICTURE, size=size), PICTURE.shape[:2])
        pixels = SegformerImageProcessor(size=size)(PICTURE, return_tensors="np").pixel_values
        turned = np.asarray(model(pixels[:, :, ::-1]).logits)[0, :, ::-1]
        total = total + softmax(upright) + softmax(bilinear(turned, PICTURE.shape[:2]))
    found = predict(model, PICTURE, scales=(0.75, 1.5), flip=True, scores=True)
    assert_labels(found.labels, total / 4)
    np.testing.assert_allclose(found.scores, (total / 4).max(-1), atol=2e-3)


def test_windows_of_a_mirrored_picture_come_back_to_where_they_lie(model):
    window, stride = (64, 64), (48, 40)
    upright = softmax(slide(model, PICTURE, window, stride))
    turned = softmax(slide(model, PICTURE[:, ::-1], window, stride))[:, ::-1]
    found = predict(model, PICTURE, mode="slide", window=window, stride=stride, flip=True)
    assert_labels(found.labels, (upright + turned) / 2)


def test_the_answer_comes_at_the_size_that_is_asked_for(model):
    found = predict(model, PICTURE, size=(40, 31)).labels
    assert_labels(found, bilinear(logits_of(model, PICTURE, size=(64, 96)), (40, 31)))


class Counting(Runtime):
    """Says 1 everywhere; keeps the shapes that it was given."""

    def __init__(self, model):
        super().__init__("counting", KerasModel(model).description)
        self.shapes = []

    def _run(self, pixel_values):
        self.shapes.append(pixel_values.shape)
        logits = np.zeros((len(pixel_values), *(-(-side // 4) for side in pixel_values.shape[1:3]), 5), "float32")
        logits[..., 1] = 1
        return logits


def test_a_large_picture_is_let_go_row_by_row(model):
    """What is held beside the label map: the windows of two rows of them, however tall the picture is."""
    runtime = Counting(model)
    predictor = Predictor(runtime, SegformerImageProcessor(), batch_size=2)
    job = predictor.job(np.zeros((2000, 100, 3), np.uint8), How("slide", window=(64, 64), stride=(48, 48)))
    held = []
    for _, logits in predictor.run([job]):
        job.add(logits)
        held.append(len(job.merger.parts))
    assert len(job.windows) == 42 * 2 and max(held) <= 4 and held[-1] == 0
    assert (job.merger.labels == 1).all()
    assert set(runtime.shapes) == {(2, 64, 64, 3)}


@pytest.mark.parametrize(
    ("height", "window", "scale"), [(4001, 200, 0.5), (1019, 191, 1.5), (2194, 64, 1.75), (2194, 320, 1.75)]
)
@pytest.mark.parametrize("across", [False, True])
def test_windows_side_by_side_leave_no_gap_at_any_scale(model, height, window, scale, across):
    """The end of one and the start of the next, as fractions of the picture's pixels, are the same number."""
    predictor = Predictor(Counting(model), SegformerImageProcessor(), batch_size=64)
    pixels = np.zeros((32, height, 3) if across else (height, 32, 3), np.uint8)
    how = How("slide", window=(window, window), stride=(window, window), scales=(scale,), flip=True)
    assert (predictor.answer(predictor.job(pixels, how)).labels == 1).all()


def test_windows_of_many_megapixels_do_not_share_a_batch(model):
    runtime = Counting(model)
    predictor = Predictor(runtime, SegformerImageProcessor(), batch_size=8)
    predictor.answer(predictor.job(np.zeros((1024, 3000, 3), np.uint8), How("slide")))
    assert set(runtime.shapes) == {(2, 1024, 1024, 3)}


def test_ade20k_s_sizes_are_inside_2048_x_512_and_multiples_of_32_where_asked():
    assert ade20k_size(480, 640) == (512, 683) and ade20k_size(300, 1500) == (410, 2048)
    assert ade20k_size(480, 640, multiple=32) == (512, 704)
    assert ade20k_size(300, 1500, multiple=32) == (416, 2048)
    assert ade20k_size(480, 640, 1.75) == (896, 1195) and ade20k_size(480, 640, 0.5, 32) == (256, 352)


def test_a_resize_of_two_numbers_is_a_size_whatever_the_picture_s_ratio(model):
    how, processor = How(resize=(512, 512), scales=(1.0, 0.5)), SegformerImageProcessor()
    assert how.size((30, 90), processor) == (512, 512) and how.size((30, 90), processor, 0.5) == (256, 256)
    assert How(resize="none").size((30, 90), processor) is None


def test_a_scaled_size_is_rounded():
    assert How(resize=(33, 35)).size((9, 9), SegformerImageProcessor(), 0.75) == (25, 26)


def job_of(model, picture, *how, processor=None, **options):
    return Predictor(KerasModel(model), processor or SegformerImageProcessor()).job(picture, How(*how, **options))


def test_windows_of_all_scales_come_from_the_top(model):
    job = job_of(model, PICTURE, "slide", window=(48, 48), stride=(30, 30), scales=(0.8, 1.0))
    tops = [window.box.top for window in job.windows]
    assert tops == sorted(tops)


def test_a_mirrored_window_that_is_filled_up_ends_where_the_picture_begins(model):
    job = job_of(model, PICTURE[:40, :20], resize="none", flip=True)
    assert [window.box for window in job.windows] == [(0, 0, 40, 32), (0, -12, 40, 20)]


def test_a_picture_of_floats_is_resized_for_windows_as_the_processor_does(model):
    picture = np.random.default_rng(0).uniform(0, 1, (90, 130, 3)).astype("float32")
    processor = SegformerImageProcessor(size=(72, 104), do_rescale=False)
    options = {"window": (72, 104), "stride": (48, 40), "scales": (0.8,)}
    (window,) = job_of(model, picture, "slide", **options, processor=processor).windows
    np.testing.assert_allclose(window.pixel_values(), processor(picture, return_tensors="np").pixel_values[0])


def test_windows_are_of_the_one_size_that_a_runtime_takes_where_none_are_given():
    how = How("slide")
    assert how.windows() == ((1024, 1024), (768, 768)) and how.windows((64, 96)) == ((64, 96), (48, 72))
    assert How("slide", window=(64, 64)).windows((96, 96)) == ((64, 64), (48, 48))
    assert How("slide", stride=(40, 50)).windows((64, 96)) == ((64, 96), (40, 50))
    with pytest.raises(ValueError, match=r"stride is \(80, 80\); expected at most the window, \(64, 96\)"):
        How("slide", stride=(80, 80)).windows((64, 96))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tiles"}, "mode is 'tiles'"),
        ({"resize": "half"}, "resize is 'half'"),
        ({"scales": (0.0,)}, r"scales are \(0.0,\); expected each above 0"),
        ({"scales": (75, 100)}, r"scales are \(75, 100\); expected factors of at most 16: 75 % is 0.75"),
        ({"scales": 1.5}, "scales are 1.5; expected at least one factor in a list"),
        ({"scales": "0.5"}, "scales are '0.5'; expected at least one factor in a list"),
        ({"scales": ("0.5", 1)}, r"scales are \('0.5', 1\); expected each above 0"),
        ({"blend": "soft"}, 'blend is \'soft\'; expected "mean" or "gaussian"'),
        ({"window": (31, 64), "stride": (8, 8)}, r"window is \(31, 64\); expected at least 32 pixels a side"),
        ({"window": (10,)}, r"window is \(10,\)"),
        ({"stride": (8, 0)}, r"stride is \(8, 0\)"),
        ({"window": (64, 64), "stride": (65, 8)}, r"stride is \(65, 8\); expected at most the window"),
        ({"window": (64, 64), "stride": (8, 8)}, r'window is \(64, 64\), and is for mode="slide" only: give that too'),
        ({"stride": (8, 8)}, r'stride is \(8, 8\), and is for mode="slide" only: give that too, or leave stride out'),
        ({"blend": "gaussian"}, "blend is 'gaussian', and is for mode=\"slide\" only"),
    ],
)
def test_options_that_make_no_sense_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        How(**options)


@pytest.mark.parametrize("runtime", [None, "numpy"])
def test_pictures_are_filled_up_to_what_the_models_own_reduction_takes(runtime):
    """With the mean pixel, 0 after normalising: 57 pixels a side for a kernel of 8 x 8 in the second stage."""
    made = random_model(sr_ratios=[4, 8])
    values = SegformerImageProcessor(do_resize=False)(PICTURE[:40, :90], return_tensors="np").pixel_values
    logits = np.asarray(made(np.pad(values, [(0, 0), (0, 17), (0, 0), (0, 0)])).logits)[0]
    expected = bilinear(logits, (57, 90))[:40].argmax(-1)
    segment = SegmentationPipeline(made, SegformerImageProcessor(do_resize=False), runtime=runtime or "tensorflow")
    for options in ({}, {"mode": "slide"}):
        assert (segment(PICTURE[:40, :90], **options).labels == expected).mean() > 0.999
    with pytest.raises(ValueError, match=r"window is \(48, 64\); expected at least 57 pixels a side"):
        segment(PICTURE, mode="slide", window=(48, 64))


@pytest.mark.parametrize("scale", [0.6, 1.3])
def test_windows_of_a_resized_picture_are_those_of_the_picture_at_that_size(model, scale):
    """Kept as 8 bits, a quarter of the memory, which is what Pillow makes of it anyway."""
    from PIL import Image

    size = round(90 * scale), round(130 * scale)
    smaller = np.asarray(Image.fromarray(PICTURE).resize(size[::-1], Image.Resampling.BILINEAR))
    options = {"mode": "slide", "window": (48, 64), "stride": (32, 40)}
    expected = predict(model, smaller, size=PICTURE.shape[:2], **options).labels
    np.testing.assert_array_equal(predict(model, PICTURE, scales=(scale,), **options).labels, expected)


def test_a_bell_over_windows_is_an_average_of_the_same_logits(model):
    options = {"mode": "slide", "window": (64, 64), "stride": (48, 40)}
    blended = predict(model, PICTURE, blend="gaussian", **options).labels
    assert (blended == predict(model, PICTURE, **options).labels).mean() > 0.5
    picture = PICTURE[:64, :64]
    whole = predict(model, picture, resize="none").labels
    np.testing.assert_array_equal(predict(model, picture, blend="gaussian", **options).labels, whole)


def test_a_large_tiff_is_read_in_windows_with_the_same_labels(model, tmp_path, monkeypatch):
    from PIL import Image

    from segformer_tf.images import raster

    Image.fromarray(PICTURE).save(tmp_path / "a.tif", compression="tiff_deflate")
    segment = SegmentationPipeline(model)
    options = {"mode": "slide", "window": (64, 64), "stride": (48, 48), "scales": (1.0, 0.8), "flip": True}
    whole = segment(tmp_path / "a.tif", **options)
    monkeypatch.setattr(raster, "LARGE", 1)
    in_windows = segment(tmp_path / "a.tif", **options)
    assert isinstance(in_windows.pixels, raster.Regions) and not isinstance(whole.pixels, raster.Regions)
    np.testing.assert_array_equal(in_windows.labels, whole.labels)
    np.testing.assert_array_equal(in_windows.overlay(), whole.overlay())
