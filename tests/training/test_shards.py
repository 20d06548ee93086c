import numpy as np
import pytest
from PIL import Image
from small_data import picture_and_mask

from segformer_tf.training import read_split, write_shards
from segformer_tf.training.sources import pictures


def test_shards_hold_the_same_pictures_and_masks(data, tmp_path):
    split = read_split(data)
    files = write_shards(split, tmp_path / "out", pictures_per_shard=3)
    assert [file.name for file in files] == [f"train-{i:05}-of-00003.tfrecord" for i in range(3)]
    found = read_split(tmp_path / "out")
    assert len(found) == 7 and found.id2label == split.id2label
    for (image, mask), (image2, mask2) in zip(pictures(split), pictures(found), strict=True):
        np.testing.assert_array_equal(image, image2)
        np.testing.assert_array_equal(mask, mask2)


def test_wide_ids_survive_the_shards(data, tmp_path):
    ids = picture_and_mask(0)[1].astype(np.uint16) * 100
    Image.fromarray(ids).save(data / "annotations/train/p0.png")
    write_shards(read_split(data), tmp_path / "out")
    np.testing.assert_array_equal(next(iter(pictures(read_split(tmp_path / "out"))))[1], ids)


def test_a_shard_that_is_gone_is_named(data, tmp_path):
    files = write_shards(read_split(data), tmp_path / "out", pictures_per_shard=3)
    files[1].unlink()
    with pytest.raises(FileNotFoundError, match="00001-of-00003"):
        read_split(tmp_path / "out")


@pytest.mark.parametrize("text, told", [("{", r"train\.json is not JSON"), ("{}", r"train\.json has no 'pictures'")])
def test_a_damaged_list_of_shards_is_named(data, tmp_path, text, told):
    write_shards(read_split(data), tmp_path / "out")
    (tmp_path / "out/train.json").write_text(text)
    with pytest.raises(ValueError, match=told):
        read_split(tmp_path / "out")


def test_a_split_of_class_folders_has_no_masks_to_shard(tmp_path):
    (tmp_path / "train/a").mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(tmp_path / "train/a/x.png")
    with pytest.raises(ValueError, match="has no mask files"):
        write_shards(read_split(tmp_path), tmp_path / "out")


@pytest.mark.parametrize("count", [0, -3])
def test_a_shard_holds_a_picture_at_least(data, tmp_path, count):
    with pytest.raises(ValueError, match=f"pictures_per_shard is {count}, expected at least 1"):
        write_shards(read_split(data), tmp_path / "shards", count)
    assert not (tmp_path / "shards").exists()
