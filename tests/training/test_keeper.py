"""The keeper's accounts; what it does in a run is in test_fit.py."""

import types
from pathlib import Path

import pytest

from segformer_tf.training import state
from segformer_tf.training.keeper import Keeper


def keeper(**about):
    plan = types.SimpleNamespace(steps=100, recipe=types.SimpleNamespace(patience=10))
    return Keeper(Path("run"), None, None, plan, {**state.nothing(), **about}, None)


@pytest.mark.parametrize(("best", "done"), [(10, True), (11, False)])
def test_patience_ends_after_as_many_steps_as_it_says(best, done):
    rows = [{"step": best, "score": 0.5}, {"step": 20, "score": 0.5}]
    assert keeper(step=20, rows=rows).done() is done


def test_the_mean_loss_that_is_saved_counts_the_steps_before_the_run_was_stopped(monkeypatch):
    saved = []
    monkeypatch.setattr(state, "save", lambda run, model, about: saved.append(about["partial"]))
    kept = keeper(step=3, partial=(2.0, 3))
    kept.set_model(types.SimpleNamespace())
    kept.step = 5
    kept._save(kept._mean_loss(1.0))
    assert saved == [(pytest.approx((2.0 * 3 + 1.0 * 2) / 5), 5)]
