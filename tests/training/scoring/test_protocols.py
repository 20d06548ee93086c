import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForImageClassification
from segformer_tf.pipelines.predict import How
from segformer_tf.pipelines.runtimes.runtime import KerasModel
from segformer_tf.training import Protocol, evaluate, read_split
from segformer_tf.training.evaluate import predictions


def test_hf_512_squashes_the_picture_whatever_the_processor_says(data, network):
    split = read_split(data, "val")
    found = next(predictions(network, split, "hf-512", SegformerImageProcessor(do_resize=False)))
    logits = network(SegformerImageProcessor()(found.image, return_tensors="np")["pixel_values"]).logits
    np.testing.assert_array_equal(found.predicted, tf.argmax(tf.image.resize(logits, (48, 72)), -1)[0])


def test_without_a_processor_the_default_one_resizes_as_in_pipelines(data, network):
    split = read_split(data, "val")
    found, expected = (next(predictions(network, split, name)).predicted for name in ("processor", "hf-512"))
    np.testing.assert_array_equal(found, expected)
    assert "processor does (without one, to 512 x 512)" in str(Protocol("processor"))


def test_only_several_are_said_to_be_averaged():
    assert "scales 0.5, no flip" in str(Protocol(scales=(0.5,))) and "averaged" not in str(Protocol(scales=(0.5,)))
    for several in (Protocol(scales=(0.5, 1.0)), Protocol(scales=(0.5,), flip=True)):
        assert str(several).endswith("class probabilities averaged")


def test_ade20k_keeps_the_ratio_and_aligned_rounds_the_sides_up(network):
    image = np.random.default_rng(0).integers(0, 256, (50, 93, 3), np.uint8)
    source = tf.data.Dataset.from_tensors((image, np.zeros((50, 93), np.int32)))
    for name, size in (("ade20k", (512, 952)), ("ade20k-aligned", (512, 960))):
        found = next(predictions(network, source, name))
        logits = network(SegformerImageProcessor(size=size)(image, return_tensors="np")["pixel_values"]).logits
        expected = tf.argmax(tf.image.resize(logits, (50, 93)), -1)[0].numpy()
        assert (found.predicted == expected).mean() > 0.999, name


@pytest.mark.long
def test_cityscapes_is_windows_of_1024_every_768(network):
    image = np.zeros((1024, 1100, 3), np.uint8)
    source = tf.data.Dataset.from_tensors((image, np.zeros((1024, 1100), np.int32)))
    found = evaluate(network, source, "cityscapes")
    assert found["protocol"].startswith("cityscapes: windows of 1024 x 1024 every 768 x 768 pixels")
    assert found["aAcc"] == evaluate(network, source, "slide")["aAcc"]


@pytest.mark.parametrize("name", ["cityscapes", "cityscapes-whole"])
def test_cityscapes_over_smaller_pictures_is_refused(data, network, name):
    with pytest.raises(ValueError, match=f"p0 is 48 x 72, and protocol {name} is for pictures of 1024 x 1024 pixels"):
        evaluate(network, read_split(data, "val"), name)


def test_windows_of_another_protocol_are_refused():
    with pytest.raises(ValueError, match="protocol is 'cityscapes', whose windows cannot be changed"):
        Protocol("cityscapes", (512, 512), (256, 256))


def test_windows_without_a_stride_step_by_three_quarters_as_those_of_a_pipeline(data, network):
    protocol = Protocol("slide", (64, 80))
    assert protocol.how == How("slide", "none", (64, 80))
    assert str(protocol).startswith("slide: windows of 64 x 80 every 48 x 60 pixels")
    split = read_split(data, "val")
    assert evaluate(network, split, protocol) == evaluate(network, split, Protocol("slide", (64, 80), (48, 60)))


def test_a_file_of_one_size_is_scored_in_windows_of_it_which_is_said(data, network):
    runtime = KerasModel(network)
    runtime.size = (32, 64)
    found = evaluate(runtime, read_split(data, "val"), "slide")
    assert found["protocol"].startswith("slide: windows of 32 x 64 every 24 x 48 pixels")


def test_protocols_of_masks_do_not_fit_a_classifier_s_data(tmp_path, network):
    (tmp_path / "val" / "a").mkdir(parents=True)
    Image.new("RGB", (40, 50)).save(tmp_path / "val/a/x.png")
    classifier = TFSegformerForImageClassification(SegformerConfig.from_dict(network.config.to_dict()))
    split = dataclasses.replace(read_split(tmp_path, "val"), classes=())
    with pytest.raises(ValueError, match=r"protocol is ade20k.*has a class for each picture, no masks"):
        evaluate(classifier, split, "ade20k")
    with pytest.raises(ValueError, match="flip"):
        evaluate(classifier, split, Protocol(flip=True))
    with pytest.raises(ValueError, match="dump, boundary, groups and corruption are of masks"):
        evaluate(classifier, split, boundary=True)
