import numpy as np
from small_data import picture_and_mask

from segformer_tf.training import Augmentation, draw_batch, side_by_side
from segformer_tf.training.augment import normalize
from segformer_tf.training.evaluate import Prediction


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


def test_prediction_and_truth_stand_beside_the_picture_in_the_same_colours():
    image, mask = picture_and_mask(0)
    found = np.asarray(side_by_side(Prediction(image, mask, np.where(mask == 255, 1, mask)), 3))
    assert found.shape == (48, 216, 3)
    np.testing.assert_array_equal(found[:, :72], image)
    np.testing.assert_array_equal(found[:, 72:144], found[:, 144:])
