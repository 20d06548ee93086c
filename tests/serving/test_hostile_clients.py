"""The short form of benchmarks/trust/serving.py: good clients among hostile ones."""

import importlib.util
import sys

import pytest
from reference import ROOT
from serving_models import encoded, exported, picture


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("hostile_clients", ROOT / "benchmarks/trust/serving.py")
    assert spec and spec.loader
    before = list(sys.path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before


def test_each_promise_of_the_script_is_looked_at(script):
    good = {"right": 1, "wrong": [], "growth": 0.05, "stop_s": 30.0}
    assert script.broken(good) == []
    for key, value in {"right": 0, "wrong": ["x"], "growth": 0.06, "stop_s": 31.0}.items():
        assert len(script.broken({**good, key: value})) == 1


@pytest.mark.long
def test_every_good_answer_is_right_among_hostile_clients(script):
    files = [encoded(picture(40 + i, 60, seed=i)) for i in range(3)]
    result = script.soak(exported(), files, seconds=8)
    assert result["wrong"] == [] and result["right"] and result["hostile"], result
    assert result["right"] + result["refused"] == result["good"], result
