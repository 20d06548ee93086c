import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from reference import SMALL
from small_data import tiny_network

from segformer_tf import (
    ImageClassificationPipeline,
    SegformerConfig,
    SegformerImageProcessor,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
)
from segformer_tf.export.export import export
from segformer_tf.pipelines.runtimes.runtime import KerasModel
from segformer_tf.training import Augmentation, Protocol, confusion, evaluate, read_split, scores
from segformer_tf.training.evaluate import ValidationLoss, predictions
from segformer_tf.training.scoring.calibration import calibrate


def by_hand(network, split):
    """The matrix by the processor and the model's own calls, picture by picture."""
    total = 0
    for image, mask in zip(split.images, split.targets, strict=True):
        inputs = SegformerImageProcessor(do_resize=False)(Image.open(image), return_tensors="np")
        logits = network(inputs["pixel_values"]).logits
        mask = np.asarray(Image.open(mask))
        found = tf.argmax(tf.image.resize(logits, mask.shape), -1)[0].numpy()
        total = total + confusion(mask, found, 3)
    return scores(total)


def test_the_plain_score_is_the_model_s_own_prediction_at_the_picture_s_size(data, network):
    split = read_split(data, "val")
    found, expected = evaluate(network, split), by_hand(network, split)
    for key in ("mIoU", "mAcc", "aAcc"):
        assert found[key] == pytest.approx(expected[key], abs=1e-9)
    assert found["images"] == 3 and found["protocol"].startswith("plain: whole picture at its own size")
    assert [set(row) for row in found["per_class"]] == [{"id", "name", "IoU", "Acc", "Dice"}] * 3
    assert found["per_class"][1]["name"] == "box"


def test_a_channels_first_model_scores_the_same(data, network):
    config = network.config
    first = type(network)(config, data_format="channels_first")
    first.set_weights(network.get_weights())
    split = read_split(data, "val")
    assert evaluate(first, split)["mIoU"] == pytest.approx(evaluate(network, split)["mIoU"], abs=1e-6)


def test_a_window_as_large_as_the_picture_slides_nowhere(data, network):
    split = read_split(data, "val")
    slide = evaluate(network, split, Protocol("slide", (64, 80), (32, 32)))
    assert slide["mIoU"] == evaluate(network, split)["mIoU"]
    assert slide["protocol"].startswith("slide: windows of 64 x 80 every 32 x 32")


def test_windows_cover_the_picture_and_their_logits_are_averaged(data, network):
    split = read_split(data, "val")
    found = next(predictions(network, split, Protocol("slide", (32, 40), (16, 20))))
    pixels = SegformerImageProcessor(do_resize=False)(found.image, return_tensors="tf")["pixel_values"]
    total, count = np.zeros((48, 72, 3)), np.zeros((48, 72, 1))
    for top in (0, 16):
        for left in (0, 20, 32):
            logits = network(pixels[:, top : top + 32, left : left + 40]).logits
            total[top : top + 32, left : left + 40] += tf.image.resize(logits, (32, 40))[0]
            count[top : top + 32, left : left + 40] += 1
    assert (found.predicted == (total / count).argmax(-1)).mean() > 0.999


def test_other_protocols_resize_the_picture_and_compare_at_the_mask_s_size(data, network):
    split = read_split(data, "val")
    processor = SegformerImageProcessor(size=(64, 64))
    found = next(predictions(network, split, "processor", processor))
    logits = network(processor(found.image, return_tensors="np")["pixel_values"]).logits
    np.testing.assert_array_equal(found.predicted, tf.argmax(tf.image.resize(logits, (48, 72)), -1)[0])
    small = dataclasses.replace(split, images=split.images[:1], targets=split.targets[:1])
    assert evaluate(network, small, "ade20k")["protocol"].startswith("ade20k: whole picture, fitted into 2048 x 512 as")


def test_predictions_do_not_take_the_place_of_masks(data, network):
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match=r"dump would replace .*annotations/val/.*\.png, a file of the data set: name"):
        evaluate(network, read_split(data, "val"), dump=data / "annotations" / "val")
    assert {file: file.read_bytes() for file in data.rglob("*") if file.is_file()} == before


