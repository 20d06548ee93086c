"""How requests are merged into batches."""

import threading
import time

import numpy as np
import pytest

from segformer_tf.serving.batching import Batcher, joined
from segformer_tf.serving.servable import InvalidRequest


class Recording:
    """A servable whose runs can be held and looked at."""

    def __init__(self, error=InvalidRequest):
        self.runs, self.go, self.error = [], threading.Event(), error

    def run(self, name, inputs):
        self.go.wait(10)
        self.runs.append((name, inputs["x"].shape))
        if (inputs["x"] < 0).any():
            raise self.error("negative")
        return {"y": inputs["x"] * 2}


def waiting(batcher, inputs):
    """Futures of requests that have been put into the queue in this order, the first of them running."""
    futures = [batcher.submit(name, {"x": x}, *rest) for name, x, *rest in inputs[:1]]
    end = time.monotonic() + 10
    while batcher.batches != 1 and time.monotonic() < end:
        time.sleep(0.001)
    return futures + [batcher.submit(name, {"x": x}, *rest) for name, x, *rest in inputs[1:]]


def answer(futures):
    return joined([future.result(10) for future in futures])["y"]


ONE = np.ones((1, 3))


def test_a_batch_holds_one_signature_one_shape_and_no_more_than_its_size():
    servable = Recording()
    batcher = Batcher(servable, max_batch_size=4, timeout=0.0)
    narrow = np.ones((1, 2))
    futures = waiting(
        batcher, [("a", 9 * ONE), ("a", ONE), ("a", narrow), ("b", ONE), ("a", np.ones((3, 3)) * 5), ("a", 7 * ONE)]
    )
    servable.go.set()
    answers = [answer(each) for each in futures]
    batcher.close()
    assert [answer.shape for answer in answers] == [(1, 3), (1, 3), (1, 2), (1, 3), (3, 3), (1, 3)]
    assert [float(answer[0, 0]) for answer in answers] == [18, 2, 2, 2, 10, 14]
    assert servable.runs == [("a", (1, 3)), ("a", (4, 3)), ("a", (1, 2)), ("b", (1, 3)), ("a", (1, 3))]


def test_a_request_larger_than_a_batch_is_split_and_answered_in_order():
    servable = Recording()
    servable.go.set()
    batcher = Batcher(servable, max_batch_size=4, timeout=0.0)
    x = np.arange(30.0).reshape(10, 3)
    np.testing.assert_array_equal(answer(batcher.submit("a", {"x": x})), x * 2)
    batcher.close()
    assert [shape[0] for _, shape in servable.runs] == [4, 4, 2]


def test_no_more_pixels_run_together_than_the_limit():
    servable = Recording()
    batcher = Batcher(servable, max_batch_size=8, timeout=0.0)
    four = np.ones((4, 3)), [10, 60, 60, 30], 100
    futures = waiting(batcher, [("a", ONE), ("a", *four), ("a", ONE, [70], 100), ("a", ONE, [5], 100)])
    servable.go.set()
    assert [answer(each).shape[0] for each in futures] == [1, 4, 1, 1]
    batcher.close()
    assert [shape[0] for _, shape in servable.runs] == [1, 2, 2, 2]


@pytest.mark.parametrize("error", [InvalidRequest, TypeError, MemoryError])
def test_in_a_failed_batch_only_the_request_to_blame_fails_whatever_the_error(error):
    servable = Recording(error)
    batcher = Batcher(servable, max_batch_size=8, timeout=0.0)
    first, good, bad, last = waiting(batcher, [("a", ONE), ("a", ONE), ("a", -ONE), ("a", ONE)])
    servable.go.set()
    assert answer(good).shape == answer(last).shape == answer(first).shape == (1, 3)
    with pytest.raises(error, match="negative"):
        answer(bad)
    batcher.close()


def test_cancelled_requests_do_not_run():
    servable = Recording()
    batcher = Batcher(servable, max_batch_size=2, timeout=0.0)
    futures = waiting(batcher, [("a", ONE), ("a", 2 * ONE), ("a", np.ones((4, 3))), ("a", 3 * ONE)])
    for future in futures[2]:
        assert future.cancel()
    servable.go.set()
    assert float(answer(futures[3])[0, 0]) == 6
    batcher.close()
    assert [shape[0] for _, shape in servable.runs] == [1, 2]


def test_a_closed_batcher_answers_or_drops_what_waits():
    for drop in (False, True):
        servable = Recording()
        batcher = Batcher(servable, max_batch_size=1, timeout=0.0)
        running, *rest = waiting(batcher, [("a", ONE)] * 3)
        closing = threading.Thread(target=batcher.close, args=(drop,))
        closing.start()
        while not batcher._closed:
            time.sleep(0.001)
        servable.go.set()
        closing.join(10)
        assert answer(running).shape == (1, 3)
        assert [future.cancelled() for (future,) in rest] == [drop, drop]
