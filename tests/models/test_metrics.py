import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from segformer_tf.models.metrics import LabelAccuracy, MeanIoU, confusion, scores

# 4 x 6 pixels; 255 is not labelled; class 3 never occurs.
TRUTH = np.array([[0, 0, 0, 1, 1, 255], [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [255, 0, 0, 1, 1, 1]])
FOUND = np.array([[0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 2, 1], [0, 2, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1]])


@pytest.mark.parametrize("kind", [np.asarray, np.uint8, keras.ops.convert_to_tensor])
def test_the_confusion_matrix_counts_truth_by_row_and_leaves_ignored_pixels_out(kind):
    found = confusion(kind(TRUTH), kind(FOUND), 4)
    assert np.sum(confusion(kind(TRUTH % 3), kind(TRUTH % 3), 20)) == TRUTH.size
    with pytest.raises(ValueError, match="a label is 2, expected 0 to 1 or the ignore index 255"):
        confusion(kind(TRUTH), kind(FOUND), 2)
    np.testing.assert_array_equal(found, [[7, 1, 1, 0], [1, 8, 0, 0], [0, 1, 3, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("kind", [np.asarray, keras.ops.convert_to_tensor])
@pytest.mark.parametrize("wrong", [2, 255, -1])
def test_a_prediction_that_is_no_class_is_told_where_the_truth_is_one(kind, wrong):
    found = kind([[0, wrong, 1]])
    with pytest.raises(ValueError, match=f"a prediction is {wrong}, expected 0 to 1: give class ids, or the model's"):
        confusion(kind([[0, 0, 1]]), found, 2)
    np.testing.assert_array_equal(confusion(kind([[0, 255, 1]]), found, 2), [[1, 0], [0, 1]])


def test_inside_a_graph_ids_that_are_no_class_are_told_too():
    graph = tf.function(lambda truth, found: confusion(truth, found, 2))
    np.testing.assert_array_equal(graph(tf.constant([0, 255, 1]), tf.constant([0, 9, 1])), [[1, 0], [0, 1]])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"prediction is\] \[9\] \[expected 0 to 1: give"):
        graph(tf.constant([0, 0, 1]), tf.constant([0, 9, 1]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a label is\] \[7\] .*or the ignore index 255"):
        graph(tf.constant([0, 7, 1]), tf.constant([0, 1, 1]))


def test_a_metric_of_fewer_classes_than_the_logits_have_tells_it():
    with pytest.raises(ValueError, match="a prediction is 2, expected 0 to 1"):
        MeanIoU(2).update_state(np.zeros((1, 2, 2), int), np.eye(3, dtype="float32")[np.full((1, 2, 2), 2)])


def test_scores_are_the_field_s_definitions():
    # By hand, as mmseg's IoUMetric and Hugging Face's evaluate define them: intersections 7, 8, 3; unions 10, 11, 5;
    # true pixels 9, 9, 4; predicted pixels 8, 10, 4; class 3 left out of the means.
    found = scores(confusion(TRUTH, FOUND, 4))
    assert found["mIoU"] == pytest.approx((7 / 10 + 8 / 11 + 3 / 5) / 3)
    assert found["mAcc"] == pytest.approx((7 / 9 + 8 / 9 + 3 / 4) / 3)
    assert found["aAcc"] == pytest.approx(18 / 22)
    assert found["mDice"] == pytest.approx((14 / 17 + 16 / 19 + 6 / 8) / 3)
    assert np.isnan(found["IoU"][3]) and np.isnan(found["Acc"][3])


def test_a_class_that_is_only_predicted_counts_in_the_iou_as_0_and_not_in_the_accuracy():
    found = scores([[3, 1], [0, 0]])
    assert found["mIoU"] == pytest.approx(0.375) and found["mAcc"] == pytest.approx(0.75)


def test_nothing_labelled_has_no_score():
    found = scores(np.zeros((3, 3)))
    assert np.isnan(found["mIoU"]) and np.isnan(found["aAcc"])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 255]), st.integers(0, 2)), min_size=1, max_size=40), st.integers(0, 40)
)
def test_streaming_in_parts_gives_the_matrix_of_the_whole(pairs, cut):
    truth, found = (np.array(values) for values in zip(*pairs, strict=True))
    parts = confusion(truth[:cut], found[:cut], 3) + confusion(truth[cut:], found[cut:], 3)
    np.testing.assert_array_equal(parts, confusion(truth, found, 3))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 255]), st.integers(0, 4)), min_size=1, max_size=60))
