import keras
import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.models.kernels import banded_loss, cross_entropy_sum
from segformer_tf.models.losses import full_size_logits, segmentation_loss
from segformer_tf.training.losses import LOSSES, SegmentationLoss, WeightedClasses, class_weights

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 6, 9, 4)).astype("float32")
LABELS = RNG.integers(0, 4, (2, 24, 36))
LABELS[:, :6] = 255  # all that the first row of the logits touches


def probabilities():
    return keras.ops.convert_to_numpy(keras.ops.softmax(full_size_logits(LOGITS, LABELS)))


def truth_probability():
    valid = LABELS != 255
    ids = np.where(valid, LABELS, 0)
    return np.take_along_axis(probabilities(), ids[..., None], -1)[..., 0], ids, valid


def value_and_gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return value.numpy(), tape.gradient(value, x).numpy()


@pytest.mark.parametrize("band_values", [2**24, 2000, 1])
@pytest.mark.parametrize("size", [(24, 36), (25, 31), (6, 9), (4, 5)])
def test_the_banded_loss_has_the_value_and_gradient_of_the_plain_one(monkeypatch, band_values, size):
    monkeypatch.setattr(banded_loss, "BAND_VALUES", band_values)
    ids = RNG.integers(0, 4, (2, *size)).astype("int32")
    weights = RNG.uniform(size=(2, *size)).astype("float32")

    def plain(logits):
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, full_size_logits(logits, ids))
        return tf.reduce_sum(losses * weights)

    expected, expected_gradient = value_and_gradient(plain, LOGITS)
    found, gradient = value_and_gradient(lambda x: cross_entropy_sum(tf.constant(ids), x, weights), LOGITS)
    assert found == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)
    again, classes = banded_loss.cross_entropy_sum(tf.constant(ids), LOGITS, weights, with_classes=True)
    assert again.numpy() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(classes, tf.argmax(full_size_logits(LOGITS, ids), -1))


def test_the_banded_loss_works_in_a_graph_of_unknown_sizes():
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 4)), tf.TensorSpec((None, None, None), tf.int64)])
    def graph(logits, labels):
        return segmentation_loss(labels, logits)

    assert graph(LOGITS, LABELS).numpy() == pytest.approx(float(segmentation_loss(LABELS, LOGITS)), rel=1e-6)


def test_cross_entropy_is_the_models_own_loss():
    found = SegmentationLoss()(LABELS, LOGITS)
    assert float(found) == pytest.approx(float(segmentation_loss(LABELS, LOGITS)), rel=1e-6)


def test_class_weights_weigh_pixels_and_their_mean():
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    p, ids, valid = truth_probability()
    share = weights[ids] * valid
    found = SegmentationLoss(weights=weights)(LABELS, LOGITS)
    assert float(found) == pytest.approx((-np.log(p) * share).sum() / share.sum(), rel=1e-5)


def test_a_classifier_s_weights_weigh_pictures_and_their_mean():
    logits, ids = LOGITS[0, :, 0], np.array([0, 1, 3, 1, 2, 0])
    rates = keras.ops.convert_to_numpy(keras.ops.log_softmax(logits))[np.arange(6), ids]
    weights = np.array([1.0, 3.0, 0.5, 2.0])
    loss = WeightedClasses(weights.tolist())
    expected = -(rates * weights[ids]).sum() / weights[ids].sum()
    assert float(loss(ids, logits)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(np.eye(4)[ids], logits)) == pytest.approx(expected, rel=1e-5)  # as MixUp has them
    assert WeightedClasses.from_config(loss.get_config()).weights == weights.tolist()


