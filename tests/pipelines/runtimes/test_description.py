"""What an exported file says about itself, believed only where it can be true."""

import json
from dataclasses import replace

import pytest
from reference import SMALL

from segformer_tf import SegformerConfig, SegformerImageProcessor
from segformer_tf.pipelines.runtimes.description import (
    Description,
    append,
    class_palette,
    class_rows,
    of_saved_model,
    read_appended,
    set_classes,
)

CONFIG = SegformerConfig(**SMALL)
ABOUT = Description(
    "TFSegformerForSemanticSegmentation", CONFIG.to_dict(), SegformerImageProcessor().to_dict(), size=(64, 96)
)


def test_what_is_written_is_read_again():
    found = Description.parse(ABOUT.text(), "model.onnx")
    assert found.size == (64, 96) and found.image_processor().size == ABOUT.processor["size"]
    assert SegformerConfig.from_dict(found.config) == CONFIG


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"config": "x"}, "cannot be read"),
        ({"config": {"depths": [2, 2]}}, "depths"),
        ({"processor": "x"}, "cannot be read"),
        ({"size": "abc"}, "cannot be read"),
        ({"size": [64, 96, 3]}, "too many values"),
        ({"size": [0, 96]}, "size is 0 x 96, expected two numbers above 0"),
        ({"config": {**CONFIG.to_dict(), "calibration_temperature": "a"}}, "calibration_temperature is 'a', expected"),
        ({"config": {**CONFIG.to_dict(), "class_colors": {"sky": [1, 2]}}}, "class_colors is .*, expected three"),
        ({"format": "2"}, r"was written by segformer-tf of an unknown version \(format '2'\), and this is"),
        ({"format": 2, "versions": None}, r"was written by segformer-tf of an unknown version \(format 2\)"),
        ({"format": 2, "versions": {"segformer_tf": "9.0"}}, r"was written by segformer-tf 9\.0 \(format 2\)"),
        ({"data_format": "nchw"}, "data_format is 'nchw', expected channels_last or channels_first"),
    ],
)
def test_what_no_model_has_is_told_with_the_file(changed, message):
    text = json.dumps({**json.loads(ABOUT.text()), **changed})
    with pytest.raises(ValueError, match=rf"^model\.onnx.*{message}"):
        Description.parse(text, "model.onnx")


@pytest.mark.parametrize(
    ("pixel_values", "logits", "message"),
    [
        ((None, 64, 96, 4), (None, 16, 24, 5), "3 channels, channels_last, and has 4 there"),
        ((-1, 64, 96, 3), (-1, 16, 24, 11), "5 classes, channels_last, and has 11 there"),
        (("batch", "height", "width", 3), ("batch", "h", "w", 5), None),
        ((None, 64, 96, 3), (None, None, None, None), None),
        ((None, 64, 96, 3), (None, 5), None),
        (("batch", 3, "height", "width"), ("batch", 5, "h", "w"), "3 channels, channels_last, and has any number"),
        ((-1, 64, 96, 3), (-1, 5, -1, -1), "5 classes, channels_last, and has any number there"),
        ((1, 3, 64, 96), (1, 5, 16, 24), "3 channels, channels_last, and has 96 there"),
    ],
)
def test_shapes_of_another_model_are_told(pixel_values, logits, message):
    if message is None:
        return ABOUT.check_shapes("model.onnx", pixel_values, logits)
    with pytest.raises(ValueError, match=rf"^model\.onnx says that its model has {message}"):
        ABOUT.check_shapes("model.onnx", pixel_values, logits)


@pytest.mark.parametrize("size", [(32, 96), None])
def test_sides_that_are_not_the_files_own_are_told(size):
    about = replace(ABOUT, size=size)
    with pytest.raises(
        ValueError, match=r"^model\.onnx says that it takes .*, and takes 64 x 96 alone: it was changed"
    ):
        about.check_shapes("model.onnx", (1, 64, 96, 3), (1, 16, 24, 5))
    first = replace(about, data_format="channels_first")
    with pytest.raises(ValueError, match="and takes 64 x 96 alone"):
        first.check_shapes("model.onnx", (1, 3, 64, 96), (1, 5, 16, 24))


@pytest.mark.parametrize("damaged", [b"\xff" + ABOUT.text().encode(), ABOUT.text().encode()[:-9]])
def test_a_damaged_description_is_none(tmp_path, damaged):
    (extra := tmp_path / "assets.extra").mkdir()
    (extra / "model.json").write_bytes(damaged)
    with pytest.raises(ValueError, match="does not say which SegFormer it is"):
        Description.parse(of_saved_model(tmp_path), tmp_path)
    file = tmp_path / "model.tflite"
    file.write_bytes(b"TFL3 and more")
    append(file, ABOUT.text())
    assert Description.parse(read_appended(file), file) == Description.parse(ABOUT.text(), file)
    whole = file.read_bytes()
    for place in range(13, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        assert read_appended(file) in (None, ABOUT.text().encode())
    file.write_bytes(b"no archive")
    assert read_appended(file) is None


def test_colours_travel_in_the_config_by_name_and_others_keep_off_them(tmp_path):
    config = SegformerConfig(id2label={0: "oben", 1: "unten", 2: "mitte"})
    before = class_palette(config).tolist()
    set_classes(config, {}, {})
    assert "class_colors" not in config.to_dict()
    set_classes(config, {}, {0: before[1], 2: (0, 0, 255)})
    config.save_pretrained(tmp_path)
    found = SegformerConfig.from_pretrained(tmp_path)
    palette = class_palette(found).tolist()
    assert palette[0] == before[1] != palette[1] and palette[2] == [0, 0, 255]
    about = json.loads(Description("TFSegformerForSemanticSegmentation", found.to_dict()).text())
    assert [row["color"] for row in about["classes"]] == palette == [row["color"] for row in class_rows(found)]
    other = SegformerConfig.from_pretrained(tmp_path, id2label={0: "one", 1: "mitte"})
    assert class_palette(other).tolist()[1] == [0, 0, 255]
    assert class_palette(SegformerConfig.from_pretrained(tmp_path, num_labels=4)).tolist()[:3] == before


def test_names_of_a_data_set_take_the_place_of_label_n_alone():
    def named(own, data):
        config = SegformerConfig(id2label=own)
        set_classes(config, data, {})
        return config.id2label

    sky = {0: "sky", 1: "road"}
    assert named({0: "LABEL_0", 1: "LABEL_1"}, sky) == sky
    for own in ({0: "LABEL_0", 1: "road"}, {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}):
        assert named(own, sky) == own and named(own, {}) == own
    assert named({0: "LABEL_0"}, sky) == {0: "road"}


def test_the_colours_of_one_logit_are_of_the_rest_too():
    config = SegformerConfig(id2label={0: "crack"})
    set_classes(config, {}, {0: [9, 9, 9], 1: [200, 0, 0]})
    assert class_palette(config).tolist() == [[9, 9, 9], [200, 0, 0]]


@pytest.mark.parametrize("value", ["red", [[1, 2, 3]], {"a": [1, 2]}, {"a": [1, 2, 256]}, {"a": [1, 2, 0.5]}])
def test_colours_that_are_none_are_told(value):
    config = SegformerConfig.from_dict({"class_colors": value})
    with pytest.raises(ValueError, match=r"class_colors is .*, expected three numbers .*: correct config\.json"):
        class_palette(config)
