import numpy as np
import pytest
from PIL import Image
from small_data import as_shards, assert_same, own_dataset, source_of, tiny_network

from segformer_tf.training import Augmentation, read_split, training_data
from segformer_tf.training.sources import pictures

HOW = Augmentation(crop=(32, 40))


def take(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(count)]


@pytest.mark.parametrize("kind", ["files", "shards", "own"])
def test_batches_are_the_same_for_a_seed_and_go_on_in_the_middle(data, tmp_path, kind):
    source = source_of(kind, data, tmp_path)
    first, again = (take(training_data(source, HOW, 2, seed=4), 6) for _ in range(2))
    assert_same(first, again)
    assert_same(take(training_data(source, HOW, 2, seed=4, start=3), 3), first[3:])
    assert not np.array_equal(first[0][0], take(training_data(source, HOW, 2, seed=5), 1)[0][0])


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_an_epoch_has_every_picture_once_in_an_order_of_its_own(data, tmp_path, kind):
    source = read_split(data) if kind == "files" else as_shards(data, tmp_path)
    how = Augmentation((48, 72), (1.0, 1.0), max_class_share=1.0, flip_rate=0, photometric=False)
    masks = [y.tobytes() for _, y in take(training_data(source, how, 1), 14)]
    assert len(set(masks[:7])) == 7 and set(masks[:7]) == set(masks[7:])
    assert masks[:7] != masks[7:]


def test_a_batch_has_the_crop_s_size_and_the_labels_of_the_masks(data):
    ((x, y),) = take(training_data(read_split(data), HOW, 3), 1)
    assert x.shape == (3, 32, 40, 3) and x.dtype == np.float32 and y.shape == (3, 32, 40)
    assert set(np.unique(y)) <= {0, 1, 2, 255}


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


@pytest.mark.parametrize("ignore_index", [0, 1, 254, -100])
def test_255_on_disk_becomes_the_model_s_ignore_index(data, ignore_index):
    split = read_split(data)
    how = Augmentation((64, 96), (1.0, 1.0), max_class_share=1.0, flip_rate=0, photometric=False)
    plain, other = (next(iter(training_data(split, how, 7, 3, 0, index)))[1].numpy() for index in (255, ignore_index))
    np.testing.assert_array_equal(other, np.where(plain == 255, ignore_index, plain))
    assert (plain[:, 48:] == 255).all()  # beside the pictures
    whole = next(iter(pictures(split, ignore_index)))[1].numpy()
    mask = np.asarray(Image.open(split.targets[0])).astype(int)
    np.testing.assert_array_equal(whole, np.where(mask == 255, ignore_index, mask))


def test_a_model_with_another_ignore_index_trains_on_padded_crops(data):
    network = tiny_network(semantic_loss_ignore_index=254)
    pixels, labels = next(iter(training_data(read_split(data), Augmentation((64, 96)), 2, ignore_index=254)))
    assert np.isfinite(network(pixels, labels=labels).loss)


@pytest.mark.parametrize("kind", ["files", "shards", "own"])
def test_no_data_set_waits_for_the_tuner_where_it_ends(data, tmp_path, kind):
    source = source_of(kind, data, tmp_path)
    for made in (training_data(source, HOW, 2), pictures(source)):
        assert made.options().autotune.enabled is False


def test_one_pair_of_pictures_is_laid_over_in_another_way_at_every_step():
    how = Augmentation((48, 72), (1.0, 1.0), max_class_share=1.0, flip_rate=0, photometric=False, cut_rate=1.0)
    (_, one), (_, other) = take(training_data(own_dataset().take(2), how, 2), 2)
    assert not np.array_equal(one, other)
