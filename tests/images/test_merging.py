import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segformer_tf.images.merging import Box, Merger
from segformer_tf.images.probabilities import softmax


def resized(logits, height, width, left=0, extent=None):
    """Bilinear with half-pixel centres, written down as it is defined: (h, w, C) -> (height, width, C) float64.

    Of logits that begin at `left` and are `extent` pixels wide, the `width` pixels from 0 on.
    """

    def along(values, length, start=0, extent=None):
        place = (np.arange(length) - start + 0.5) * len(values) / (extent or length) - 0.5
        place = np.clip(place, 0, len(values) - 1)
        before = np.floor(place).astype(int)
        after = np.minimum(before + 1, len(values) - 1)
        weight = (place - before).reshape(-1, 1, 1)
        return values[before] * (1 - weight) + values[after] * weight

    tall = along(logits.astype(np.float64), height)
    return along(tall.swapaxes(0, 1), width, left, extent).swapaxes(0, 1)


def merged(size, parts, **options):
    merger = Merger(size, **options)
    for part in parts:
        merger.add(*part)
    merger.finish()
    return merger


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.integers(1, 40), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_one_part_is_its_logits_resized(h, w, height, width, classes):
    logits = random(h, w, classes)
    found = merged((height, width), [(logits,)], scores=True)
    full = resized(logits, height, width)
    full = np.concatenate([np.zeros_like(full), full], -1) if classes == 1 else full
    clear = np.diff(np.sort(full, -1)[..., -2:], axis=-1)[..., 0] > 1e-5  # no tie that rounding decides
    np.testing.assert_array_equal(found.labels[clear], full.argmax(-1)[clear])
    np.testing.assert_array_equal(merged((height, width), [(logits,)]).labels[clear], found.labels[clear])
    np.testing.assert_allclose(found.scores, softmax(full).max(-1), atol=1e-3)


def overlapping():
    """Four windows of 24 x 32 over 40 x 50 pixels, with their mean at full size."""
    total, count, parts = np.zeros((40, 50, 4)), np.zeros((40, 50, 1)), []
    for number, (top, left) in enumerate([(0, 0), (0, 18), (16, 0), (16, 18)]):
        logits = random(6, 8, 4) + number
        logits[..., number] += 2
        parts.append((logits, Box(top, left, top + 24, left + 32)))
        total[top : top + 24, left : left + 32] += resized(logits, 24, 32)
        count[top : top + 24, left : left + 32] += 1
    return parts, total / count


def test_where_windows_overlap_their_full_size_logits_are_averaged():
    parts, mean = overlapping()
    found = merged((40, 50), parts, scores=True)
    np.testing.assert_array_equal(found.labels, mean.argmax(-1))
    np.testing.assert_array_equal(merged((40, 50), parts).labels, mean.argmax(-1))
    np.testing.assert_allclose(found.scores, softmax(mean).max(-1), atol=1e-3)


def test_variants_are_averaged_as_probabilities():
    parts, mean = overlapping()
    small = 3 * random(5, 7, 4)
    found = merged((40, 50), [*parts, (small, None, 1)], scores=True)
    expected = (softmax(mean) + softmax(resized(small, 40, 50))) / 2
    np.testing.assert_array_equal(found.labels, expected.argmax(-1))
    np.testing.assert_allclose(found.scores, expected.max(-1), atol=1e-3)


def test_rows_are_finished_from_the_top_and_their_windows_let_go():
    parts, mean = overlapping()
    merger = Merger((40, 50))
    for part in parts[:2]:
        merger.add(*part)
    merger.finish(16)
    assert merger.done == 16 and len(merger.parts) == 2  # both reach below
    np.testing.assert_array_equal(merger.labels[:16], mean.argmax(-1)[:16])
    for part in parts[2:]:
        merger.add(*part)
    merger.finish(25)
    assert len(merger.parts) == 2
    merger.finish()
    assert not merger.parts
    np.testing.assert_array_equal(merger.labels, mean.argmax(-1))


def test_a_part_may_reach_past_the_picture_and_start_between_pixels():
    """As windows that are filled up, and those of a picture of another size: pixels whose centres lie inside."""
    left, right = np.zeros((2, 2, 2), "float32"), np.zeros((2, 2, 2), "float32")
    left[..., 0], right[..., 1] = 1, 1
    found = merged((4, 10), [(left, Box(0, -3, 8, 4.4)), (right, Box(0, 4.4, 8, 24.4))])
    np.testing.assert_array_equal(found.labels, [[0] * 4 + [1] * 6] * 4)


