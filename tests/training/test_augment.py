import numpy as np
import pytest
import tensorflow as tf
from small_data import picture_and_mask

from segformer_tf.training import augment as augment_module
from segformer_tf.training.augment import Augmentation, augment, augment_for_classes, normalize

PLAIN = {"flip_rate": 0.0, "photometric": False, "max_class_share": 1.0}


def run(how, seed=(1, 2), size=(48, 72), change=augment):
    image, mask = picture_and_mask(3, size)
    found = change(tf.constant(image), tf.constant(mask), tf.constant(seed, tf.int64), how)
    return found[0].numpy(), found[1].numpy(), image, mask


def many(image, mask, how):
    """The masks of 40 crops."""
    made = tf.data.Dataset.range(40).map(lambda i: augment(tf.constant(image), tf.constant(mask), [i, 0 * i], how)[1])
    return np.stack(list(made.as_numpy_iterator()))


def pixels(values, how):
    return values * np.array(how.image_std) + np.array(how.image_mean)


def test_without_any_change_the_picture_comes_back_normalised():
    how = Augmentation(crop=(48, 72), scale=(1.0, 1.0), **PLAIN)
    found, labels, image, mask = run(how)
    np.testing.assert_allclose(pixels(found, how) * 255, image, atol=1e-3)
    np.testing.assert_array_equal(labels, mask)


def test_resizing_then_cropping_equals_a_crop_of_the_resized_picture():
    how = Augmentation(crop=(40, 56), scale=(1.5, 1.5), **PLAIN)
    found, labels, image, mask = run(how)
    whole = tf.image.resize(image.astype("float32"), (72, 108)).numpy()
    rows, columns = ((np.arange(length) * 2 + 1) * 2 // 6 for length in (72, 108))
    whole_mask = mask[rows][:, columns]
    places = [
        (top, left)
        for top in range(72 - 40 + 1)
        for left in range(108 - 56 + 1)
        if np.abs(whole[top : top + 40, left : left + 56] - pixels(found, how) * 255).max() < 0.01
    ]
    assert len(places) == 1
    top, left = places[0]
    np.testing.assert_array_equal(labels, whole_mask[top : top + 40, left : left + 56])


def test_beside_a_small_picture_the_image_is_0_after_normalising_and_the_mask_is_ignored():
    how = Augmentation(crop=(64, 80), scale=(0.5, 0.5), **PLAIN)
    found, labels, _, mask = run(how)
    assert (found[24:] == 0).all() and (found[:, 36:] == 0).all()
    assert (labels[24:] == 255).all() and (labels[:, 36:] == 255).all()
    np.testing.assert_array_equal(labels[:24, :36], mask[1::2, 1::2])


def test_a_flip_turns_picture_and_mask_alike():
    how = Augmentation(crop=(48, 72), scale=(1.0, 1.0), photometric=False, flip_rate=1.0, max_class_share=1.0)
    found, labels, image, mask = run(how)
    np.testing.assert_allclose(pixels(found, how) * 255, image[:, ::-1], atol=1e-3)
    np.testing.assert_array_equal(labels, mask[:, ::-1])


def test_the_same_seed_gives_the_same_and_another_seed_another_picture():
    how = Augmentation(crop=(32, 40))
    first, again, other = (run(how, seed)[0] for seed in ((5, 6), (5, 6), (5, 7)))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("sides", "size"), [((144, 200), (133, 200)), ((200, 60), (60, 90))])
def test_a_picture_is_first_fitted_into_the_sides_that_are_asked_for(sides, size):
    how = Augmentation(crop=(200, 200), scale=(1.0, 1.0), fit_within=sides, **PLAIN)
    labels = run(how)[1]  # 48 x 72: the factor is that of the long side, 200 / 72, then of the short one, 60 / 48
    assert tuple((labels != 255).any(axis).nonzero()[0].max() + 1 for axis in (1, 0)) == size


def test_crops_of_mostly_one_class_are_drawn_again():
    mask = np.zeros((200, 200), np.uint8)
    mask[:, 150:] = 1
    image = np.zeros((200, 200, 3), np.uint8)

    def shares(limit):
        how = Augmentation(crop=(64, 64), scale=(1.0, 1.0), max_class_share=limit, flip_rate=0, photometric=False)
        labels = many(image, mask, how)
        return np.maximum((labels == 0).mean((1, 2)), (labels == 1).mean((1, 2)))

    assert (shares(0.75) < 0.75).mean() > 0.8
    assert (shares(1.0) < 0.75).mean() < 0.4


def test_crops_without_a_label_are_drawn_again():
    mask = np.full((200, 200), 255, np.uint8)
    mask[::2, 150:], mask[1::2, 150:] = 0, 1
    how = Augmentation((64, 64), (1.0, 1.0), max_class_share=0.75, flip_rate=0, photometric=False)
    labels = many(np.zeros((200, 200, 3), np.uint8), mask, how)
    assert (labels != 255).any((1, 2)).mean() > 0.9  # 0.36 of all places


