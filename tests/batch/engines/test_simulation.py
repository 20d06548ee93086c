"""The simulation of a job says what arithmetic says where arithmetic can."""

import sys

import pytest
from reference import ROOT

sys.path.insert(0, str(ROOT / "benchmarks" / "scale"))
from simulation import simulate


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_slowest_stage_bounds_the_job(workers):
    found = simulate(400, workers, decode=0.01, label=0.1)
    assert found["seconds"] == pytest.approx(400 * 0.1 / workers, rel=0.05) and found["label"] > 0.95
    found = simulate(400, workers, decode=0.3, label=0.1, decoders=1)
    assert found["seconds"] == pytest.approx(400 * 0.3, rel=0.05) and found["decode"] > 0.95
