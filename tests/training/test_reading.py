import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_data import picture_and_mask

from segformer_tf.training import read_split
from segformer_tf.training.reading import MaskReader, decode_picture, highest_id, inspect


def test_a_jpeg_is_decoded_as_pillow_does(data):
    file = read_split(data).images[0]
    found = decode_picture(tf.io.read_file(str(file)))
    np.testing.assert_array_equal(found, np.asarray(Image.open(file)))


@pytest.mark.parametrize("kind", ["8-bit", "16-bit", "palette", "mixed"])
def test_masks_of_every_kind_give_their_class_ids(tmp_path, kind):
    mask = picture_and_mask(0)[1]
    grey, palette, wide = (Image.fromarray(mask) for _ in range(3))
    palette.putpalette(np.arange(768) % 251)
    wide = Image.fromarray(mask.astype(np.uint16) + 300)
    pictures = {"8-bit": [grey], "16-bit": [wide], "palette": [palette], "mixed": [grey, wide]}[kind]
    files = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for picture, file in zip(pictures, files, strict=True):
        picture.save(file)
    read = MaskReader(files)
    for picture, file in zip(pictures, files, strict=True):
        np.testing.assert_array_equal(read(str(file)), mask.astype(int) + (300 if picture is wide else 0))


def test_reduced_labels_begin_at_0_and_0_becomes_ignored(tmp_path):
    Image.fromarray(np.array([[0, 1], [2, 150]], np.uint8)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(MaskReader([tmp_path / "m.png"], True)(str(tmp_path / "m.png")), [[255, 0], [1, 149]])


def test_inspection_counts_the_pixels_of_each_class(data):
    split, counts = inspect(read_split(data), 3)
    masks = np.stack([np.asarray(Image.open(file)) for file in split.targets])
    assert counts == [(masks == i).sum() for i in range(3)] and len(split) == 7


def test_an_rgb_mask_is_refused_by_name(data):
    Image.new("RGB", (72, 48)).save(data / "annotations/train/p2.png")
    with pytest.raises(ValueError, match=r"p2\.png is an RGB picture .* replace each colour by its class id"):
        inspect(read_split(data), 3)


def test_a_mask_of_another_size_is_refused_with_both_sizes(data):
    Image.new("L", (70, 48)).save(data / "annotations/train/p2.png")
    with pytest.raises(ValueError, match=r"p2\.png is 48 x 70 pixels, expected 48 x 72 as its picture p2\.jpg"):
        inspect(read_split(data), 3)


def test_a_class_that_the_model_does_not_have_is_refused_by_name_and_value(data):
    with pytest.raises(ValueError, match=r"p\d\.png has the class id 2, expected 0 to 1 or 255"):
        inspect(read_split(data), 2)


@pytest.mark.parametrize("name", ["images/train/p1.jpg", "annotations/train/p1.png"])
def test_an_unreadable_file_stops_the_run_by_name(data, name):
    (data / name).write_bytes((data / name).read_bytes()[:90])
    with pytest.raises(OSError, match=name.rsplit("/", 1)[1]):
        inspect(read_split(data), 3)


def test_an_unreadable_file_is_skipped_with_a_message_if_asked(data, capsys):
    (data / "images/train/p1.jpg").write_bytes(b"nothing")
    split, _ = inspect(read_split(data), 3, "skip")
    assert len(split) == 6 and "p1" not in [file.stem for file in split.images]
    assert "left out" in capsys.readouterr().out


def test_nothing_readable_is_an_error(data):
    for file in read_split(data).images:
        file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is empty after leaving out"):
        inspect(read_split(data), 3, "skip")


def test_labels_that_were_reduced_before_are_not_reduced_again(tmp_path):
    for kind, mode in (("images", "RGB"), ("annotations", "L")):
        (tmp_path / kind / "training").mkdir(parents=True)
        Image.new(mode, (40, 32), 255 if mode == "L" else (1, 2, 3)).save(tmp_path / kind / "training/a.png")
    with pytest.raises(ValueError, match="its labels seem to be reduced already"):
        inspect(read_split(tmp_path), 150)


def test_the_highest_class_id_leaves_ignored_pixels_out(data):
    assert highest_id(read_split(data)) == 2
