"""The versions of one model, as TF Serving keeps them: taken up, dropped, pinned, labelled while requests go on."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog  # pyright: ignore[reportAttributeAccessIssue]

from segformer_tf.serving.batching import Batcher, joined
from segformer_tf.serving.config import Policy
from segformer_tf.serving.directories import home_of, listed, version_directories
from segformer_tf.serving.labels import Labels
from segformer_tf.serving.limits import Limits
from segformer_tf.serving.metrics import LOADS, Metrics
from segformer_tf.serving.servable import Claim, InvalidRequest, NotFound, Servable

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


class Version:
    """One version that is loaded."""

    def __init__(self, number: int, servable: Servable, batcher: Batcher, limits: Limits):
        self.number, self.servable, self.batcher, self.limits = number, servable, batcher, limits
        self.users = 0  # requests that hold it; it is closed when there are none

    def submit(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
    ) -> list[Future]:
        """Checks a request and puts it into the queue; the answers to come of its parts.

        Raises:
            InvalidRequest: It does not fit the signature or the limits; says why.
        """
        claims = {key: Claim.of(value) for key, value in inputs.items()}
        self.servable.check(signature, claims)
        self.servable.check_outputs(signature, outputs or ())
        infos = self.servable.signature(signature).inputs
        self.limits.check(infos, claims)
        return self.batcher.submit(signature, inputs, *self.limits.cost(infos, inputs))

    def warm_up(self) -> None:
        """Replays the requests that came with the version."""
        path = self.servable.directory / WARMUP_FILE
        if path.is_file():
            for record in tf.data.TFRecordDataset(os.fspath(path)).as_numpy_iterator():
                request = PredictionLog.FromString(record).predict_log.request
                inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
                self.servable.predict(request.model_spec.signature_name, inputs)

    def close(self, drop: bool = False) -> None:
        self.batcher.close(drop)
        self.servable.close()


@dataclass
class State:
    """What the status page says of a version, in TF Serving's words."""

    state: str  # LOADING, AVAILABLE, UNLOADING or END
    error: str = ""
    files: tuple = field(default=(), repr=False)  # what was there when it was last tried


