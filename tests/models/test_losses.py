import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.models.losses import classification_loss, full_size_logits, pixel_weights, segmentation_loss
from segformer_tf.training.losses import SegmentationLoss

LOGITS = np.random.default_rng(0).normal(size=(2, 4, 6, 5)).astype("float32")


def cross_entropy(logits, ids):
    shifted = logits - logits.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(log_probabilities, ids[..., None], -1)[..., 0]


def test_ignored_pixels_do_not_count():
    ids = np.random.default_rng(1).integers(0, 5, size=(2, 4, 6))
    expected = cross_entropy(LOGITS, ids)
    valid = np.ones_like(ids, bool)
    valid[0, :2] = False
    ids[~valid] = 255
    assert float(segmentation_loss(ids, LOGITS)) == pytest.approx(expected[valid].mean(), rel=1e-5)
    assert float(segmentation_loss(np.where(valid, ids, 7), LOGITS, 7)) == pytest.approx(
        expected[valid].mean(), rel=1e-5
    )


def test_sample_weights_weigh_pictures_or_pixels():
    ids = np.random.default_rng(1).integers(0, 5, size=(2, 4, 6))
    losses = cross_entropy(LOGITS, ids)
    assert float(segmentation_loss(ids, LOGITS, 255, np.array([0.0, 2.0]))) == pytest.approx(losses[1].mean(), rel=1e-5)
    weights = np.random.default_rng(2).uniform(size=ids.shape)
    expected = (losses * weights).mean()
    assert float(segmentation_loss(ids, LOGITS, 255, weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [segmentation_loss, SegmentationLoss()])
def test_one_graph_takes_weights_of_pictures_and_of_pixels(loss):
    """Keras traces one of unknown rank where a compiled model is given the one kind after the other."""
    ids = np.random.default_rng(1).integers(0, 5, size=(2, 4, 6))
    graph = tf.function(
        lambda weights: loss(ids, LOGITS, sample_weight=weights), input_signature=[tf.TensorSpec(None, tf.float32)]
    )
    for weights in (
        np.array([0.5, 2.0], "float32"),
        np.random.default_rng(2).uniform(size=ids.shape).astype("float32"),
    ):
        assert float(graph(weights)) == pytest.approx(float(loss(ids, LOGITS, sample_weight=weights)), rel=1e-5)


LOSSES = [segmentation_loss, SegmentationLoss(), SegmentationLoss({"focal": 1.0, "ohem": 1.0})]


def in_a_graph(loss):
    """The loss in a graph that knows no shapes, as Keras may trace it."""
    specs = tf.TensorSpec((None,) * 3, tf.int32), tf.TensorSpec((None, 4, 6, 5)), tf.TensorSpec(None)
    return tf.function(lambda ids, logits, weights: loss(ids, logits, sample_weight=weights), input_signature=specs)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_pixels_may_have_a_last_axis_of_1(loss):
    ids = np.random.default_rng(1).integers(0, 5, size=(2, 4, 6)).astype("int32")
    weights = np.random.default_rng(2).uniform(size=ids.shape).astype("float32")
    expected = float(loss(ids, LOGITS, sample_weight=weights))
    assert float(loss(ids, LOGITS, sample_weight=weights[..., None])) == pytest.approx(expected, rel=1e-5)
    assert float(in_a_graph(loss)(ids, LOGITS, weights[..., None])) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(4, 6), (1, 4), (1, 4, 3), (1, 4, 6, 2), (4, 6, 1), (2,)])
def test_weights_of_another_shape_are_refused(loss, shape):
    """Of one picture, whose axis of 1 would take the weights' first one."""
    ids, weights = np.zeros((1, 4, 6), "int32"), np.ones(shape, "float32")
    with pytest.raises(ValueError, match=r"sample_weight has shape \(.*\) for labels of shape \(1, 4, 6\), expected"):
        loss(ids, LOGITS[:1], sample_weight=weights)
    with pytest.raises(tf.errors.InvalidArgumentError, match="sample_weight has shape"):
        in_a_graph(loss)(ids, LOGITS[:1], weights)


def test_weights_of_a_classifiers_pictures_may_have_a_last_axis_of_1():
    ids, logits, weights = np.array([0, 2]), LOGITS[:, 0, 0], np.array([0.5, 2.0])
    expected = float(classification_loss(ids, logits, None, weights))
    assert float(classification_loss(ids, logits, None, weights[:, None])) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("num_labels", [1, 5])
def test_a_batch_of_ignored_pixels_has_no_loss_and_no_gradient(num_labels):
    logits = tf.constant(LOGITS[..., :num_labels])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = segmentation_loss(np.full((2, 16, 24), 255), logits)
    assert float(loss) == 0.0
    assert (tape.gradient(loss, logits).numpy() == 0.0).all()


def test_logits_are_resized_to_the_labels():
    ids = np.random.default_rng(1).integers(0, 5, size=(2, 13, 21))
    resized = tf.image.resize(LOGITS, (13, 21)).numpy()
    assert float(segmentation_loss(ids, LOGITS)) == pytest.approx(cross_entropy(resized, ids).mean(), rel=1e-5)


def test_one_label_means_binary_cross_entropy():
    ids = np.random.default_rng(1).integers(0, 2, size=(2, 4, 6))
    two = np.concatenate([np.zeros_like(LOGITS[..., :1]), LOGITS[..., :1]], -1)
    assert float(segmentation_loss(ids, LOGITS[..., :1])) == pytest.approx(cross_entropy(two, ids).mean(), rel=1e-5)


