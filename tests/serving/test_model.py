"""How requests are merged into batches."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest

from segformer_tf.serving.model import Batcher, Overloaded
from segformer_tf.serving.servable import InvalidRequest


class Recording:
    """A servable whose runs can be held and looked at."""

    def __init__(self):
        self.runs, self.go = [], threading.Event()

    def check(self, name, inputs):
        pass

    def run(self, name, inputs):
        self.go.wait(10)
        self.runs.append((name, inputs["x"].shape))
        if (inputs["x"] < 0).any():
            raise InvalidRequest("negative")
        return {"y": inputs["x"] * 2}


def waiting(batcher, inputs):
    """Futures of requests that have been put into the queue in this order."""
    pool = concurrent.futures.ThreadPoolExecutor(len(inputs))
    futures = []
    for i, (name, x) in enumerate(inputs):
        futures.append(pool.submit(batcher.predict, name, {"x": x}))
        end = time.monotonic() + 10
        # The first one is taken at once and held in its run; the others wait behind it.
        while (batcher.batches, len(batcher._waiting)) != (1, i) and time.monotonic() < end:
            time.sleep(0.001)
    return futures


def test_a_batch_holds_one_signature_one_shape_and_no_more_than_its_size():
    servable = Recording()
    batcher = Batcher(servable, max_batch_size=4, timeout=0.0)
    wide, narrow = np.ones((1, 3)), np.ones((1, 2))
    futures = waiting(
        batcher,
        [("a", 9 * wide), ("a", wide), ("a", narrow), ("b", wide), ("a", np.ones((3, 3)) * 5), ("a", 7 * wide)],
    )
    servable.go.set()
    answers = [future.result(10)["y"] for future in futures]
    batcher.close()
    assert [answer.shape for answer in answers] == [(1, 3), (1, 3), (1, 2), (1, 3), (3, 3), (1, 3)]
    assert [float(answer[0, 0]) for answer in answers] == [18, 2, 2, 2, 10, 14]
    assert servable.runs == [("a", (1, 3)), ("a", (4, 3)), ("a", (1, 2)), ("b", (1, 3)), ("a", (1, 3))]


def test_in_a_failed_batch_only_the_request_to_blame_fails():
    servable = Recording()
    batcher = Batcher(servable, max_batch_size=8, timeout=0.0)
    one = np.ones((1, 3))
    first, good, bad, last = waiting(batcher, [("a", one), ("a", one), ("a", -one), ("a", one)])
    servable.go.set()
    assert good.result(10)["y"].shape == last.result(10)["y"].shape == first.result(10)["y"].shape == (1, 3)
    with pytest.raises(InvalidRequest, match="negative"):
        bad.result(10)
    batcher.close()


def test_a_full_queue_refuses_and_a_closed_one_answers_what_waits():
    servable = Recording()
    batcher = Batcher(servable, max_batch_size=1, timeout=0.0, max_waiting=2)
    futures = waiting(batcher, [("a", np.ones((1, 3)))] * 3)
    with pytest.raises(Overloaded, match="2 requests are waiting, which is the limit"):
        batcher.predict("a", {"x": np.ones((1, 3))})
    servable.go.set()
    batcher.close()
    assert all(future.result(10) for future in futures)