def test_predictions_are_dumped_as_palette_pictures_of_class_ids(data, network, tmp_path):
    split = read_split(data, "val")
    evaluate(network, split, dump=tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["p0.png", "p1.png", "p2.png"]
    found = next(predictions(network, split))
    np.testing.assert_array_equal(np.asarray(Image.open(files[0])), found.predicted)


def test_a_class_that_never_occurs_has_no_score_and_none_in_json(data):
    network = tiny_network()
    network.get_layer("decode_head").classifier.bias.assign([9, 0, -9])
    split = read_split(data, "val")
    for file in split.targets:
        Image.fromarray(np.zeros((48, 72), np.uint8)).save(file)
    found = evaluate(network, split)
    assert found["per_class"][0]["IoU"] == 1.0 and found["per_class"][2]["IoU"] is None and found["mIoU"] == 1.0


def test_an_unknown_protocol_is_told():
    with pytest.raises(ValueError, match="protocol is 'fast', expected plain, processor, hf-512, ade20k"):
        Protocol("fast")


@pytest.fixture
def classes(tmp_path):
    """A picture of each of the classes a, b and c."""
    for i, name in enumerate("abc"):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (40, 50), (100 * i, 0, 0)).save(tmp_path / f"val/{name}/x.png")
    return read_split(tmp_path, "val")


def classifier_of(network, **changes):
    made = TFSegformerForImageClassification(SegformerConfig.from_dict(network.config.to_dict(), **changes))
    bias = np.zeros(made.config.num_labels)
    bias[1:2] = 99
    made.get_layer("classifier").bias.assign(bias)
    return made


def test_a_classifier_has_intervals_and_calibration(classes, network):
    classifier = classifier_of(network, id2label=classes.id2label)
    classifier.get_layer("classifier").kernel.assign(np.zeros_like(classifier.get_layer("classifier").kernel))
    classifier.get_layer("classifier").bias.assign([0, 4, 0])
    processor = SegformerImageProcessor(size=(32, 32))
    found = evaluate(classifier, classes, "plain", processor, intervals=True, calibration=True)
    assert found["intervals"]["accuracy"] == [0.0, 1.0]  # one of three is right
    sure = np.exp(4) / (np.exp(4) + 2)
    assert found["calibration"]["confidence"] == pytest.approx(sure, rel=1e-5)
    assert found["calibration"]["ECE"] == pytest.approx(sure - 1 / 3, rel=1e-5)
    assert [row["pictures"] for row in found["calibration"]["bins"] if row["pictures"]] == [3]
    with pytest.warns(UserWarning, match="the 3 pictures are all right, or tell nothing"):
        fitted = calibrate(KerasModel(classifier), classes, Protocol("plain"), processor)
    assert fitted["pictures"] == 3 and fitted["temperature"] == pytest.approx(20, rel=0.01)
    assert fitted["after"]["ECE"] < fitted["before"]["ECE"] == pytest.approx(found["calibration"]["ECE"], rel=1e-5)
    config = SegformerConfig.from_dict({**classifier.config.to_dict(), "calibration_temperature": 2.0})
    warm = TFSegformerForImageClassification(config)
    warm.set_weights(classifier.get_weights())
    (first, *_) = ImageClassificationPipeline(warm, processor)(str(classes.images[0]))
    assert first["score"] == pytest.approx(np.exp(2) / (np.exp(2) + 2), rel=1e-5)
    several = classifier_of(network, id2label=classes.id2label, problem_type="multi_label_classification")
    with pytest.raises(ValueError, match="expected 'single_label_classification', whose probabilities alone"):
        evaluate(several, classes, calibration=True)


