import json

import numpy as np
import pytest

from segformer_tf.training import evaluate, read_split
from segformer_tf.training.evaluate import predictions
from segformer_tf.training.scoring.groups import CITYSCAPES, group_matrix, group_scores, read_groups
from segformer_tf.training.scoring.tally import Tally, boundary, boundary_counts, intervals

NAMES = {0: "wall", 1: "box", 2: "leaf"}


def maps(seed, size=(40, 60)):
    """A truth and a prediction (H, W) of three classes in blocks, with some of the truth ignored."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.repeat(rng.integers(0, 3, (size[0] // 5, size[1] // 5)), 5, 0), 5, 1)
    predicted = np.where(rng.random(labels.shape) < 0.1, rng.integers(0, 3, labels.shape), labels)
    labels[:3] = 255
    return labels, predicted


@pytest.mark.parametrize("reach", [1, 3])
def test_a_boundary_is_what_lies_near_a_pixel_that_is_not_of_the_class(reach):
    mask = np.random.default_rng(0).random((24, 30)) < 0.97
    mask[:, 20:] = False
    wide = np.pad(mask, reach)
    near = [wide[r : r + 24, c : c + 30] for r in range(2 * reach + 1) for c in range(2 * reach + 1)]
    np.testing.assert_array_equal(boundary(mask, reach), mask & ~np.all(near, 0))
    assert not boundary(np.zeros((5, 5), bool), 1).any()


def test_boundary_iou_of_a_shifted_square_is_that_of_the_two_rings():
    labels, predicted = np.zeros((100, 100), int), np.zeros((100, 100), int)
    labels[20:60, 20:60] = predicted[20:60, 22:62] = 1
    found = boundary_counts(labels, predicted, 2, 255)[:, 1]  # 2 % of 141 are 3 pixels

    def ring(left):
        outer, inner = np.zeros((100, 100), bool), np.zeros((100, 100), bool)
        outer[20:60, left : left + 40] = inner[23:57, left + 3 : left + 37] = True
        return outer & ~inner

    assert found.tolist() == [(ring(20) & ring(22)).sum(), (ring(20) | ring(22)).sum()]


def test_what_is_ignored_ends_truth_and_prediction_alike():
    labels, predicted = np.ones((60, 60), int), np.ones((60, 60), int)
    labels[:30] = 255
    predicted[:30] = 0
    assert boundary_counts(labels, predicted, 2, 255)[:, 0].tolist() == [0, 0]
    both, either = boundary_counts(labels, predicted, 2, 255)[:, 1]
    assert both == either > 0


def test_intervals_hold_the_score_and_are_the_same_each_time():
    tally = Tally(NAMES, 255, intervals=True)
    for seed in range(12):
        tally.add(*maps(seed))
    found = tally.result("plain")
    low, high = found["intervals"]["mIoU"]
    assert low < found["mIoU"] < high < low + 0.1
    for row, (low, high) in zip(found["per_class"], found["intervals"]["IoU"], strict=True):
        assert low <= row["IoU"] <= high
    assert tally.result("plain")["intervals"] == found["intervals"]
    json.dumps(found)


def test_an_interval_s_width_is_what_the_pictures_differ_by():
    """The overall accuracy of pictures of one size is a mean, whose deviation is known."""
    rng = np.random.default_rng(0)
    right = rng.integers(200, 1000, 400)
    counts = np.stack([np.stack([n, [1000], [1000]]) for n in right[:, None]])
    low, high = intervals(counts)["aAcc"]
    expected = 2 * 1.96 * (right / 1000).std() / np.sqrt(400)
    assert high - low == pytest.approx(expected, rel=0.1)


def test_intervals_of_one_picture_are_refused():
    tally = Tally(NAMES, 255, intervals=True)
    tally.add(*maps(0))
    with pytest.raises(ValueError, match="need several pictures, found 1"):
        tally.result("plain")


def test_a_class_that_never_occurs_has_no_interval_and_no_boundary_iou():
    tally = Tally({**NAMES, 3: "sky"}, 255, boundary=True, intervals=True)
    for seed in range(3):
        tally.add(*maps(seed))
    found = tally.result("plain")
    assert found["intervals"]["IoU"][3] is None and found["per_class"][3]["BoundaryIoU"] is None
    ious = [row["BoundaryIoU"] for row in found["per_class"][:3]]
    assert found["mBoundaryIoU"] == pytest.approx(np.mean(ious)) and 0 < min(ious) < max(ious) < 1


def test_a_group_is_scored_as_if_its_classes_were_one():
    labels, predicted = maps(1)
    tally = Tally(NAMES, 255, groups={"thing": [1, 2]})
    tally.add(labels, predicted)
    (row,) = tally.result("plain")["groups"]
    valid = labels != 255
    true, found = (np.isin(ids, [1, 2]) & valid for ids in (labels, predicted))
    assert row["IoU"] == pytest.approx((true & found).sum() / (true | found).sum())
    assert row["Acc"] == pytest.approx((true & found).sum() / true.sum())


def test_groups_of_all_classes_leave_the_rest_empty():
    matrix = np.arange(9).reshape(3, 3)
    assert group_matrix(matrix, {"a": [0, 2], "b": [1]}).tolist() == [[16, 8, 0], [8, 4, 0], [0, 0, 0]]
    assert group_scores(np.zeros((3, 3), int), {"a": [0]}) == [{"name": "a", "IoU": None, "Acc": None, "Dice": None}]


def test_cityscapes_categories_are_known_by_name():
    names = dict(enumerate(name for several in CITYSCAPES.values() for name in several))
    found = read_groups("cityscapes", names)
    assert list(found) == ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]
    assert sorted(i for ids in found.values() for i in ids) == list(range(19))


def test_classes_of_a_group_are_known_by_other_spellings_and_by_id():
    assert read_groups({"a": ["Traffic_Light", "2"], "b": [0]}, {0: "sky", 1: "traffic light", 2: "box"}) == {
        "a": [1, 2],
        "b": [0],
    }


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ({"a": ["wall", "door"]}, "the group 'a' has the class 'door', expected classes of the model, wall, box, leaf"),
        ({"a": ["wall"], "b": ["box", 0]}, "the class 'wall' is in the groups 'a' and 'b', expected it in one"),
        ({"a": []}, r"the group 'a' is \[\], expected a list of classes"),
        ({"a": [True]}, "the group 'a' has the class True, expected classes of the model"),
        ({}, "names no group"),
    ],
)
def test_groups_that_cannot_be_are_told(groups, told, tmp_path):
    file = tmp_path / "groups.json"
    file.write_text(json.dumps(groups))
    with pytest.raises(ValueError, match=told):
        read_groups(file, NAMES)


def test_evaluate_gives_them_when_asked(data, network):
    split = read_split(data, "val")
    found = evaluate(network, split, boundary=True, intervals=True, groups={"any": ["wall", "box", "leaf"]})
    plain = evaluate(network, split)
    assert {key: found[key] for key in ("mIoU", "mAcc", "aAcc", "mDice")} == {
        key: plain[key] for key in ("mIoU", "mAcc", "aAcc", "mDice")
    }
    assert found["groups"][0]["IoU"] == 1.0 and found["intervals"]["resamples"] == 1000
    assert set(plain["per_class"][0]) == {"id", "name", "IoU", "Acc", "Dice"}
    counts = sum(boundary_counts(seen.labels, seen.predicted, 3, 255) for seen in predictions(network, split))
    assert found["per_class"][1]["BoundaryIoU"] == pytest.approx(counts[0, 1] / counts[1, 1])
