"""Many pictures through a predictor: reading, the model, and what is made of the answers run at the same time."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from segformer_tf.pipelines.predict import How, Job, Predictor
from segformer_tf.storage.cores import cores

GROUPS = 3  # that exist at one time for each that is computed: one is read, one computed, one finished
LOWER = 10  # steps of niceness by which reading and writing stand behind the model
SLIDING_GROUP = 1  # pictures of a group that is cut into windows: each makes batches of its own


class Failed:
    """Takes the place of the answer for a picture that could not be read or labelled; false, where an answer is true.

    `error` says why. Asking for anything that an answer has raises it.
    """

    def __init__(self, picture: Any, error: Exception):
        self.picture, self.error = picture, error

    @property
    def why(self) -> str:
        """One line that names the picture."""
        what = str(self.picture) if isinstance(self.picture, (str, os.PathLike)) else type(self.picture).__name__
        message = " ".join(str(self.error).split()) or type(self.error).__name__
        return message if what in message else f"{what}: {message}"

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "error" not in self.__dict__:
            raise AttributeError(f"Failed has no attribute {name!r}.")
        raise self.error

    def __repr__(self) -> str:
        return f"Failed({self.picture!r}, {self.error!r})"


class Task(NamedTuple):
    """What is done with each picture: `read(item)` gives its pixels and the size of the answer (None: the picture's),
    `finish(item, pixels, merger)` what is handed out."""

    read: Callable[[Any], tuple[np.ndarray, tuple[int, int] | None]]
    finish: Callable[[Any, np.ndarray, Any], Any]
    how: How


def one(predictor: Predictor, task: Task, item: Any) -> Any:
    """The answer for one picture, in this thread."""
    pixels, size = task.read(item)
    job = predictor.job(pixels, task.how, size)
    return task.finish(item, pixels, predictor.answer(job))


def many(predictor: Predictor, task: Task, items: Iterable[Any]) -> Iterator[Any]:
    """The answers in order, `Failed` in the place of a picture that could not be done.

    Items are taken as answers are asked for, up to three batches ahead; that many pictures are in memory at a time. An
    error of `items` itself comes after the answers for those that it gave before.
    A batch is computed in as many groups at the same time as the runtime takes: while one waits for a core, or does
    what one core alone can do, another goes on. What is grouped depends on the order of the pictures alone, never on
    which thread was faster.
    """
    size, at_once = SLIDING_GROUP, 1
    if task.how.mode != "slide":
        at_once = min(predictor.runtime.at_once, predictor.batch_size)
        size = -(-predictor.batch_size // at_once)
    workers = ThreadPoolExecutor(cores(), "segformer-pictures", _step_back)
    computing = ThreadPoolExecutor(at_once, "segformer-model")  # waits for the workers, who never wait for it

    def read(item: Any) -> Job:
        pixels, answer_size = task.read(item)
        return predictor.job(pixels, task.how, answer_size)

    remaining, groups, broken = iter(items), deque[Future](), None
    try:
        while True:
            while broken is None and len(groups) < GROUPS * at_once:
                chunk, broken = _taken(remaining, size)
                if not chunk:
                    break
                jobs = [workers.submit(read, item) for item in chunk]
                groups.append(computing.submit(_group, predictor, task, chunk, jobs, workers))
            if not groups:
                if broken is not None:
                    raise broken
                return
            for item, answer in groups.popleft().result():
                error = answer.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield answer.result() if error is None else Failed(item, error)
                del answer
    finally:
        computing.shutdown(cancel_futures=True)
        workers.shutdown(cancel_futures=True)


def _taken(items: Iterator[Any], size: int) -> tuple[list, Exception | None]:
    """Up to so many items, and the error that ended them."""
    chunk: list[Any] = []
    try:
        chunk.extend(islice(items, size))  # keeps what came before an error
    except Exception as error:
        return chunk, error
    return chunk, None


def _step_back() -> None:
    """This thread takes what the model's threads leave: one of them that waits for a core makes all the others wait."""
    if sys.platform == "linux":  # elsewhere threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWER)


def _group(predictor: Predictor, task: Task, items: list, jobs: list[Future], workers) -> list[tuple[Any, Future]]:
    """Computes a group of pictures; (item, the answer to come) of each."""
    answers: list[Future] = list(jobs)  # of a picture that cannot be read its error stays
    places = {id(job.result()): place for place, job in enumerate(jobs) if job.exception() is None}
    try:
        for job, logits in predictor.run([job.result() for job in jobs if job.exception() is None]):
            place = places[id(job)]
            if answers[place] is not jobs[place]:
                answers[place].result()  # one after the other, so that no more than one batch of windows waits
            whole = len(job.answered) + len(logits) == len(job.windows)
            answers[place] = workers.submit(_take, task, items[place], job, logits, whole)
    except Exception as error:  # the model failed, for all of these
        failed: Future = Future()
        failed.set_exception(error)
        answers = [answer if job.exception() else failed for answer, job in zip(answers, jobs, strict=True)]
    return list(zip(items, answers, strict=True))


def _take(task: Task, item: Any, job: Job, logits: list[tuple[int, np.ndarray]], whole: bool) -> Any:
    job.add(logits)
    return task.finish(item, job.pixels, job.merger) if whole else None