def test_a_crop_over_a_class_holds_a_rare_class_more_often():
    mask = np.zeros((200, 200), np.uint8)
    mask[20:24, 170:174] = 1
    image = np.zeros((200, 200, 3), np.uint8)

    def share(rate):
        how = Augmentation((64, 64), (1.0, 1.5), class_crop_rate=rate, max_class_share=1.0, photometric=False)
        labels = many(image, mask, how)
        return (labels == 1).any((1, 2)).mean()

    assert share(1.0) > 0.45 > 0.3 > share(0.0)


def test_a_mask_without_labels_can_be_cropped():
    how = Augmentation((32, 32), class_crop_rate=1.0)
    image, mask = np.zeros((40, 50, 3), np.uint8), np.full((40, 50), 255, np.uint8)
    labels = augment(tf.constant(image), tf.constant(mask), tf.constant([1, 2], tf.int64), how)[1].numpy()
    assert (labels == 255).all()


@pytest.mark.parametrize("change", [augment, lambda *given: augment_for_classes(given[0], tf.constant(1), *given[2:])])
@pytest.mark.parametrize("rate", ["light_rate", "blur_rate", "noise_rate"])
def test_light_blur_and_noise_change_the_picture_at_their_rate_and_never_the_labels(rate, change):
    always, never, again = (run(Augmentation((48, 72), **PLAIN, **{rate: x}), change=change) for x in (1.0, 0.0, 1.0))
    assert np.abs(always[0] - never[0]).max() > 0.01
    np.testing.assert_array_equal(always[1], never[1])
    np.testing.assert_array_equal(always[0], again[0])


def test_a_classification_crop_has_its_size_and_keeps_the_class():
    how = Augmentation(crop=(32, 40), scale=(1.0, 2.0))
    image = picture_and_mask(1)[0]
    found, label = augment_for_classes(tf.constant(image), tf.constant(2), tf.constant([1, 2], tf.int64), how)
    assert found.shape == (32, 40, 3) and label == 2
    assert np.abs(found.numpy()).max() < 3


def test_a_classification_crop_has_the_size_aspect_and_flip_that_are_drawn():
    """The pixels say where they come from: red grows down, green to the right."""
    rows, columns = np.mgrid[:200, :240]
    image = np.dstack([rows, columns, rows]).astype(np.uint8)
    how = Augmentation((32, 40), (1.25, 2.0), photometric=False)

    def crop(i):
        return augment_for_classes(tf.constant(image), tf.constant(1), [i, 0 * i], how)[0]

    found = np.stack([*tf.data.Dataset.range(60).map(crop).as_numpy_iterator()])
    found = pixels(found, how) * 255
    height = np.diff(found[:, :, 0, 0]).mean(1) * 32 / 200  # shares of the picture's
    width = np.diff(found[:, 0, :, 1]).mean(1) * 40 / 240
    zoom, aspect = (height * abs(width)) ** -0.5, height / abs(width)
    assert 1.24 < zoom.min() < 1.35 and 1.9 < zoom.max() < 2.01
    assert 0.74 < aspect.min() < 0.82 and 1.22 < aspect.max() < 1.35
    assert 0.25 < (width < 0).mean() < 0.75
    assert found[:, 0, 0, 0].std() > 10


def test_normalising_uses_the_mean_and_deviation_of_the_recipe():
    how = Augmentation(image_mean=(0.5, 0.5, 0.5), image_std=(0.25, 0.5, 1.0))
    np.testing.assert_allclose(normalize(tf.constant([[[255.0, 255.0, 0.0]]]), how), [[[2, 1, -0.5]]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop": (16, 64)}, r"crop is \(16, 64\), expected a height and a width of at least 32"),
        ({"scale": (2.0, 0.5)}, "expected two factors from 1/16 to 16, the smaller first"),
        ({"flip_rate": 1.5}, "flip_rate is 1.5, expected a rate from 0 to 1"),
        ({"noise_rate": -0.1}, "noise_rate is -0.1, expected a rate from 0 to 1"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**values)


@pytest.mark.parametrize(("size", "resized"), [((45, 70), (37, 101)), ((45, 70), (180, 280)), ((33, 34), (33, 34))])
def test_a_part_of_the_resized_picture_is_the_same_cut_from_the_whole(size, resized, monkeypatch):
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    offset, part = tf.constant((3, 1)), tf.constant((30, 32))
    results = []
    for area in (0, 1000):  # always a part by itself, always cut out of the whole
        monkeypatch.setattr(augment_module, "CHEAP_AREA", area)
        results.append(augment_module._part_of_resized(image, tf.constant(resized), offset, part))
    assert results[0].shape == (30, 32, 3)
    np.testing.assert_allclose(results[0], results[1], atol=1e-2)


def test_a_picture_whose_whole_is_beyond_31_bits_is_resized_in_part(monkeypatch):
    monkeypatch.setattr(augment_module.tf.image, "resize", None)
    image, size = tf.zeros((40, 40, 3), tf.uint8), tf.constant((32, 32))
    found = augment_module._part_of_resized(image, tf.constant((50_000, 50_000)), tf.constant((0, 0)), size)
    assert found.shape == (32, 32, 3)