def test_a_classifier_s_score_is_its_accuracy(classes, network):
    classifier = classifier_of(network, id2label=classes.id2label)
    found = evaluate(classifier, classes, processor=SegformerImageProcessor(size=(32, 32)))
    assert found["accuracy"] == pytest.approx(1 / 3) and [row["Acc"] for row in found["per_class"]] == [0, 1, 0]
    assert "top5" not in found
    many = classifier_of(network, id2label={i: name for i, name in enumerate("abcdefg")})
    many.get_layer("classifier").bias.assign([0, 9, 0, 8, 7, 6, 5])  # c is the last of seven
    many.get_layer("classifier").kernel.assign(np.zeros_like(many.get_layer("classifier").kernel))
    found = evaluate(many, classes, processor=SegformerImageProcessor(size=(32, 32)), map_classes={})
    assert (found["accuracy"], found["top5"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    many.get_layer("classifier").bias.assign([5, 9, 4, 8, 7, 6, 0])
    found = evaluate(many, classes, processor=SegformerImageProcessor(size=(32, 32)), map_classes={})
    assert found["top5"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="is a segmentation model, and the data has a class for each picture: give"):
        evaluate(network, classes)
    with pytest.raises(ValueError, match=r"dump, boundary, .* are of masks, and the data set has none"):
        evaluate(classifier, classes, dump="nowhere")
    with pytest.raises(ValueError, match="has one class, expected several"):
        evaluate(classifier_of(network, num_labels=1), classes)


def test_a_classifier_of_other_classes_needs_a_map(classes, network):
    own = network.config.id2label
    classifier, small = classifier_of(network), SegformerImageProcessor(size=(32, 32))
    with pytest.raises(ValueError, match="the data set's classes are 0 a, 1 b, 2 c, and the model's are"):
        evaluate(classifier, classes)
    found = evaluate(classifier, classes, processor=small, map_classes={"a": own[1], "b": own[2], "c": None})
    assert found["images"] == 2 and [row["Acc"] for row in found["per_class"]] == [None, 1, 0]
    none = dict.fromkeys("abc")
    assert evaluate(classifier, classes, processor=small, map_classes=none)["accuracy"] is None
    with pytest.raises(ValueError, match="map_classes does not name 'b', 'c', and the model has no class of that name"):
        evaluate(classifier, classes, processor=small, map_classes={"a": own[1]})
    with pytest.raises(ValueError, match="map_classes names 'd', which is no class of the data set"):
        evaluate(classifier, classes, map_classes={"d": 0})
    with pytest.raises(ValueError, match="the data set's classes are 0 a, 1 b, 2 c, and the model's are 0 LABEL_0"):
        evaluate(classifier_of(network, num_labels=2), classes)
    unnamed = dataclasses.replace(classes, classes=())
    with pytest.raises(ValueError, match="a picture has the class 2, expected 0 to 1"):
        evaluate(classifier_of(network, num_labels=2), unnamed, processor=small)


def test_folders_beside_a_model_without_names_are_as_many_as_its_classes(classes, network):
    unnamed = classifier_of(network, id2label={i: f"LABEL_{i}" for i in range(4)})
    with pytest.raises(ValueError, match="has 3 folders of classes, and the model 4 classes without names"):
        evaluate(unnamed, classes)


def test_a_classifier_is_not_scored_on_masks(data, network):
    classifier = TFSegformerForImageClassification(SegformerConfig.from_dict(network.config.to_dict()))
    with pytest.raises(ValueError, match="is a classifier, and the data has masks: give data of the model's kind"):
        evaluate(classifier, read_split(data, "val"))


def test_several_scales_and_mirror_images_average_class_probabilities(data, network):
    split = read_split(data, "val")
    found = next(predictions(network, split, Protocol(scales=(1.0, 1.5), flip=True)))
    total = 0.0
    for size in ((48, 72), (72, 108)):
        pixels = SegformerImageProcessor(size=size)(found.image, return_tensors="np").pixel_values
        for values, back in ((pixels, slice(None)), (pixels[:, :, ::-1], slice(None, None, -1))):
            logits = np.asarray(network(values).logits)[:, :, back]
            total = total + tf.nn.softmax(tf.image.resize(logits, (48, 72))[0]).numpy()
    assert (found.predicted == total.argmax(-1)).mean() > 0.999
    protocol = evaluate(network, split, Protocol(scales=(1.0, 1.5), flip=True))["protocol"]
    assert "scales 1, 1.5, flip" in protocol and protocol.endswith("class probabilities averaged")


def test_classes_are_mapped_before_they_are_counted(data, network):
    """Two of the data set's classes are one of the model's, and the third is left out."""
    split = read_split(data, "val")
    given = {"wall": "leaf", "Box": "wall", "leaf": None}
    found = evaluate(network, split, map_classes=given)
    table = np.full(256, 255)
    table[[0, 1]] = 2, 0
    total = sum(confusion(table[seen.labels], seen.predicted, 3) for seen in predictions(network, split))
    assert found["mIoU"] == pytest.approx(scores(total)["mIoU"], abs=1e-9)
    assert found["per_class"][1]["Acc"] is None and found["mIoU"] != evaluate(network, split)["mIoU"]
    assert evaluate(network, split, map_classes={"wall": "leaf"}) == evaluate(
        network, split, map_classes={"wall": "leaf", "box": "box", "leaf": "leaf"}
    )


def test_the_validation_loss_is_the_mean_of_the_pictures_losses(data, network):
    split = read_split(data, "val")
    losses = []
    for image, mask in zip(split.images, split.targets, strict=True):
        pixels = SegformerImageProcessor(do_resize=False)(Image.open(image), return_tensors="np")["pixel_values"]
        losses.append(float(network(pixels, labels=np.asarray(Image.open(mask))[None].astype("int32")).loss))
    assert ValidationLoss(network, split, Augmentation()).take() == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_validation_loss_takes_pictures_that_are_small_for_the_models_reduction(data):
    """57 pixels a side, where the pictures have 48 x 72: beside them nothing counts."""
    model = TFSegformerForSemanticSegmentation(SegformerConfig(**{**SMALL, "num_labels": 3, "sr_ratios": [4, 8]}))
    split, losses = read_split(data, "val"), []
    for image, mask in zip(split.images, split.targets, strict=True):
        pixels = SegformerImageProcessor(do_resize=False)(Image.open(image), return_tensors="np")["pixel_values"]
        height, width = pixels.shape[1:3]
        around = [(0, 0), (0, max(57 - height, 0)), (0, max(57 - width, 0))]
        labels = np.pad(np.asarray(Image.open(mask))[None].astype("int32"), around, constant_values=255)
        losses.append(float(model(np.pad(pixels, [*around, (0, 0)]), labels=labels).loss))
    assert ValidationLoss(model, split, Augmentation()).take() == pytest.approx(np.mean(losses), rel=1e-3)


@pytest.mark.long
def test_a_saved_model_directory_scores_as_its_model_does(data, network, tmp_path):
    split = read_split(data, "val")
    export(network, tmp_path / "street", processor=SegformerImageProcessor(size=(64, 64)))
    for path in (tmp_path / "street", tmp_path / "street" / "1"):
        found = evaluate(path, split, "processor")
        expected = evaluate(network, split, "processor", SegformerImageProcessor(size=(64, 64)))
        assert found["mIoU"] == pytest.approx(expected["mIoU"], abs=2e-3) and found["images"] == 3
        assert [row["name"] for row in found["per_class"]] == ["wall", "box", "leaf"]


def test_a_path_that_is_no_exported_file_is_told(data, tmp_path):
    with pytest.raises(
        ValueError, match="is no exported file; expected one, or a model that from_pretrained has loaded"
    ):
        evaluate(tmp_path, read_split(data, "val"))


def test_predictions_of_one_name_lie_in_their_folders(data, network, tmp_path):
    for kind, suffix in (("images", "jpg"), ("annotations", "png")):
        for number in range(2):
            new = data / kind / "val" / f"cam{number}" / f"0000.{suffix}"
            new.parent.mkdir()
            (data / kind / "val" / f"p{number}.{suffix}").rename(new)
    evaluate(network, read_split(data, "val"), dump=tmp_path / "out")
    written = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.png")}
    assert written == {"cam0/0000.png", "cam1/0000.png", "p2.png"}
