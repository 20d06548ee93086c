"""Labels of cells: the same, to the pixel, as where every class is computed everywhere."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segformer_tf.images import cells, merging


@pytest.fixture(autouse=True)
def cells_of_any_size(monkeypatch):
    monkeypatch.setattr(merging, "CELL_PIXELS", 0)


def labels(logits, size, box=None):
    merger = merging.Merger(size)
    merger.add(logits, box)
    merger.finish()
    return merger.labels


def plain(logits, size, box=None):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "CELL_PIXELS", np.inf)
        patch.setattr(merging, "fill", lambda *_: pytest.fail("the plain form is asked for"))
        return labels(logits, size, box)


side, length = st.integers(1, 9), st.integers(1, 40)


@given(side, side, length, length, st.integers(2, 40), st.sampled_from([1, 3, 1e-3, 1e25]), st.integers(0, 99))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_are_those_of_the_plain_form_ties_included(h, w, height, width, classes, spread, seed):
    logits = np.random.default_rng(seed).integers(-3, 4, (h, w, classes)).astype(np.float32)  # whole numbers: many ties
    logits *= np.float32(spread)
    assert (labels(logits, (height, width)) == plain(logits, (height, width))).all()


@pytest.mark.parametrize("classes", [3, 150, 300])
def test_bands_chunks_and_boxes_change_nothing(classes, monkeypatch):
    random = np.random.default_rng(classes)
    logits = random.normal(size=(7, 9, classes)).astype(np.float32).cumsum(0)  # some classes win often
    box = merging.Box(0, -3.5, 50.5, 70)
    expected = plain(logits, (50, 66), box)
    assert len(np.unique(expected)) > 1
    assert (labels(logits, (50, 66), box) == expected).all()
    monkeypatch.setattr(cells, "CHUNK_VALUES", 100)
    monkeypatch.setattr(cells, "CORNER_VALUES", 100)
    looked, chosen, candidates, choose = [], [], cells._candidates, cells._choose
    monkeypatch.setattr(
        cells, "_candidates", lambda four, *rest: looked.append(four[0].size) or candidates(four, *rest)
    )
    monkeypatch.setattr(
        cells, "_choose", lambda found, ids, *rest: chosen.append(ids.shape[1]) or choose(found, ids, *rest)
    )
    assert (labels(logits, (50, 66), box) == expected).all()
    assert max(looked) <= max(100, classes) and set(chosen) == {1}, "memory stays bounded"
    monkeypatch.setattr(merging, "BAND_PIXELS", 200)
    assert (labels(logits, (50, 66), box) == expected).all()


def test_parts_that_overlap_go_the_plain_way():
    first, second = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
    merger = merging.Merger((32, 40))
    merger.add(first)
    merger.add(second)
    merger.finish()
    assert (merger.labels == plain((first + second) / 2, (32, 40))).mean() > 0.999


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_logits_that_are_not_finite_or_too_large_go_the_plain_way(value):
    logits = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    assert cells.scale_of(logits) == np.abs(logits).max()
    logits[1, 2, 1] = value
    assert cells.scale_of(logits) == np.inf


def test_only_classes_that_can_win_are_computed(monkeypatch):
    logits = np.zeros((8, 8, 50), np.float32)
    logits[..., [7, 30]] = 1
    logits[:, :4, 7] = logits[:, 4:, 30] = 5
    seen, choose = [], cells._choose
    monkeypatch.setattr(cells, "_choose", lambda labels, ids, *rest: seen.append(ids) or choose(labels, ids, *rest))
    found = labels(logits, (32, 32))
    assert {tuple(column) for ids in seen for column in ids.T} == {(7, 30)}
    assert (found[:, :16] == 7).all() and (found[:, 16:] == 30).all()


def test_classes_a_rounding_error_apart_can_both_win():
    corners = [np.float32([[1.0, 1.0 - 1e-7]])] * 4
    ((_, ids),) = cells._candidates(corners, np.float32(cells.ROUNDING), 4)
    assert ids.tolist() == [[0, 1]]


def test_small_cells_go_the_plain_way(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(merging, "fill", lambda labels, *_: labels.fill(1))
    logits = np.zeros((4, 5, 3), np.float32)
    assert (labels(logits, (16, 20)) == 0).all()
    assert (labels(logits, (24, 40)) == 1).all()
