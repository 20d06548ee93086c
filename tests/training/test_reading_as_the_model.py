"""The processor's settings of how files are read hold for data sets as for single pictures."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from small_data import CLASSES, picture_and_mask, tiny_network

from segformer_tf import SegformerImageProcessor, SegmentationPipeline, TFSegformerForImageClassification
from segformer_tf.data.inspection import inspect
from segformer_tf.data.pictures import pair_of
from segformer_tf.pipelines.runtimes.runtime import KerasModel
from segformer_tf.training import RECIPES, evaluate, read_split, train, write_shards
from segformer_tf.training.evaluate import predictions
from segformer_tf.training.fit import _inspected
from segformer_tf.training.plan import make_plan, processor_for
from segformer_tf.training.scoring import accuracy, calibration
from segformer_tf.training.scoring.protocols import Protocol
from segformer_tf.training.sources import as_read_by, pictures, readers

LYING = SegformerImageProcessor(size=(64, 96), do_exif_transpose=False)
DEEP = SegformerImageProcessor(size=(64, 96), value_range=(0, 4095))


def exif(number):
    made = Image.Exif()
    made[0x0112] = number
    return made


@pytest.fixture(params=[3, 6])
def data(tmp_path, request):
    """Pictures that say that they lie on their side or head, and masks for them as they are stored."""
    image, mask = picture_and_mask(0)
    for split in ("train", "val"):
        for kind in ("images", "annotations"):
            (tmp_path / kind / split).mkdir(parents=True)
        for suffix, number in (("jpg", 0), ("png", 1)):
            how = {"quality": 95} if suffix == "jpg" else {}
            Image.fromarray(image).save(
                tmp_path / f"images/{split}/p{number}.{suffix}", exif=exif(request.param), **how
            )
            Image.fromarray(mask).save(tmp_path / f"annotations/{split}/p{number}.png")
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    return tmp_path


@pytest.fixture
def deep(tmp_path):
    """A picture of 12 bits in 16."""
    image, mask = picture_and_mask(0)
    for kind, values in (("images", image[..., 0].astype(np.uint16) * 16), ("annotations", mask)):
        (tmp_path / kind / "val").mkdir(parents=True)
        Image.fromarray(values).save(tmp_path / kind / "val/p.png")
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    return read_split(tmp_path, "val")


def stored(file):
    return np.asarray(Image.open(file))


def test_a_split_that_is_not_turned_gives_pictures_as_they_are_stored(data, tmp_path):
    split = dataclasses.replace(read_split(data), turn=False)
    expected = [stored(file) for file in split.images]
    write_shards(split, tmp_path / "shards")
    for source in (split, read_split(tmp_path / "shards")):
        for found in (pictures(source), (read() for read in readers(source))):
            for (image, mask), same in zip(found, expected, strict=True):
                np.testing.assert_array_equal(image, same)
                np.testing.assert_array_equal(mask, picture_and_mask(0)[1])
    np.testing.assert_array_equal(pair_of(split, 0)[0], expected[0])


def test_an_inspection_reads_as_it_is_told(data):
    found = inspect(data, turn=False).check()
    assert set(found.sizes) == {(48, 72)} and not any("EXIF" in note for note in found.notes)
    assert not any(split.turn for split in found.splits.values())
    told = inspect(data)  # of pictures on their side, that masks have another size
    assert any("EXIF" in text or "72 x 48" in text for text in (*told.notes, *told.errors))


def test_a_data_set_is_scored_on_the_pictures_that_the_pipeline_sees(data):
    network, split = tiny_network(), read_split(data, "val")
    segment = SegmentationPipeline(network, LYING)
    for found, file in zip(predictions(network, split, "processor", LYING), split.images, strict=True):
        np.testing.assert_array_equal(found.image, stored(file))
        np.testing.assert_array_equal(found.predicted, segment(file).labels)
    as_told = evaluate(network, dataclasses.replace(split, turn=False), "processor", LYING)
    assert evaluate(network, split, "processor", LYING) == as_told


def test_a_temperature_is_fitted_on_the_pictures_that_the_pipeline_sees(data):
    split, runtime, how = read_split(data, "val"), KerasModel(tiny_network()), Protocol("plain")
    as_told = calibration.sampled_logits(runtime, dataclasses.replace(split, turn=False), how, LYING, 50)
    for found, same in zip(calibration.sampled_logits(runtime, split, how, LYING, 50), as_told, strict=True):
        np.testing.assert_allclose(found, same, rtol=1e-4, atol=1e-8)


def test_a_classifier_is_scored_on_the_pictures_that_the_pipeline_sees(data, monkeypatch):
    split = dataclasses.replace(read_split(data, "val"), targets=[0, 1])
    classifier, seen = TFSegformerForImageClassification(tiny_network().config), []
    monkeypatch.setattr(accuracy, "items", lambda source: seen.append(source) or iter(()))
    evaluate(classifier, split, "processor", LYING)
    assert [source.turn for source in seen] == [False]


def test_a_run_reads_as_its_processor_does_and_a_processor_is_made_as_the_splits_are_read(data):
    config, directories = tiny_network().config, {"train": data, "val": data}
    train_source, val_source, _ = _inspected(directories, config, "stop", LYING)
    given = inspect(data, splits=("train", "val"), turn=False)
    for split in (train_source, val_source, *_inspected({"train": given, "val": given}, config, "stop", None)[:2]):
        assert not split.turn
    plan = make_plan(RECIPES["fine-tune"].changed({"steps": 1, "epochs": None}), train_source, val_source)
    assert processor_for(plan, val_source).do_exif_transpose is False
    turned = dataclasses.replace(val_source, turn=True, value_range=(0, 4095))
    made = processor_for(plan, turned)
    assert made.do_exif_transpose is None and made.value_range == (0, 4095)


def test_a_split_keeps_what_it_says_itself(deep):
    narrow = dataclasses.replace(deep, value_range=(0, 100), turn=False)
    assert as_read_by(narrow, DEEP) == narrow and as_read_by(deep, None) is deep


def test_twelve_bits_are_scored_in_the_range_of_the_processor(deep):
    network = tiny_network()
    (found,) = predictions(network, deep, "processor", DEEP)
    np.testing.assert_array_equal(found.predicted, SegmentationPipeline(network, DEEP)(deep.images[0]).labels)
    assert found.image.max() > 150


def test_a_run_trains_on_pictures_as_its_processor_reads_them(data):
    recipe = RECIPES["fine-tune"].changed({"steps": 1, "epochs": None, "augmentation.crop": (32, 32), "batch_size": 1})
    train(tiny_network(), data, data / "run", recipe, processor=LYING, verbose=0)
    assert SegformerImageProcessor.from_pretrained(data / "run/best").do_exif_transpose is False
