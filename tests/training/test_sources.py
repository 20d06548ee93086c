import numpy as np
import pytest
import tensorflow as tf
from people_data import HALF, coco
from PIL import Image
from small_data import assert_same, own_dataset, picture_and_mask, source_of

from segformer_tf.training import Split, open_split, read_split
from segformer_tf.training.sources import chosen, identity, pictures, readers


def test_a_dict_of_pixel_values_and_labels_is_taken():
    source = own_dataset().map(lambda x, y: {"pixel_values": x, "labels": y[..., None]})
    image, mask = next(iter(pictures(source)))
    np.testing.assert_array_equal(mask, picture_and_mask(0)[1])
    assert image.shape == (48, 72, 3)


def test_a_split_is_opened_from_a_directory_and_kept_as_it_is_otherwise(data):
    split = open_split(data, "val")
    assert len(split) == 3 and open_split(split, "train") is split


def test_pictures_are_known_by_names_classes_and_size_wherever_they_lie(data, tmp_path):
    data.rename(tmp_path / "elsewhere")
    known, first = identity(read_split(tmp_path / "elsewhere")), tmp_path / "elsewhere/images/train/p0.jpg"
    assert known["pictures"] == 7 and known == identity(read_split(tmp_path / "elsewhere"))
    with open(first, "ab") as file:
        file.write(b"!")
    more = identity(read_split(tmp_path / "elsewhere"))
    assert more["bytes"] == known["bytes"] + 1 and more["names"] == known["names"]
    classes = [Split("train", [first, first], targets) for targets in ([0, 1], [1, 1])]
    assert identity(classes[0])["names"] != identity(classes[1])["names"]
    assert identity(own_dataset()) is None


def test_a_mask_of_another_size_than_its_picture_is_refused():
    image, mask = np.zeros((40, 48, 3), np.uint8), np.zeros((40, 47), np.int32)
    with pytest.raises(
        ValueError, match=r"\(40, 47\) and \(40, 48, 3\): a mask has another height or width than its picture"
    ):
        next(iter(pictures(tf.data.Dataset.from_tensors((image, mask)))))
    unknown = tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((None, None), tf.int32)
    source = tf.data.Dataset.from_generator(lambda: iter([(image, mask)]), output_signature=unknown)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a mask has another height or width than its picture"):
        next(iter(pictures(source)))


def test_a_picture_smaller_than_models_take_is_padded(data):
    for kind, name in (("images", "p0.jpg"), ("annotations", "p0.png")):
        file = data / kind / "val" / name
        Image.open(file).crop((0, 0, 72, 20)).save(file)
    image, mask = next(iter(pictures(read_split(data, "val"), 254)))
    assert image.shape == (32, 72, 3) and (image[20:] == [124, 116, 104]).numpy().all()
    assert (mask[20:] == 254).numpy().all() and (mask[1:20] != 254).numpy().all()


def test_masks_drawn_from_shapes_are_those_of_the_inspection(tmp_path):
    coco(tmp_path)
    pairs = [*pictures(read_split(tmp_path)), *(read() for read in readers(read_split(tmp_path)))]
    for image, mask in pairs:
        assert image.shape == (40, 60, 3)
        np.testing.assert_array_equal(mask, HALF)


@pytest.mark.parametrize("ignore_index", [255, -100])
@pytest.mark.parametrize("kind", ["files", "shards", "own"])
def test_readers_give_the_arrays_of_pictures(data, tmp_path, kind, ignore_index):
    for folder, name in (("images", "p0.jpg"), ("annotations", "p0.png")):  # one is smaller than models take
        file = data / folder / "train" / name
        Image.open(file).crop((0, 0, 30, 20)).save(file)
    source = source_of(kind, data, tmp_path)
    found = [read() for read in readers(source, ignore_index)]
    assert_same(found, [(x.numpy(), y.numpy()) for x, y in pictures(source, ignore_index)])
    assert {(type(x), x.dtype, type(y), y.dtype) for x, y in found} == {
        (np.ndarray, np.dtype("uint8"), np.ndarray, np.dtype("int32"))
    }


def test_readers_name_a_mask_of_another_size_and_a_broken_picture(data):
    split = read_split(data)
    Image.new("L", (30, 40)).save(split.targets[1])
    split.images[2].write_bytes(b"no picture")
    _, small, broken = list(readers(split))[:3]
    with pytest.raises(ValueError, match=r"p\d+.jpg has 40 x 30 pixels, expected the picture's 48 x 72"):
        small()
    with pytest.raises(OSError, match=split.images[2].name):
        broken()


@pytest.mark.parametrize("kind", ["files", "shards", "own"])
def test_chosen_pictures_come_in_order_and_those_beyond_the_end_are_left_out(data, tmp_path, kind):
    source = source_of(kind, data, tmp_path)
    all_of_them = [(x.numpy(), y.numpy()) for x, y in pictures(source)]
    found = [read() for read in readers(chosen(source, {4, 0, 2, 400}))]
    assert_same(found, [all_of_them[i] for i in (0, 2, 4)])
    assert [*readers(chosen(source, []))] == []


def test_a_dict_without_labels_is_told():
    data = tf.data.Dataset.from_tensors({"pixel_values": tf.zeros((40, 40, 3), tf.uint8), "mask": 0})
    with pytest.raises(ValueError, match="have the keys pixel_values, mask, expected pixel_values and labels: add lab"):
        next(iter(pictures(data)))