def test_focal_loss_is_its_formula():
    p, _, valid = truth_probability()
    expected = (-np.log(p) * (1 - p) ** 2)[valid].mean()
    assert float(SegmentationLoss({"focal": 1.0})(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_ohem_takes_the_pixels_below_its_probability():
    p, _, valid = truth_probability()
    expected = -np.log(p[valid & (p <= 0.7)]).mean()
    assert float(SegmentationLoss({"ohem": 1.0})(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_ohem_takes_the_hardest_sixteenth_where_all_are_sure():
    logits = 8 * np.eye(4)[np.where(LABELS == 255, 0, LABELS)]
    logits = (logits + RNG.uniform(size=logits.shape)).astype("float32")
    losses = -tf.nn.log_softmax(logits).numpy()
    losses = np.take_along_axis(losses, np.where(LABELS == 255, 0, LABELS)[..., None], -1)[..., 0][LABELS != 255]
    expected = np.sort(losses)[-(losses.size // 16) :].mean()
    assert float(SegmentationLoss({"ohem": 1.0})(LABELS, logits)) == pytest.approx(expected, rel=1e-4)


def test_dice_is_its_formula_at_the_logits_own_size():
    labels = LABELS[:, 2::4, 2::4]
    p = tf.nn.softmax(LOGITS).numpy()
    valid = (labels != 255)[..., None]
    truth = np.eye(4)[np.where(labels == 255, 0, labels)] * valid
    dice = (2 * (p * truth).sum((0, 1, 2)) + 1) / ((p * valid).sum((0, 1, 2)) + truth.sum((0, 1, 2)) + 1)
    assert float(SegmentationLoss({"dice": 1.0})(LABELS, LOGITS)) == pytest.approx(1 - dice.mean(), rel=1e-5)


def test_lovasz_of_sure_predictions_is_what_their_iou_lacks():
    """The extension has the values of 1 - IoU where it is defined: at probabilities of 0 and 1."""
    labels = RNG.integers(0, 3, (2, 6, 9))  # class 3 is in no mask
    labels[0, :2] = 255
    found = RNG.integers(0, 4, labels.shape)
    logits = 200.0 * np.eye(4, dtype="float32")[found]
    iou = [
        ((labels == k) & (found == k)).sum() / (((labels == k) | (found == k)) & (labels != 255)).sum()
        for k in range(3)
    ]
    assert float(SegmentationLoss({"lovasz": 1.0})(labels, logits)) == pytest.approx(1 - np.mean(iou), rel=1e-5)


def test_lovasz_is_its_formula():
    labels = LABELS[:, ::4, ::4]
    p = np.asarray(keras.ops.softmax(LOGITS))[labels != 255]
    losses = []
    for k in range(4):
        truth = labels[labels != 255] == k
        errors = np.abs(truth - p[:, k])
        order = np.argsort(-errors)
        lost = [0.0]
        for n in range(1, len(order) + 1):
            wrong = np.zeros(len(order), bool)
            wrong[order[:n]] = True
            lost.append(1 - (truth & ~wrong).sum() / (truth | wrong).sum())
        losses.append((errors[order] * np.diff(lost)).sum())
    found, gradient = value_and_gradient(lambda x: SegmentationLoss({"lovasz": 1.0})(labels, x), LOGITS)
    assert found == pytest.approx(np.mean(losses), rel=1e-4)
    assert np.isfinite(gradient).all() and not gradient[labels == 255].any() and gradient[labels != 255].all()


def test_boundary_is_the_cross_entropy_near_other_classes():
    p, ids, valid = truth_probability()
    near = np.zeros(valid.shape, bool)
    for picture, row, column in np.argwhere(valid):
        part = (picture, slice(max(row - 3, 0), row + 4), slice(max(column - 3, 0), column + 4))
        near[picture, row, column] = (ids[part][valid[part]] != ids[picture, row, column]).any()
    labels = np.zeros_like(LABELS)
    labels[:, :, 18:] = 2  # a border in the middle
    assert float(SegmentationLoss({"boundary": 1.0})(LABELS, LOGITS)) == pytest.approx(
        -np.log(p[near]).mean(), rel=1e-5
    )
    _, gradient = value_and_gradient(lambda x: SegmentationLoss({"boundary": 1.0})(labels, x), LOGITS)
    assert gradient[:, :, 4].any() and not gradient[:, :, :3].any() and not gradient[:, :, 6:].any()
    assert float(SegmentationLoss({"boundary": 1.0})(np.ones_like(LABELS), LOGITS)) == 0


def test_dice_leaves_classes_out_that_no_mask_has():
    labels = np.zeros((1, 6, 9), int)
    labels[:, 3:] = 1
    logits = 50 * np.eye(4, dtype="float32")[labels]
    assert float(SegmentationLoss({"dice": 1.0})(labels, logits)) == pytest.approx(0, abs=1e-5)


def test_a_sum_of_losses_adds_their_shares():
    one, other, both = (
        float(SegmentationLoss(parts)(LABELS, LOGITS))
        for parts in ({"dice": 1.0}, {"focal": 1.0}, {"dice": 0.5, "focal": 2.0})
    )
    assert both == pytest.approx(0.5 * one + 2 * other, rel=1e-6)


@pytest.mark.parametrize("part", LOSSES)
def test_ignored_pixels_have_no_gradient_and_all_ignored_gives_0(part):
    loss = SegmentationLoss({part: 1.0})
    value, gradient = value_and_gradient(lambda x: loss(tf.fill((2, 24, 36), 255), x), LOGITS)
    assert value == 0 and (gradient == 0).all()
    value, gradient = value_and_gradient(lambda x: loss(LABELS, x), LOGITS)
    assert np.isfinite(value) and (gradient[:, 0] == 0).all() and (gradient[:, 3] != 0).any()


@pytest.mark.parametrize("part", LOSSES)
def test_gradients_agree_with_finite_differences(part):
    loss = SegmentationLoss({part: 1.0}, weights=[0.5, 1, 2, 3])
    _, gradient = value_and_gradient(lambda x: loss(LABELS, x), LOGITS)
    direction = np.sign(gradient).astype("float32")
    up, down = (float(loss(LABELS, LOGITS + step * direction)) for step in (1e-2, -1e-2))
    assert (up - down) / 2e-2 == pytest.approx((gradient * direction).sum(), rel=0.02)


def test_a_label_of_no_class_is_an_error_with_its_value():
    with pytest.raises(ValueError, match="a label is 9, expected 0 to 3 or the ignore index 255"):
        SegmentationLoss()(np.where(LABELS == 2, 9, LABELS), LOGITS)


def test_an_unknown_loss_is_told():
    with pytest.raises(ValueError, match="the loss 'tversky' is unknown, expected some of cross_entropy"):
        SegmentationLoss({"tversky": 1.0})


def test_a_loss_survives_serialisation():
    loss = SegmentationLoss({"dice": 0.5}, [1, 2, 3, 4], 254)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_class_weights_are_median_frequency_balancing_at_power_1():
    assert class_weights([10, 40, 20], 1.0) == [2.0, 0.5, 1.0]
    assert class_weights([10, 0, 40], 0.5) == [2.0, 1.0, 1.0]


def test_what_does_not_fit_the_logits_is_told():
    logits, labels = np.zeros((2, 4, 6, 3), "float32"), np.zeros((2, 8, 12), "int32")
    with pytest.raises(ValueError, match=r"logits have 1 channel, expected one for each class"):
        SegmentationLoss()(labels, logits[..., :1])
    with pytest.raises(ValueError, match=r"weights has 9 numbers, expected 3: one for each class"):
        SegmentationLoss(weights=[1.0] * 9)(labels, logits)
    for wrong, told in (
        (labels[..., None], "have shape"),
        (labels[:1], "expected one mask"),
        (labels + 0.7, "is 0.7"),
    ):
        with pytest.raises(ValueError, match=told):
            SegmentationLoss()(wrong, logits)
