import numpy as np
import pytest
from small_data import write_split

from segformer_tf.data.layouts import read_split
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.datasets import Share, training_data
from segformer_tf.training.regions import lay_over

LABELS = np.stack([np.full((64, 96), i, np.int32) for i in (3, 5, 255)])
LABELS[1, :32] = 7
IMAGES = np.repeat(LABELS[..., None], 3, -1).astype("float32")  # the picture shows its labels


def laid_over(seed, cut_rate, paste_rate):
    images, labels = lay_over(IMAGES, LABELS, np.array([1, seed]), cut_rate, paste_rate, 255)
    np.testing.assert_array_equal(np.array(images)[..., 1], labels)  # the label goes with the pixel
    return np.array(labels)


def test_a_box_of_the_picture_before():
    shares = []
    for seed in range(30):
        labels = laid_over(seed, 1.0, 0.0)
        for own, other, found in zip(LABELS, np.roll(LABELS, 1, 0), labels, strict=True):
            taken = found != own
            rows, columns = taken.any(1), taken.any(0)
            np.testing.assert_array_equal(taken, rows[:, None] & columns)  # one box
            assert np.abs(np.diff(rows.astype(int))).sum() <= 2 and np.abs(np.diff(columns.astype(int))).sum() <= 2
            np.testing.assert_array_equal(found[taken], other[taken])
            shares.append(taken.mean())
    assert 0.07 < min(shares) < 0.15 < 0.5 < max(shares) < 0.66


def test_whole_classes_of_the_picture_before_but_nothing_unlabelled():
    found = {tuple(np.unique(laid_over(seed, 0.0, 1.0)[2])) for seed in range(20)}
    assert found == {(255,), (5, 255), (7, 255), (5, 7)}  # each of the two classes, or both, or neither
    for seed in range(20):
        labels = laid_over(seed, 0.0, 1.0)
        np.testing.assert_array_equal(labels[0], LABELS[0])  # before it stands the unlabelled one
        assert set(np.unique(labels[1])) <= {3} or np.array_equal(labels[1], LABELS[1])  # all of class 3, or nothing


@pytest.mark.parametrize("kind", [(0.3, 0.0), (0.0, 0.3)])
def test_rates_are_rates(kind):
    changed = np.mean([(laid_over(seed, *kind)[:2] != LABELS[:2]).any((1, 2)) for seed in range(200)], 0)
    expected = 0.3 if kind[0] else 0.15  # the second picture takes class 3 at half of the rate; the first has no pixel
    assert abs(changed[1] - expected) < 0.1


def test_a_step_is_the_same_whenever_the_run_began(tmp_path):
    write_split(tmp_path, "train", 4)
    source, how = read_split(tmp_path), Augmentation((32, 64), cut_rate=0.5, paste_rate=0.5)
    whole = list(training_data(source, how, 2, seed=4).take(4).as_numpy_iterator())
    again = list(training_data(source, how, 2, seed=4, start=2).take(2).as_numpy_iterator())
    for one, other in zip(whole[2:], again, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    plain = next(iter(training_data(source, Augmentation((32, 64)), 2, seed=4)))
    assert any(np.any(np.not_equal(x, y)) for x, y in zip(whole[0], plain, strict=True))


def test_the_devices_of_one_machine_see_what_one_device_sees(tmp_path):
    write_split(tmp_path, "train", 5)
    source, how = read_split(tmp_path), Augmentation((32, 64), cut_rate=0.7, paste_rate=0.7)
    whole = list(training_data(source, how, 4, seed=4, start=1).take(2).as_numpy_iterator())
    for size in (1, 2):
        parts = training_data(source, how, size, seed=4, start=1, share=Share(4)).take(8 // size)
        for one, other in zip(zip(*parts.as_numpy_iterator(), strict=True), zip(*whole, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))


def test_regions_need_another_picture_in_the_batch(tmp_path):
    write_split(tmp_path, "train", 2)
    with pytest.raises(ValueError, match=r"cut_rate and paste_rate are 0.0 and 0.5, expected 0 for batches of one"):
        training_data(read_split(tmp_path), Augmentation((32, 32), paste_rate=0.5), 1)


def test_regions_are_not_for_class_ids(tmp_path):
    from PIL import Image

    for name in ("cats", "dogs"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "train" / name / "1.png")
    with pytest.raises(ValueError, match=r"cut_rate.*mixup_alpha"):
        training_data(read_split(tmp_path), Augmentation((32, 32), cut_rate=0.5), 2)
