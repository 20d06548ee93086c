import numpy as np
from small_data import picture_and_mask

from segformer_tf.images import palette_for
from segformer_tf.images.views import GAP
from segformer_tf.training import Augmentation, draw_batch, side_by_side
from segformer_tf.training.augment import normalize
from segformer_tf.training.evaluate import Prediction
from segformer_tf.training.report.sheets import batch_sheet

NAMES = {0: "wall", 1: "box", 2: "leaf"}


def test_a_batch_is_drawn_as_the_network_sees_it_with_its_masks():
    pairs = [picture_and_mask(i) for i in range(3)]
    pixels = np.stack([normalize(image.astype("float32"), Augmentation()) for image, _ in pairs])
    drawn = np.asarray(draw_batch(pixels, np.stack([mask for _, mask in pairs]), 3))
    assert drawn.shape == (96, 288, 3)
    np.testing.assert_array_equal(drawn[:48, :72], pairs[0][0])
    np.testing.assert_array_equal(drawn[48:, :72], pairs[2][0])
    mask, colours = pairs[1][1], drawn[:48, 216:]
    assert (colours[mask == 255] == 0).all()
    assert len({tuple(c) for i in range(3) for c in np.unique(colours[mask == i], axis=0)}) == 3


def test_the_sheet_of_a_batch_of_small_crops_is_large_enough_to_look_at():
    pixels, masks = np.zeros((3, 48, 72, 3), "float32"), np.zeros((3, 48, 72), int)
    sheet = batch_sheet(pixels, masks, NAMES, Augmentation())
    assert sheet.width == 2 * 2 * 4 * 72 and sheet.height > 2 * 4 * 48  # a mask beside each, and a legend below


def test_a_classifier_s_batch_has_the_names_above_its_pictures():
    pixels = np.zeros((9, 32, 40, 3), "float32")
    ids, shares = np.arange(9) % 3, np.eye(3, dtype="float32")[np.arange(9) % 3]
    sheets = [np.asarray(batch_sheet(pixels, targets, NAMES, Augmentation())) for targets in (ids, shares)]
    assert sheets[0].shape == sheets[1].shape and sheets[0].shape[1] == 4 * 240  # eight of them, in two rows of four
    assert (sheets[0] != sheets[1]).any()  # "box" beside "box 100%"


def test_the_prediction_is_shown_where_the_truth_is_not_labelled_and_what_is_wrong_is_red():
    image, mask = picture_and_mask(0)
    predicted = np.where(mask == 255, 1, mask)
    predicted[40:, :10] = (mask[40:, :10] + 1) % 3  # wrong
    drawn = np.asarray(side_by_side(Prediction(image, mask, predicted), NAMES, title="a picture"))
    zoom, palette = 4, palette_for(NAMES)  # of 72 pixels to at least 240
    top = 2 * 22  # title and the panels' names
    panels = [drawn[top : top + 48 * zoom : zoom, i * 296 : i * 296 + 288 : zoom] for i in range(4)]
    np.testing.assert_array_equal(panels[0], image)
    np.testing.assert_array_equal(panels[1], np.where((mask == 255)[..., None], 0, palette[np.minimum(mask, 2)]))
    np.testing.assert_array_equal(panels[2], palette[predicted])
    wrong = (mask != 255) & (predicted != mask)
    redness = panels[3][..., 0].astype(int) - panels[3][..., 1]
    assert redness[wrong].min() > 100 and redness[~wrong].max() == 0
    gaps = np.stack([drawn[top : top + 48 * zoom, i * 296 + 288 : (i + 1) * 296] for i in range(4)])
    assert (gaps == 255).all()


def test_a_one_class_legend_and_a_large_picture_fit():
    found = Prediction(np.zeros((40, 2000, 3), np.uint8), np.zeros((40, 2000), int), np.zeros((40, 2000), int))
    assert side_by_side(found, {0: "all"}).width == 4 * (520 + GAP)
