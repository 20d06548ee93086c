"""One model as both endpoints see it: requests checked, and merged into one run as TF Serving's batching does."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future

import numpy as np

from segformer_tf.serving.servable import InvalidRequest, NotFound, Servable


class Overloaded(RuntimeError):
    """More requests wait than the queue holds: RESOURCE_EXHAUSTED; send it again later."""


class _Task:
    def __init__(self, name: str, inputs: Mapping[str, np.ndarray]):
        self.name, self.inputs = name, inputs
        self.size = len(next(iter(inputs.values())))
        # As in TF Serving only tensors whose axes after the first agree are put into one batch.
        self.key = (name, *sorted((key, value.shape[1:]) for key, value in inputs.items()))
        self.future: Future = Future()


class Batcher:
    """Runs requests in batches of up to `max_batch_size` pictures; the first waits at most `timeout` seconds.

    A request of more pictures than `max_batch_size` runs by itself, whole.
    """

    def __init__(self, servable: Servable, max_batch_size: int = 8, timeout: float = 0.005, max_waiting: int = 256):
        self.servable = servable
        self.max_batch_size, self.timeout, self.max_waiting = max_batch_size, timeout, max_waiting
        self.batches = 0  # runs so far
        self._waiting: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def predict(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs for one request; returns when its batch has run.

        Raises:
            InvalidRequest: The request does not fit the signature, or the graph refused it.
            Overloaded: Too many requests are waiting.
        """
        self.servable.check(name, inputs)
        task = _Task(name, inputs)
        with self._changed:
            if len(self._waiting) >= self.max_waiting or self._closed:
                raise Overloaded(
                    f"{len(self._waiting)} requests are waiting, which is the limit: send this one again later."
                )
            self._waiting.append(task)
            self._changed.notify_all()
        return task.future.result()

    def close(self) -> None:
        """Answers what is waiting, then stops."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while tasks := self._next():
            self._run(tasks)

    def _next(self) -> list[_Task]:
        """The tasks of the next batch, oldest first; none when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            first = self._waiting[0]
            end = time.monotonic() + self.timeout
            while self._ready(first) < self.max_batch_size and not self._closed:
                if not self._changed.wait(max(end - time.monotonic(), 0)):
                    break
            tasks, size = [], 0
            for task in [task for task in self._waiting if task.key == first.key]:
                if tasks and size + task.size > self.max_batch_size:
                    break
                tasks.append(task)
                size += task.size
                self._waiting.remove(task)
            return tasks

    def _ready(self, first: _Task) -> int:
        return sum(task.size for task in self._waiting if task.key == first.key)

    def _run(self, tasks: list[_Task]) -> None:
        self.batches += 1
        keys = tasks[0].inputs
        try:
            merged = {key: np.concatenate([task.inputs[key] for task in tasks]) for key in keys}
            outputs = self.servable.run(tasks[0].name, merged)
        except InvalidRequest as error:
            if len(tasks) == 1:
                tasks[0].future.set_exception(error)
            else:  # one of them is to blame, and the others must not suffer for it
                for task in tasks:
                    self._run([task])
        except Exception as error:
            for task in tasks:
                task.future.set_exception(error)
        else:
            start = 0
            for task in tasks:
                task.future.set_result({key: value[start : start + task.size] for key, value in outputs.items()})
                start += task.size


class Model:
    """One version of a model under its name; requests of both endpoints meet here."""

    def __init__(self, name: str, servable: Servable, batcher: Batcher):
        self.name, self.servable, self.batcher = name, servable, batcher

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: list[str] | None = None,
        name: str | None = None,
        version: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Answers one request, in a batch with others; `outputs` chooses some of the signature's.

        Raises:
            NotFound: Another model's name or version.
            InvalidRequest: The request, or each of its pictures, cannot be answered; says why.
            Overloaded: Too many requests are waiting.
        """
        self.check_model(name, version)
        available = self.servable.signature(signature).outputs
        if unknown := sorted(set(outputs or ()) - set(available)):
            raise InvalidRequest(f"There is no output {', '.join(unknown)}, expected {', '.join(available)}.")
        answers = self.batcher.predict(signature, inputs)
        errors = answers.get("error")
        # TF Serving answers with empty masks and these texts; where nothing could be read, the status says so here.
        if errors is not None and all(errors):
            raise InvalidRequest(errors[0].decode())
        return {key: answers[key] for key in outputs or answers}

    def check_model(self, name: str | None, version: int | None) -> None:
        if name not in (None, "", self.name):
            raise NotFound(f"There is no model {name!r}, expected {self.name!r}.")
        if version not in (None, self.servable.version):
            raise NotFound(f"There is no version {version} of {self.name}, expected {self.servable.version}.")

    def close(self) -> None:
        """Answers what is waiting, then frees the model."""
        self.batcher.close()
        self.servable.close()
