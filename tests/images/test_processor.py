"""The processor against transformers 4.57's stored results, and its own graph version against itself."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segformer_tf.images import BatchFeature, SegformerFeatureExtractor, SegformerImageProcessor, label_map
from segformer_tf.images.resize import PILLOW_VERSION

FIXTURES = Path(__file__).parents[1] / "fixtures" / "processor"
CASES = json.loads((FIXTURES / "cases.json").read_text())


@pytest.fixture(scope="module")
def golden():
    with np.load(FIXTURES / "golden.npz") as file:
        return dict(file)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


SMALL = {"height": 16, "width": 24}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_pixels_and_labels_equal_those_of_transformers(case, golden):
    name = case["name"]
    processor = SegformerImageProcessor(**case["kwargs"], data_format="channels_first")
    batch = processor(golden[f"{name}.image"], golden.get(f"{name}.map"), return_tensors="np")
    assert batch.pixel_values.dtype == np.float32
    # Stored with Pillow 13. Older ones take height and width in another order, which rounds otherwise in places.
    grey_level = 1.0 if case["kwargs"].get("do_rescale") is False else 1 / 255
    grey_level /= min(processor.image_std) if processor.do_normalize else 1.0
    tolerance = 1e-6 if PILLOW_VERSION >= (13,) else 1.001 * grey_level
    np.testing.assert_allclose(batch.pixel_values, golden[f"{name}.pixel_values"], rtol=0, atol=tolerance)
    if f"{name}.labels" in golden:
        assert batch.labels.dtype == np.int64
        np.testing.assert_array_equal(batch.labels, golden[f"{name}.labels"])


@pytest.mark.parametrize(
    "switches",
    [
        *({"resample": resample} for resample in range(6)),
        {"do_rescale": False},
        {"do_normalize": False},
        {"do_rescale": False, "do_normalize": False, "do_resize": False},
        {"rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 0.7},
    ],
    ids=str,
)
def test_the_graph_gives_the_bits_of_the_numpy_path(switches, image):
    processor = SegformerImageProcessor(size=SMALL, **switches)
    graph = tf.function(processor.preprocess_tensor, input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    expected = processor(image, return_tensors="np").pixel_values[0]
    np.testing.assert_array_equal(graph(image), expected)
    np.testing.assert_array_equal(processor.preprocess_tensor(image), expected)


@pytest.mark.parametrize("shape", [(40, 60, 3), (60, 40, 3), (33, 33, 3)])
def test_shortest_edge_keeps_the_ratio_in_both_versions(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    processor = SegformerImageProcessor(size={"shortest_edge": 17})
    expected = processor(image, return_tensors="np").pixel_values[0]
    assert min(expected.shape[:2]) == 17
    assert max(expected.shape[:2]) == 17 * max(shape[:2]) // min(shape[:2])
    graph = tf.function(processor.preprocess_tensor, input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    np.testing.assert_array_equal(graph(image), expected)


@pytest.mark.parametrize("known", [(None, None), (40, None), (None, 60), (40, 60)], ids=str)
@pytest.mark.parametrize("batch", [(), (None,)], ids=["one", "batch"])
def test_shortest_edge_takes_sides_that_are_known_or_not(known, batch, image):
    processor = SegformerImageProcessor(size={"shortest_edge": 17})
    expected = processor(image, return_tensors="np").pixel_values[0]
    spec = tf.TensorSpec((*batch, *known, 3), tf.uint8)
    found = tf.function(processor.preprocess_tensor, input_signature=[spec])(image[None] if batch else image)
    np.testing.assert_array_equal(found[0] if batch else found, expected)


@pytest.mark.parametrize("known", [(None, None), (32, None), (None, 1056), (32, 1056)], ids=str)
def test_a_strip_is_refused_whatever_of_its_size_is_known(known):
    processor, strip = SegformerImageProcessor(size={"shortest_edge": 512}), np.zeros((32, 1056, 3), np.uint8)
    graph = tf.function(processor.preprocess_tensor, input_signature=[tf.TensorSpec((*known, 3), tf.uint8)])
    for call in (processor, graph):
        with pytest.raises(
            (ValueError, tf.errors.InvalidArgumentError), match="image is 32 x 1056, and a shortest edge of 512 would"
        ):
            call(strip)


@pytest.mark.parametrize("settings", [{"size": SMALL}, {"size": {"shortest_edge": 17}}, {"do_resize": False}], ids=str)
def test_an_empty_batch_stays_one_and_an_empty_picture_is_refused_in_eager_code_and_in_graphs(settings, image):
    processor = SegformerImageProcessor(**settings)
    expected = processor.preprocess_tensor(image[None]).shape[1:]
    graph = tf.function(processor.preprocess_tensor, input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    for call in (processor.preprocess_tensor, graph):
        assert call(image[None][:0]).shape == (0, *expected)
        for shape in ((1, 0, 60, 3), (1, 40, 0, 3), (1, 0, 0, 3)):
            with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="image has a side of 0; expected"):
                call(np.zeros(shape, np.uint8))


def test_a_batch_tensor_is_processed_at_once(image):
    processor = SegformerImageProcessor(size=SMALL)
    result = processor.preprocess_tensor(np.stack([image, image[::-1]]))
    assert result.shape == (2, 16, 24, 3)
    np.testing.assert_array_equal(result[1], processor(image[::-1])["pixel_values"][0])


def test_the_layout_is_keras_setting_unless_given(image):
    processor = SegformerImageProcessor(size=SMALL)
    assert processor(image, return_tensors="np").pixel_values.shape == (1, 16, 24, 3)
    keras.config.set_image_data_format("channels_first")
    try:
        first = processor(image, return_tensors="np").pixel_values
        assert first.shape == (1, 3, 16, 24)
        assert processor(image, return_tensors="np", data_format="channels_last").pixel_values.shape == (1, 16, 24, 3)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), processor(image, return_tensors="np").pixel_values)


def test_every_kind_of_input_gives_the_same_pixels(image, tmp_path):
    processor = SegformerImageProcessor(size=SMALL)
    path = tmp_path / "street.png"
    Image.fromarray(image).save(path)
    expected = processor(image)["pixel_values"][0]
    same = [path, str(path), path.read_bytes(), Image.open(path), tf.constant(image), image.transpose(2, 0, 1)]
    same += [image.astype("float32"), image.astype("int32"), image.astype("float64")]
    for pixels in processor(same).pixel_values:
        np.testing.assert_array_equal(pixels, expected)
    for pixels in processor([[image, image], np.stack([image, image])]).pixel_values:
        np.testing.assert_array_equal(pixels, expected)


def test_return_tensors_chooses_lists_arrays_or_tensors(image):
    processor = SegformerImageProcessor(size=SMALL)
    ids = image[..., 0]
    assert [type(processor(image, ids)[name]) for name in ("pixel_values", "labels")] == [list, list]
    batch = processor([image, image], [ids, ids], return_tensors="tf")
    assert batch.pixel_values.dtype == tf.float32 and batch.pixel_values.shape == (2, 16, 24, 3)
    assert batch.labels.dtype == tf.int64 and batch.labels.shape == (2, 16, 24)
    with pytest.raises(ValueError, match=r"return_tensors is 'pt'; expected None, 'np' or 'tf'"):
        processor(image, return_tensors="pt")


def test_floats_from_0_to_1_are_resized_in_8_bits_and_scaled_back(image):
    unit = image.astype("float32") / 255
    processor = SegformerImageProcessor(size=SMALL, do_rescale=False, do_normalize=False)
    result = processor(unit, return_tensors="np").pixel_values[0]
    cut = (unit.astype("float64") * 255).astype("float32").astype("uint8")
    expected = np.asarray(Image.fromarray(cut).resize((24, 16), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-7)


def test_rescaling_twice_warns(image):
    with pytest.warns(UserWarning, match=r"from 0 to 1 and is rescaled again; set do_rescale=False"):
        SegformerImageProcessor(size=SMALL)(image / 255)


def test_labels_are_reduced_with_0_ignored_and_255_kept():
    ids = np.array([[0, 1, 2], [150, 254, 255]], np.uint8)
    processor = SegformerImageProcessor(do_resize=False, do_reduce_labels=True)
    labels = processor(np.zeros((2, 3, 3), np.uint8), ids, return_tensors="np").labels[0]
    np.testing.assert_array_equal(labels, [[255, 0, 1], [149, 253, 255]])
    assert SegformerImageProcessor(reduce_labels=True).do_reduce_labels


def test_class_ids_over_255_survive_resizing():
    ids = np.array([[300, 70], [1, 60000]], np.uint16)
    processor = SegformerImageProcessor(size=4)
    labels = processor(np.zeros((2, 2, 3), np.uint8), Image.fromarray(ids), return_tensors="np").labels[0]
    np.testing.assert_array_equal(labels, np.kron(ids, np.ones((2, 2), int)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_one_number_as_mean_is_for_as_many_channels_as_an_array_has(channels):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, channels), np.uint8)
    processor = SegformerImageProcessor(size=SMALL, image_mean=0.3, image_std=0.7)
    expected = processor(image, return_tensors="np").pixel_values
    assert expected.shape == (1, 16, 24, channels)
    same = SegformerImageProcessor(size=SMALL, image_mean=[0.3] * channels, image_std=[0.7] * channels)
    for found in (
        same(image, return_tensors="np").pixel_values,
        processor.preprocess_tensor(image)[None],
        processor(tf.constant(image), return_tensors="tf").pixel_values,
        np.moveaxis(processor(image, return_tensors="np", data_format="channels_first").pixel_values, 1, -1),
    ):
        np.testing.assert_array_equal(found, expected)
    assert processor(image[..., 0]).pixel_values[0].shape == (16, 24, 1)
    with pytest.raises(ValueError, match=r"shape \(40, 60, 5\); expected 4, 1 or 3 channels as first or last axis"):
        processor(np.zeros((40, 60, 5), np.uint8))


@pytest.mark.parametrize("mixed", [{"image_mean": 0.3}, {"image_std": 0.7}], ids=str)
@pytest.mark.parametrize("given", [{}, {"image_mean": [0.1] * 4, "image_std": [0.2] * 4}], ids=["default", "4"])
def test_one_number_beside_several_is_for_as_many_channels_as_these(mixed, given, tmp_path):
    processor = SegformerImageProcessor(size=SMALL, **given | mixed)
    count = len(given.get("image_mean", "rgb"))
    image = np.random.default_rng(0).integers(0, 256, (40, 60, count), np.uint8)
    same = {name: [value] * count for name, value in mixed.items()}
    expected = SegformerImageProcessor(size=SMALL, **given | same)(image).pixel_values[0]
    processor.save_pretrained(tmp_path)
    for one in (processor, SegformerImageProcessor.from_pretrained(tmp_path), processor.for_channels(7)):
        assert one.channels == count
        np.testing.assert_array_equal(one(image).pixel_values[0], expected)
        np.testing.assert_array_equal(one.preprocess_tensor(image), expected)
    called = SegformerImageProcessor(size=SMALL, **given)(image, **mixed, data_format="channels_first")
    np.testing.assert_array_equal(called.pixel_values[0], np.moveaxis(expected, -1, 0))
    if count == 3:
        np.testing.assert_array_equal(processor(image[..., 0]).pixel_values, processor(image[..., :1]).pixel_values)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_one_number_as_mean_leaves_pictures_in_colours(mode, image):
    picture = Image.fromarray(image).convert(mode)
    found = SegformerImageProcessor(size=SMALL, image_mean=0.3, image_std=0.7)(picture).pixel_values[0]
    expected = SegformerImageProcessor(size=SMALL, image_mean=[0.3] * 3, image_std=[0.7] * 3)(picture).pixel_values[0]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("switches", [{}, {"do_normalize": False}, {"do_resize": False}], ids=str)
def test_the_graph_repeats_a_grey_image_as_the_call_does(switches, image):
    processor = SegformerImageProcessor(size=SMALL, **switches)
    expected = processor(image[..., :1]).pixel_values[0]
    assert expected.shape[-1] == 3
    np.testing.assert_array_equal(processor.preprocess_tensor(image[..., :1]), expected)


def test_other_channel_counts_follow_image_mean():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 5), np.uint8)
    processor = SegformerImageProcessor(size=SMALL, image_mean=[0.5] * 5, image_std=[0.2] * 5)
    expected = processor(image, return_tensors="np").pixel_values[0]
    assert expected.shape == (16, 24, 5)
    np.testing.assert_array_equal(processor.preprocess_tensor(image), expected)
    with pytest.raises(ValueError, match=r"image has shape \(20, 30, 5\); expected 3 channels"):
        SegformerImageProcessor()(image)
    with pytest.raises(ValueError, match=r"image has 5 channels .* expected 3"):
        SegformerImageProcessor().preprocess_tensor(image)


def test_overrides_hold_for_one_call_and_none_means_unchanged(image):
    processor = SegformerImageProcessor(size=SMALL)
    result = processor.preprocess(image, size=8, do_normalize=False, resample=None, return_tensors="np").pixel_values
    expected = np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(result[0], expected, atol=1e-7)
    assert processor.size == SMALL and processor.do_normalize
    with pytest.raises(TypeError, match="'do_normalise': did you mean 'do_normalize'"):
        processor(image, do_normalise=False)


class Cropping(SegformerImageProcessor):
    """As a program written for transformers may have it."""

    def __init__(self, crop=None, **settings):
        super().__init__(**settings)
        self.crop = crop

    def preprocess(self, images, **keywords):
        images = images if self.crop is None else images[: self.crop, : self.crop]
        return super().preprocess(images, **keywords)

    def _labels(self, source):
        return super()._labels(source) + 1


def test_a_subclass_keeps_its_attributes_and_methods_in_a_call(image, tmp_path):
    processor = Cropping(crop=16, do_resize=False)
    batch = processor(image, image[:16, :16, 0], return_tensors="np", do_rescale=False)
    expected = SegformerImageProcessor(do_resize=False, do_rescale=False)(image[:16, :16], return_tensors="np")
    np.testing.assert_array_equal(batch.pixel_values, expected.pixel_values)
    np.testing.assert_array_equal(batch.labels[0], image[:16, :16, 0] + 1.0)
    processor.save_pretrained(tmp_path)
    again = Cropping.from_pretrained(tmp_path)
    assert again.crop == 16 and again.do_resize is False and again.other == {}
    assert Cropping.from_pretrained(tmp_path, crop=8).crop == 8
    with pytest.raises(TypeError, match="'do_resice': did you mean 'do_resize'"):
        processor(image, do_resice=False)


def test_attributes_set_later_are_settings_by_their_names_and_nothing_by_others(image):
    processor = SegformerImageProcessor(size=SMALL)
    before = processor.to_dict()
    processor.foo = 1
    assert processor(image, return_tensors="np").pixel_values.shape == (1, 16, 24, 3)
    assert processor.to_dict() == before
    processor.reduce_labels = True
    assert processor.do_reduce_labels is True and processor.reduce_labels is True
    assert processor.to_dict() == {**before, "do_reduce_labels": True}
    assert set(np.unique(processor(image, np.zeros((40, 60), np.uint8)).labels)) == {255}
    processor.size = 8
    assert processor(image, return_tensors="np").pixel_values.shape == (1, 8, 8, 3)
    assert processor.preprocess_tensor(image).shape == (8, 8, 3)
    processor.resample = 9
    with pytest.raises(ValueError, match="resample is 9"):
        processor(image)


def test_several_sizes_cannot_be_stacked_but_listed(image):
    processor = SegformerImageProcessor(do_resize=False)
    images = [image, image[:10]]
    assert [pixels.shape for pixels in processor(images).pixel_values] == [(40, 60, 3), (10, 60, 3)]
    with pytest.raises(
        ValueError, match=r"pixel_values have shapes \(10, 60, 3\) and \(40, 60, 3\); expected one shape"
    ):
        processor(images, return_tensors="np")


def test_maps_must_be_as_many_as_images(image):
    with pytest.raises(ValueError, match=r"segmentation_maps has 2 maps; expected 1, one an image"):
        SegformerImageProcessor()(image, [image[..., 0]] * 2)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"resample is 'cubic'; expected one of Pillow's filters"):
        SegformerImageProcessor(resample="cubic")
    with pytest.raises(ValueError, match=r"image_mean has 3 values and image_std 2; expected as many"):
        SegformerImageProcessor(image_std=[1, 1])
    with pytest.raises(ValueError, match=r"image_std is .* expected no zero"):
        SegformerImageProcessor(image_std=[1, 0, 1])
    with pytest.raises(
        ValueError, match=r"data_format is 'middle'; expected 'channels_last', 'channels_first' or None"
    ):
        SegformerImageProcessor(data_format="middle")
    with pytest.raises(ValueError, match=r"image is float32 .* expected uint8"):
        SegformerImageProcessor().preprocess_tensor(np.zeros((4, 4, 3), "float32"))


def test_what_is_saved_is_read_back_with_unknown_keys(tmp_path):
    old = {"reduce_labels": True, "size": 640, "resample": 3, "image_std": None, "crop_pct": 0.9, "note": None}
    processor = SegformerImageProcessor.from_dict(old)
    assert processor.size == {"height": 640, "width": 640} and processor.image_std == [0.229, 0.224, 0.225]
    assert processor.save_pretrained(tmp_path) == [str(tmp_path / "preprocessor_config.json")]
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["crop_pct"] == 0.9 and saved["note"] is None and saved["do_reduce_labels"] is True
    assert saved["image_processor_type"] == "SegformerImageProcessor" and "reduce_labels" not in saved
    again = SegformerImageProcessor.from_pretrained(tmp_path)
    assert again.to_dict() == processor.to_dict()
    assert SegformerImageProcessor.from_pretrained(tmp_path, do_resize=False).do_resize is False
    with pytest.raises(TypeError, match="'do_resice': did you mean 'do_resize'"):
        SegformerImageProcessor.from_pretrained(tmp_path, do_resice=False)


def test_a_data_format_in_a_file_is_not_taken_over(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"data_format": "channels_first", "size": {"height": 4, "width": 4}}))
    assert SegformerImageProcessor.from_pretrained(path).data_format is None
    assert SegformerImageProcessor.from_pretrained(path, data_format="channels_first").data_format == "channels_first"


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("size", [{"width": 24, "height": 16}, {"shortest_edge": 12}])
def test_many_images_at_once_equal_each_by_itself(image, size, data_format):
    processor = SegformerImageProcessor(size=size, data_format=data_format)
    images = [image, image[:, ::-1], image[::-1], (image / 255).astype("float32"), image]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the float picture may have been rescaled before
        together = processor(images).pixel_values
        alone = [processor(one, return_tensors="np").pixel_values[0] for one in images]
    assert isinstance(together, list) and len(together) == len(alone)
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_old_name_warns():
    with pytest.warns(FutureWarning, match=r"old name of SegformerImageProcessor"):
        extractor = SegformerFeatureExtractor(size=128)
    assert isinstance(extractor, SegformerImageProcessor) and extractor.size == {"height": 128, "width": 128}


def test_importing_the_processor_does_not_load_tensorflow():
    code = "import sys, segformer_tf.images.processor; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_an_exported_model_preprocesses_and_labels_alike(image, tmp_path):
    processor = SegformerImageProcessor(size=SMALL)

    class Exported(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
        def labels(self, image):
            pixels = processor.preprocess_tensor(image)[tf.newaxis]
            return {"pixels": pixels, "labels": label_map(pixels, tf.shape(image)[:2])}

    tf.saved_model.save(Exported(), str(tmp_path))
    result = tf.saved_model.load(str(tmp_path)).labels(image)
    expected = processor(image, return_tensors="np").pixel_values
    np.testing.assert_array_equal(result["pixels"], expected)
    np.testing.assert_array_equal(
        result["labels"], processor.post_process_semantic_segmentation(expected, [image.shape[:2]])
    )


def test_keys_are_attributes_and_missing_ones_are_named():
    batch = BatchFeature(pixel_values=1)
    assert batch.pixel_values == batch["pixel_values"] == 1 and dict(**batch) == {"pixel_values": 1}
    assert not hasattr(batch, "labels")
    with pytest.raises(AttributeError, match="BatchFeature has no field 'labels'; it has pixel_values"):
        _ = batch.labels


def test_no_picture_at_all_is_one_sentence():
    for nothing in ([], [[]], ()):
        with pytest.raises(ValueError, match=r"^images is empty; expected at least one picture\.$"):
            SegformerImageProcessor()(nothing)


def test_a_map_with_an_axis_of_one_is_one_map_and_a_batch_of_them_a_batch():
    ids = np.arange(20).reshape(5, 4)
    images = np.zeros((2, 5, 4, 3), np.uint8)
    processor = SegformerImageProcessor(do_resize=False)
    for one in (ids[..., None], ids[None], ids):
        assert processor(images[0], one).labels[0].tolist() == ids.tolist()
    for several in (np.stack([ids, ids]), np.stack([ids, ids])[..., None]):
        assert [labels.tolist() for labels in processor(images, several).labels] == [ids.tolist()] * 2


@pytest.mark.parametrize("factor", [2, -1, 2**31])
def test_a_whole_number_as_rescale_factor_is_a_number_like_others(factor):
    picture = np.full((8, 12, 3), 200, np.uint8)
    processors = [SegformerImageProcessor(do_resize=False, rescale_factor=value) for value in (factor, float(factor))]
    whole, other = (processor(picture)["pixel_values"][0] for processor in processors)
    assert np.array_equal(whole, other) and np.all(np.isfinite(whole))