@pytest.mark.parametrize("classes", [2, 256, 257, 300])
def test_labels_are_ids_for_any_number_of_classes(classes):
    logits = random(3, 4, classes)
    logits[0, 0, -1] = 9
    np.testing.assert_array_equal(merged((3, 4), [(logits,)]).labels, logits.argmax(-1))


def test_a_part_that_begins_left_of_the_picture_lies_where_its_box_says():
    logits = random(6, 8, 4)
    found = merged((24, 20), [(logits, Box(0, -12, 24, 20))])
    np.testing.assert_array_equal(found.labels, resized(logits, 24, 20, left=-12, extent=32).argmax(-1))


def test_what_is_finished_stays_so():
    merger = Merger((8, 4))
    merger.add(random(2, 2, 3))
    merger.finish(6)
    merger.finish(3)
    assert merger.done == 6


def bell(length):
    return np.exp(-0.5 * ((np.arange(length) + 0.5 - length / 2) / (length / 8)) ** 2)


def weighted_by_bells(parts):
    total, weights = np.zeros((40, 50, 4)), np.zeros((40, 50, 1))
    for logits, box in parts:
        weight = np.outer(bell(24), bell(32))[..., None]
        place = slice(box.top, box.top + 24), slice(box.left, box.left + 32)
        total[place] += weight * resized(logits, 24, 32)
        weights[place] += weight
    return total / weights


def test_a_gaussian_blend_is_the_mean_weighted_by_a_bell_over_each_part():
    parts, _ = overlapping()
    mean = weighted_by_bells(parts)
    np.testing.assert_array_equal(merged((40, 50), parts, blend="gaussian").labels, mean.argmax(-1))
    found = merged((40, 50), parts, blend="gaussian", scores=True)
    np.testing.assert_allclose(found.scores, softmax(mean).max(-1), atol=1e-3)


def test_maps_are_the_probability_of_a_class_and_the_entropy():
    parts, mean = overlapping()
    rates = softmax(mean)
    found = merged((40, 50), parts, maps=(2, "entropy"))
    assert found.scores is None and set(found.maps) == {2, "entropy"}
    np.testing.assert_allclose(found.maps[2], rates[..., 2], atol=1e-3)
    np.testing.assert_allclose(found.maps["entropy"], -(rates * np.log(rates)).sum(-1) / np.log(4), atol=1e-3)
    even = merged((4, 4), [(np.zeros((2, 2, 3), "float32"),)], maps=("entropy",))
    np.testing.assert_allclose(even.maps["entropy"], 1, atol=1e-3)


def test_a_temperature_divides_the_logits_of_probabilities_and_leaves_the_labels():
    parts, mean = overlapping()
    small = 3 * random(5, 7, 4)
    for others, expected in (
        ([], softmax(mean / 2)),
        ([(small, None, 1)], (softmax(mean / 2) + softmax(resized(small, 40, 50) / 2)) / 2),
    ):
        found = merged((40, 50), [*parts, *others], scores=True, maps=(2,), temperature=2.0)
        np.testing.assert_array_equal(found.labels, merged((40, 50), [*parts, *others]).labels)
        np.testing.assert_allclose(found.maps[2], expected[..., 2], atol=1e-3)
        of_labels = np.take_along_axis(expected, found.labels[..., np.newaxis], -1)[..., 0]
        np.testing.assert_allclose(found.scores, of_labels, atol=1e-3)


def test_a_temperature_divides_logits_blended_by_bells_too():
    parts, small = overlapping()[0], 3 * random(5, 7, 4)
    found = merged((40, 50), [*parts, (small, None, 1)], maps=(2,), blend="gaussian", temperature=2.0)
    expected = (softmax(weighted_by_bells(parts) / 2) + softmax(resized(small, 40, 50) / 2)) / 2
    np.testing.assert_allclose(found.maps[2], expected[..., 2], atol=1e-3)


def test_rows_of_logits_that_are_done_are_let_go_and_the_rest_labels_the_same():
    logits = random(40, 8, 4)
    for size in ((40, 50), (97, 50), (160, 50)):
        whole, merger = merged(size, [(logits,)]).labels, Merger(size)
        merger.add(logits)
        held = []
        for until in range(0, size[0], 7):
            merger.finish(until)
            held.append(len(merger.parts[0].logits))
        merger.finish()
        np.testing.assert_array_equal(merger.labels, whole)
        assert held[0] == 40 and held[-1] < 12
