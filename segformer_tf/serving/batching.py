"""Requests merged into one run, as TF Serving's batching does, and large ones split into several."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import numpy as np

from segformer_tf.serving.servable import Servable


class _Task:
    """A request, or the part of one that fits a batch."""

    def __init__(self, name: str, inputs: Mapping[str, np.ndarray], cost: int, limit: int):
        self.name, self.inputs, self.cost, self.limit = name, inputs, cost, limit
        self.size = len(next(iter(inputs.values())))
        # As in TF Serving only tensors whose axes after the first agree are put into one batch.
        self.key = (name, *sorted((key, value.shape[1:]) for key, value in inputs.items()))
        self.future: Future = Future()


class Batcher:
    """Runs requests in batches of up to `max_batch_size` pictures; the first waits at most `timeout` seconds."""

    def __init__(self, servable: Servable, max_batch_size: int = 8, timeout: float = 0.005):
        self.servable, self.max_batch_size, self.timeout = servable, max_batch_size, timeout
        self.batches = 0  # runs so far
        self._waiting: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def submit(
        self, name: str, inputs: Mapping[str, np.ndarray], costs: Sequence[int] | None = None, limit: int = 1
    ) -> list[Future]:
        """The answers to come of a checked request's parts; a part that is cancelled before it runs does not run.

        Args:
            costs: Pixels of each picture; none by default.
            limit: The most pixels that run together.
        """
        count = len(next(iter(inputs.values())))
        costs = [0] * count if costs is None else costs
        tasks, start = [], 0
        for end in range(1, count + 1):  # a part ends where the next picture would not fit
            full = end - start == self.max_batch_size
            if end == count or full or sum(costs[start : end + 1]) > limit:
                part = {key: value[start:end] for key, value in inputs.items()}
                tasks.append(_Task(name, part, sum(costs[start:end]), limit))
                start = end
        with self._changed:
            if self._closed:
                raise RuntimeError("The batcher is closed.")
            self._waiting.extend(tasks)
            self._changed.notify_all()
        return [task.future for task in tasks]

    def close(self, drop: bool = False) -> None:
        """Answers what is waiting, or drops it, then stops."""
        with self._changed:
            self._closed = True
            if drop:
                for task in self._waiting:
                    task.future.cancel()
                self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                tasks = self._next()
                if not tasks and self._closed and not self._waiting:
                    return
            tasks = [task for task in tasks if task.future.set_running_or_notify_cancel()]
            if tasks:
                self._run(tasks)

    def _next(self) -> list[_Task]:
        """The tasks of the next batch, oldest first; called with the lock."""
        self._drop_cancelled()
        if not self._waiting:
            return []
        first = self._waiting[0]
        end = time.monotonic() + self.timeout
        while self._ready(first) < self.max_batch_size and not self._closed:
            if not self._changed.wait(max(end - time.monotonic(), 0)):
                break
        self._drop_cancelled()
        tasks, size, cost = [], 0, 0
        for task in [task for task in self._waiting if task.key == first.key]:
            if tasks and (size + task.size > self.max_batch_size or cost + task.cost > task.limit):
                break
            tasks.append(task)
            size, cost = size + task.size, cost + task.cost
            self._waiting.remove(task)
        return tasks

    def _drop_cancelled(self) -> None:
        self._waiting = deque(task for task in self._waiting if not task.future.cancelled())

    def _ready(self, first: _Task) -> int:
        return sum(task.size for task in self._waiting if task.key == first.key)

    def _run(self, tasks: list[_Task]) -> None:
        self.batches += 1
        try:
            merged = {key: np.concatenate([task.inputs[key] for task in tasks]) for key in tasks[0].inputs}
            outputs = self.servable.run(tasks[0].name, merged)
        except Exception as error:
            if len(tasks) == 1:
                tasks[0].future.set_exception(error)
            else:  # one of them is to blame, whatever the error says, and the others must not suffer for it
                for task in tasks:
                    self._run([task])
        else:
            start = 0
            for task in tasks:
                task.future.set_result({key: value[start : start + task.size] for key, value in outputs.items()})
                start += task.size


def joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The outputs of a request from those of its parts."""
    if len(parts) == 1:
        return dict(parts[0])
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
