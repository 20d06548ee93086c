import numpy as np
import pytest
import tensorflow as tf
from people_data import HALF, coco
from PIL import Image
from small_data import picture_and_mask, tiny_network

from segformer_tf.training import Augmentation, evaluation_data, open_split, read_split, training_data, write_shards
from segformer_tf.training.datasets import pictures, readers

HOW = Augmentation(crop=(32, 40))


def take(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(count)]


def assert_same(found, expected):
    for (x, y), (x2, y2) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def shards(data, tmp_path):
    write_shards(read_split(data), tmp_path / "shards", pictures_per_shard=3)
    return read_split(tmp_path / "shards")


def own_dataset():
    pairs = [picture_and_mask(i) for i in range(5)]
    return tf.data.Dataset.from_tensor_slices(tuple(np.stack(x) for x in zip(*pairs, strict=True)))


@pytest.mark.parametrize("kind", ["files", "shards", "own"])
def test_batches_are_the_same_for_a_seed_and_go_on_in_the_middle(data, tmp_path, kind):
    source = {"files": read_split, "shards": lambda d: shards(d, tmp_path), "own": lambda d: own_dataset()}[kind](data)
    first, again = (take(training_data(source, HOW, 2, seed=4), 6) for _ in range(2))
    assert_same(first, again)
    assert_same(take(training_data(source, HOW, 2, seed=4, start=3), 3), first[3:])
    assert not np.array_equal(first[0][0], take(training_data(source, HOW, 2, seed=5), 1)[0][0])


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_an_epoch_has_every_picture_once_in_an_order_of_its_own(data, tmp_path, kind):
    source = read_split(data) if kind == "files" else shards(data, tmp_path)
    how = Augmentation((48, 72), (1.0, 1.0), max_class_share=1.0, flip_rate=0, photometric=False)
    masks = [y.tobytes() for _, y in take(training_data(source, how, 1), 14)]
    assert len(set(masks[:7])) == 7 and set(masks[:7]) == set(masks[7:])
    assert masks[:7] != masks[7:]


def test_a_batch_has_the_crop_s_size_and_the_labels_of_the_masks(data):
    ((x, y),) = take(training_data(read_split(data), HOW, 3), 1)
    assert x.shape == (3, 32, 40, 3) and x.dtype == np.float32 and y.shape == (3, 32, 40)
    assert set(np.unique(y)) <= {0, 1, 2, 255}


def test_evaluation_sees_whole_pictures_in_their_order(data):
    found = take(evaluation_data(read_split(data, "val")), 3)
    assert [x.shape for x, _ in found] == [(1, 48, 72, 3)] * 3
    np.testing.assert_array_equal(found[1][1][0], np.asarray(Image.open(data / "annotations/val/p1.png")))


def test_a_class_folder_gives_pictures_and_ids(tmp_path):
    for i, name in enumerate("ab"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (50, 44), (i * 200, 0, 0)).save(tmp_path / f"train/{name}/x.png")
    how = Augmentation(crop=(32, 40), photometric=False)
    for x, y in take(training_data(read_split(tmp_path), how, 2), 3):
        assert x.shape == (2, 32, 40, 3) and sorted(y) == [0, 1]
        assert (x[..., 0].mean((1, 2)) > 0).tolist() == (y == 1).tolist()


def test_a_normalised_or_batched_dataset_is_refused():
    batched = own_dataset().batch(2)
    with pytest.raises(ValueError, match="expected single pairs of an image"):
        training_data(batched, HOW, 2)


def test_a_dict_of_pixel_values_and_labels_is_taken():
    source = own_dataset().map(lambda x, y: {"pixel_values": x, "labels": y[..., None]})
    image, mask = next(iter(pictures(source)))
    np.testing.assert_array_equal(mask, picture_and_mask(0)[1])
    assert image.shape == (48, 72, 3)


def test_a_split_is_opened_from_a_directory_and_kept_as_it_is_otherwise(data):
    split = open_split(data, "val")
    assert len(split) == 3 and open_split(split, "train") is split


@pytest.mark.parametrize("ignore_index", [0, 1, 254, -100])
def test_255_on_disk_becomes_the_model_s_ignore_index(data, ignore_index):
    split = read_split(data)
    how = Augmentation((64, 96), (1.0, 1.0), max_class_share=1.0, flip_rate=0, photometric=False)
    plain, other = (next(iter(training_data(split, how, 7, 3, 0, index)))[1].numpy() for index in (255, ignore_index))
    np.testing.assert_array_equal(other, np.where(plain == 255, ignore_index, plain))
    assert (plain[:, 48:] == 255).all()  # beside the pictures
    whole = next(iter(evaluation_data(split, ignore_index=ignore_index)))[1].numpy()[0]
    mask = np.asarray(Image.open(split.targets[0])).astype(int)
    np.testing.assert_array_equal(whole, np.where(mask == 255, ignore_index, mask))


def test_a_model_with_another_ignore_index_trains_on_padded_crops(data):
    network = tiny_network(semantic_loss_ignore_index=254)
    pixels, labels = next(iter(training_data(read_split(data), Augmentation((64, 96)), 2, ignore_index=254)))
    assert np.isfinite(network(pixels, labels=labels).loss)


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
    source = {"files": read_split, "shards": lambda data: shards(data, tmp_path), "own": lambda _: own_dataset()}[kind](
        data
    )
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