class Model:
    """The versions of one model under its name; requests of both endpoints meet here.

    Args:
        directory: A directory of versions, or one version's own.
        policy: Which versions are wanted, and what they are called.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        name: str | None = None,
        policy: Policy | None = None,
        limits: Limits | None = None,
        max_batch_size: int = 8,
        batch_timeout: float = 0.005,
        metrics: Metrics | None = None,
    ):
        self.directory = Path(directory)
        version_directories(directory)  # there is one
        self.name = name or home_of(directory).resolve().name
        self.policy, self.limits = policy or Policy(), limits or Limits()
        self.metrics = metrics or Metrics()
        self._batching = (max_batch_size, batch_timeout)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._loaded: dict[int, Version] = {}
        self._leaving: list[Version] = []
        self._labels = Labels()
        self.states: dict[int, State] = {}
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Loads what is wanted and not there, then lets go of what is not wanted; requests go on meanwhile."""
        try:
            found = version_directories(self.directory)
        except FileNotFoundError:
            found = {}
        except OSError as error:  # a volume that is away for a moment takes nothing with it
            logging.warning("%s cannot be read: %s.", self.directory, error)
            return
        self.policy.refresh()
        wanted = self.policy.wanted(found)
        with self._lock:
            self._labels.passed_over = {*found} - wanted
            self._labels.move(self.policy.labels, self._loaded)
        for number in sorted(wanted - set(self._loaded)):
            self._load(number, found[number])
        with self._lock:
            kept = self._labels.kept()
            if not found or wanted & set(self._loaded):  # the last one that works stays until another does
                for number in set(self._loaded) - wanted - (kept if found else set()):
                    self._leaving.append(self._loaded.pop(number))
                    self.states[number] = State("UNLOADING")
                self._labels.move(self.policy.labels, self._loaded)
            gone = [version for version in self._leaving if not version.users]
            self._leaving = [version for version in self._leaving if version.users]
        for version in gone:
            version.close()
            if version.number not in self._loaded:  # it may be wanted again
                self.states[version.number] = State("END")
            logging.info("%s: version %d is unloaded.", self.name, version.number)

    def _load(self, number: int, directory: Path) -> None:
        files = listed(directory)
        before = self.states.get(number)
        if before and before.error and before.files == files:
            return  # it failed, and nothing has changed since
        self.states[number] = State("LOADING", files=files)
        try:
            servable = Servable(directory)
            version = Version(number, servable, Batcher(servable, *self._batching), self.limits)
            try:
                version.warm_up()
            except Exception:
                version.close()
                raise
        except Exception as error:
            self.metrics.count(LOADS, model_path=str(directory), status="fail")
            self.states[number] = State("END", f"{type(error).__name__}: {error}", files)
            logging.warning("%s: version %d cannot be loaded: %s", self.name, number, error)
            return
        self.metrics.count(LOADS, model_path=str(directory), status="success")
        with self._lock:
            self._loaded[number] = version
            self.states[number] = State("AVAILABLE")
            self._labels.move(self.policy.labels, self._loaded)

    def start(self, poll: float = 2.0) -> "Model":
        """Loads what is wanted, then looks again every `poll` seconds.

        Raises:
            FileNotFoundError, RuntimeError: No version that is wanted is there; none of them can be loaded.
        """
        self._stop.clear()
        self.look()
        if not self._loaded:
            failed = [f"version {number}: {state.error}" for number, state in self.states.items() if state.error]
            if failed:
                raise RuntimeError(f"No version in {self.directory} can be loaded: {'; '.join(failed)}")
            raise FileNotFoundError(
                f"There is no version {', '.join(map(str, sorted(self.policy.versions)))} in {self.directory}, "
                f"expected one of {', '.join(map(str, sorted(version_directories(self.directory))))}."
            )
        self._thread = threading.Thread(target=self._watch, args=(poll,), name="versions", daemon=True)
        self._thread.start()
        return self

    def _watch(self, poll: float) -> None:
        while not self._stop.wait(poll):
            try:
                self.look()
            except Exception:
                logging.exception("%s: looking for versions failed.", self.name)

    @contextmanager
    def using(self, name: str | None = None, version: int | None = None, label: str = "") -> Iterator[Version]:
        """The version that a request asks for, kept until the request is done.

        Raises:
            NotFound: There is no such model, version or label.
        """
        with self._lock:
            found = self._loaded[self._number(name, version, label)]
            found.users += 1
        try:
            yield found
        finally:
            with self._lock:
                found.users -= 1

    def _number(self, name: str | None, version: int | None, label: str) -> int:
        if name not in (None, "", self.name):
            raise NotFound(f"There is no model {name!r}, expected {self.name!r}.")
        if label:
            if label not in self._labels.now:
                errors = {number: state.error for number, state in self.states.items()}
                raise NotFound(self._labels.missing(label, self.name, errors))
            return self._labels.now[label]
        if not self._loaded or version not in (None, *self._loaded):
            expected = ", ".join(map(str, sorted(self._loaded))) or "none, as there is none that works"
            asked = "version" if version is None else f"version {version}"
            raise NotFound(f"There is no {asked} of {self.name}, expected {expected}.")
        return max(self._loaded) if version is None else version

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], **which) -> dict[str, np.ndarray]:
        """All outputs for one request; `which` as `using` takes it."""
        with self.using(**which) as version:
            return checked(joined([future.result() for future in version.submit(signature, inputs)]), None)

    def status(self, name: str | None = None, version: int | None = None, label: str = "") -> dict[int, State]:
        """Version -> what is known of it, newest first; of one version where one is asked for."""
        if label:
            with self._lock:
                version = self._number(name, version, label)
        if name not in (None, "", self.name):
            raise NotFound(f"There is no model {name!r}, expected {self.name!r}.")
        if version is not None and version not in self.states:
            known = ", ".join(map(str, sorted(self.states)))
            raise NotFound(f"There is no version {version} of {self.name}, expected {known}.")
        return {
            number: self.states[number] for number in sorted(self.states, reverse=True) if version in (None, number)
        }

    @property
    def versions(self) -> list[int]:
        """Those that answer now, the oldest first."""
        return sorted(self._loaded)

    def close(self, drop: bool = False) -> None:
        """Answers what is waiting, or drops it, then frees all versions."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        for version in [*self._loaded.values(), *self._leaving]:
            version.close(drop)
        self._loaded, self._leaving = {}, []


def checked(outputs: Mapping[str, np.ndarray], chosen: Sequence[str] | None) -> dict[str, np.ndarray]:
    """The outputs that were asked for.

    Raises:
        InvalidRequest: None of the pictures could be read. TF Serving answers with empty masks and the texts in
            `error`; here the status says so.
    """
    errors = outputs.get("error")
    if errors is not None and all(errors):
        raise InvalidRequest(errors[0].decode())
    return {key: outputs[key] for key in chosen or outputs}