def test_scores_equal_scikit_learn_s_where_a_class_occurs(pairs):
    truth, found = (np.array(values) for values in zip(*pairs, strict=True))
    ours = {key: np.array(value) for key, value in scores(confusion(truth, found, 5)).items()}
    truth, found = truth[truth != 255], found[truth != 255]
    if not len(truth):
        return
    ids = np.union1d(truth, found)
    kinds = {"labels": ids, "average": None, "zero_division": 0.0}
    np.testing.assert_allclose(ours["IoU"][ids], sklearn.metrics.jaccard_score(truth, found, **kinds))
    np.testing.assert_allclose(ours["Dice"][ids], sklearn.metrics.f1_score(truth, found, **kinds))
    assert ours["mIoU"] == pytest.approx(sklearn.metrics.jaccard_score(truth, found, labels=ids, average="macro"))
    true = np.unique(truth)
    recall = sklearn.metrics.recall_score(truth, found, labels=true, average=None, zero_division=0.0)
    np.testing.assert_allclose(ours["Acc"][true], recall)
    assert ours["mAcc"] == pytest.approx(recall.mean())
    assert ours["aAcc"] == pytest.approx(sklearn.metrics.accuracy_score(truth, found))


def test_the_keras_metric_agrees_with_the_scores_over_batches():
    metric = MeanIoU(4)
    logits = np.eye(4, dtype="float32")[FOUND]
    for row in range(4):
        metric.update_state(TRUTH[None, row : row + 1], logits[None, row : row + 1])
    assert float(metric.result()) == pytest.approx(scores(confusion(TRUTH, FOUND, 4))["mIoU"], rel=1e-6)
    np.testing.assert_array_equal(metric.confusion, confusion(TRUTH, FOUND, 4))
    metric.reset_state()
    assert float(metric.result()) == 0


def test_a_classifier_s_accuracy_follows_the_labels_shape_and_its_problem_type():
    logits = np.array([[2.0, 1.0, -1.0], [-1.0, -2.0, 3.0]])
    for labels, expected in [([0, 1], 1 / 2), ([[0], [2]], 1), ([[1, 1, 0], [1, 0, 0]], 4 / 6)]:
        metric = LabelAccuracy()
        metric.update_state(np.array(labels), logits)
        assert float(metric.result()) == pytest.approx(expected)
    again = LabelAccuracy.from_config(LabelAccuracy("multi_label_classification").get_config())
    assert (again.problem_type, again.name) == ("multi_label_classification", "accuracy")


@pytest.mark.parametrize("labels", [[1], [0, 1, 2], [[1, 0, 0]]])
def test_an_accuracy_of_another_number_of_pictures_is_refused(labels):
    with pytest.raises(ValueError, match=r"labels have shape \(.*\), expected \(batch,"):
        LabelAccuracy().update_state(np.array(labels), np.zeros((2, 3)))


def test_an_accuracy_is_weighted():
    metric = LabelAccuracy()
    metric.update_state(np.array([0, 1]), np.array([[2.0, 1.0], [2.0, 1.0]]), np.array([3.0, 1.0]))
    assert float(metric.result()) == 0.75


def test_pixels_are_counted_past_16_million():
    metric = MeanIoU(2)
    metric.confusion.assign([[2.0**24, 0], [0, 1]])
    metric.update_state(np.zeros((1, 1, 1), int), np.zeros((1, 1, 1), int))
    assert float(metric.confusion[0, 0]) == 2**24 + 1


def test_the_keras_metric_says_how_to_make_it_again():
    metric = MeanIoU(4, 254, name="iou")
    again = MeanIoU.from_config(metric.get_config())
    assert (again.num_labels, again.ignore_index, again.name) == (4, 254, "iou")


@pytest.mark.parametrize("as_tensors", [False, True])
def test_maps_that_lie_otherwise_are_refused(as_tensors):
    labels = np.arange(24).reshape(2, 3, 4) % 3
    of = keras.ops.convert_to_tensor if as_tensors else np.asarray
    expected = np.asarray(confusion(of(labels), of(labels), 3))
    assert (np.asarray(confusion(of(labels[..., None]), of(labels), 3)) == expected).all()
    with pytest.raises(ValueError, match=r"predictions have shape \(2, 4, 3\), expected \(2, 3, 4\) as labels"):
        confusion(of(labels), of(labels.transpose(0, 2, 1)), 3)
    with pytest.raises(ValueError, match=r"a label is (0\.7|nan), expected class ids"):
        confusion(of(np.where(labels == 1, 0.7, labels)), of(labels), 3)


def test_maps_that_lie_otherwise_are_refused_in_a_graph_that_knows_no_shapes():
    labels = np.arange(24).reshape(2, 3, 4) % 3
    for specs in ((None, (None,) * 3), ((None,) * 3, None), ((None,) * 3, (None,) * 3)):
        specs = [tf.TensorSpec(spec, tf.int64) for spec in specs]
        graph = tf.function(lambda truth, found: confusion(truth, found, 3), input_signature=specs)
        np.testing.assert_array_equal(graph(labels, labels), confusion(labels, labels, 3))
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"have shape\] \[2 (3 4|4 3)\] \[expected"):
            graph(labels, labels.transpose(0, 2, 1))