@pytest.mark.parametrize("wrong", [5, 254, -1])
def test_a_label_out_of_range_is_named(wrong):
    ids = np.zeros((2, 4, 6), "int64")
    ids[1, 2, 3] = wrong
    message = f"a label is {wrong}, expected 0 to 4 or the ignore index 255"
    with pytest.raises(ValueError, match=message):
        segmentation_loss(ids, LOGITS)
    with pytest.raises(tf.errors.InvalidArgumentError, match=str(wrong)):
        tf.function(segmentation_loss)(tf.constant(ids), tf.constant(LOGITS))


def test_labels_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"labels have shape \(2, 4, 6, 1\), expected \(batch, height, width\)"):
        segmentation_loss(np.zeros((2, 4, 6, 1)), LOGITS)


def test_classification_losses():
    logits = LOGITS[0, 0]
    ids = np.arange(6) % 5
    assert float(classification_loss(ids, logits)) == pytest.approx(cross_entropy(logits, ids).mean(), rel=1e-5)
    many = (np.random.default_rng(1).uniform(size=logits.shape) > 0.5).astype("float32")
    expected = (np.log1p(np.exp(logits)) - many * logits).mean()
    assert float(classification_loss(many, logits)) == pytest.approx(expected, rel=1e-5)
    targets = np.random.default_rng(1).normal(size=6).astype("float32")
    expected = ((logits[:, 0] - targets) ** 2).mean()
    assert float(classification_loss(targets, logits[:, :1])) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="a label is 9, expected 0 to 4: correct the labels, or the config's num_lab"):
        classification_loss(np.full(6, 9), logits)


@pytest.mark.parametrize("loss", [segmentation_loss, SegmentationLoss(), classification_loss])
def test_a_label_that_is_no_number_is_called_so(loss):
    logits = LOGITS[:, 0, 0] if loss is classification_loss else LOGITS
    labels = np.zeros(logits.shape[:-1], "float32")
    labels[1] = np.nan
    with pytest.raises(ValueError, match="a label is nan, expected class ids"):
        loss(labels, logits)
    with pytest.raises(tf.errors.InvalidArgumentError, match="nan"):
        tf.function(loss)(tf.constant(labels), tf.constant(logits))


@pytest.mark.parametrize(
    ("shape", "problem_type", "expected"),
    [
        ((5,), None, r"\(batch,\) .* 'single_label_classification'"),
        ((6, 4), None, r"\(batch,\)"),
        ((6, 2, 3), "single_label_classification", r"\(batch,\)"),
        ((6,), "multi_label_classification", r"\(batch, 5\)"),
        ((6, 1), "regression", r"\(batch, 5\)"),
    ],
)
def test_a_classifiers_labels_of_another_shape_are_refused(shape, problem_type, expected):
    with pytest.raises(ValueError, match=rf"labels have shape \({shape[0]},.*\), expected {expected}"):
        classification_loss(np.zeros(shape, "int32"), LOGITS[0, 0], problem_type)


def test_a_classifiers_labels_may_have_an_axis_of_one():
    ids = np.arange(6) % 5
    assert float(classification_loss(ids[:, None], LOGITS[0, 0])) == float(classification_loss(ids, LOGITS[0, 0]))
    one = LOGITS[0, 0, :, :1]
    assert float(classification_loss(one, one)) == float(classification_loss(one[:, 0], one)) == 0


@pytest.mark.parametrize("shape", [(5,), (6, 2), (1, 6)])
def test_a_classifiers_weights_of_another_number_of_pictures_are_refused(shape):
    ids, weights = np.arange(6) % 5, np.ones(shape, np.float32)
    expected = r"numbers have shape .*5|6.*expected \(batch,\) for logits"
    with pytest.raises(ValueError, match=expected):
        classification_loss(ids, LOGITS[0, 0], None, weights)

    @tf.function(input_signature=[tf.TensorSpec([None] * len(shape))])
    def graph(weights):
        return classification_loss(ids, LOGITS[0, 0], None, weights)

    with pytest.raises(tf.errors.InvalidArgumentError, match="sample_weight"):
        graph(weights)


def test_one_weight_is_that_of_all_pictures():
    ids = np.arange(6) % 5
    once = float(classification_loss(ids, LOGITS[0, 0]))
    for weights in (2.0, np.array([2.0]), np.full(6, 2.0), np.full((6, 1), 2.0)):
        assert float(classification_loss(ids, LOGITS[0, 0], None, weights)) == pytest.approx(2 * once)


def test_bfloat16_logits_are_resized_in_float32():
    logits = tf.cast(LOGITS, tf.bfloat16)
    expected = tf.image.resize(tf.cast(logits, tf.float32), (13, 21))
    np.testing.assert_allclose(full_size_logits(logits, np.zeros((2, 13, 21))), expected, atol=1e-6)


def test_a_pixel_weighs_as_its_class_an_ignored_one_nothing_and_one_past_the_classes_as_the_last():
    weights = pixel_weights(np.array([[[0, 1, 255, 7]]]), (2.0, 3.0))
    np.testing.assert_array_equal(weights, [[[2.0, 3.0, 0.0, 3.0]]])
