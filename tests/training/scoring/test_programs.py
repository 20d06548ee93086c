"""Our scores beside those of the field's programs, which `make scores-parity` wrote into the fixture."""

import importlib.util
import json

import numpy as np
import pytest

from segformer_tf.training.scoring.groups import CITYSCAPES, read_groups
from segformer_tf.training.scoring.tally import Tally


@pytest.fixture(scope="module")
def golden(fixtures):
    return json.loads((fixtures / "scores/golden.json").read_text())


@pytest.fixture(scope="module")
def made(fixtures):
    """The script that made the fixture, for its label maps."""
    spec = importlib.util.spec_from_file_location("make_scores", fixtures / "scores/make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ours(made, case, names=None, **options):
    names = names or {number: str(number) for number in range(made.CASES[case])}
    tally = Tally(names, 255, **options)
    for labels, predicted in made.maps(case):
        tally.add(labels, predicted)
    return tally.result("plain")


def same(found, expected):
    assert [value is None for value in found] == [value is None for value in expected]
    pairs = [pair for pair in zip(found, expected, strict=True) if pair[0] is not None]
    np.testing.assert_allclose(*zip(*pairs, strict=True), rtol=0, atol=1e-6)  # they count in single precision


@pytest.mark.parametrize("program", ["mmsegmentation", "evaluate"])
@pytest.mark.parametrize("case", ["blocks", "many", "absent"])
def test_means_and_classes_are_mmsegmentation_s_and_evaluate_s(golden, made, case, program):
    found, expected = ours(made, case), golden[case][program]
    for key in {"mIoU", "mAcc", "aAcc", "mDice"} & set(expected):
        assert found[key] == pytest.approx(expected[key], abs=1e-6), key
    for key in {"IoU", "Acc", "Dice"} & set(expected):
        same([row[key] for row in found["per_class"]], expected[key])


@pytest.mark.parametrize("case", ["blocks", "many", "absent"])
def test_classes_are_torchmetrics_s_which_has_0_for_a_class_that_never_occurs(golden, made, case):
    found, expected = ours(made, case), golden[case]["torchmetrics"]
    assert found["aAcc"] == pytest.approx(expected["aAcc"], abs=1e-6)
    for key in ("IoU", "Acc", "Dice"):
        values = [row[key] or 0.0 for row in found["per_class"]]
        np.testing.assert_allclose(values, [value or 0.0 for value in expected[key]], rtol=0, atol=1e-6)


def test_classes_and_categories_are_those_of_cityscapesscripts(golden, made):
    expected = golden["many"]["cityscapesscripts"]
    names = dict(enumerate(name for name in expected["IoU"] if expected["IoU"][name] is not None))
    assert len(names) == 19
    groups = read_groups(CITYSCAPES, names)
    found = ours(made, "many", names, groups=groups)
    assert found["mIoU"] == pytest.approx(expected["mIoU"], abs=1e-9)
    for row in found["per_class"]:
        assert row["IoU"] == pytest.approx(expected["IoU"][row["name"]], abs=1e-9), row["name"]
    for row in found["groups"]:
        assert row["IoU"] == pytest.approx(expected["groups"][row["name"]], abs=1e-9), row["name"]
    assert found["mIoU_groups"] == pytest.approx(expected["mIoU_groups"], abs=1e-9)
