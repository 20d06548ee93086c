"""An exported directory as a server loads it: by its tag, signatures from the file, a session; needs TensorFlow only.

This is TF Serving's way through a Predict request, so what holds here holds there: names, dtypes and shapes are checked
against the signature, then the session runs once. Nothing of the package that made the directory is imported.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

DEFAULT_SIGNATURE = "serving_default"
TAG = "serve"


class InvalidRequest(ValueError):
    """The request cannot be answered, and the message says why: INVALID_ARGUMENT, for its client only."""


class NotFound(LookupError):
    """There is no such model or version: NOT_FOUND."""


class Servable:
    """One version of a model. `predict` answers one request; `check` alone says whether it can be run."""

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        self.version = int(self.directory.name) if self.directory.name.isdigit() else 1
        if not (self.directory / "saved_model.pb").is_file():
            raise FileNotFoundError(
                f"There is no saved_model.pb in {directory}; expected a directory that export wrote."
            )
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        with graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, [TAG], os.fspath(directory))
        self.signatures = {name: d for name, d in loaded.signature_def.items() if not name.startswith("__")}

    def signature(self, name: str):
        """The SignatureDef; "" is `serving_default`."""
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise InvalidRequest(
                f"There is no signature {name!r}, expected one of {', '.join(sorted(self.signatures))}."
            )
        return self.signatures[name]

    def check(self, name: str, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises InvalidRequest where a server would, before anything runs."""
        wanted = self.signature(name).inputs
        if set(inputs) != set(wanted):
            raise InvalidRequest(
                f"The inputs are {', '.join(sorted(inputs)) or 'none'}, expected {', '.join(sorted(wanted))} "
                f"for the signature {name or DEFAULT_SIGNATURE!r}."
            )
        for key, info in wanted.items():
            dtype, shape = tf.dtypes.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
            found = tf.dtypes.as_dtype(inputs[key].dtype)
            if found != dtype and not (dtype == tf.string and inputs[key].dtype.kind in "OSU"):
                raise InvalidRequest(f"{key} is {found.name}, expected {dtype.name}: convert it.")
            if not shape.is_compatible_with(inputs[key].shape):
                raise InvalidRequest(f"{key} has shape {inputs[key].shape}, expected {shape}: reshape it.")
            if 0 in inputs[key].shape:
                raise InvalidRequest(f"{key} is empty, of shape {inputs[key].shape}, expected a batch of at least one.")

    def run(self, name: str, inputs: Mapping[str, np.ndarray], outputs=None) -> dict[str, np.ndarray]:
        """Runs a checked request; `outputs` are the names wanted, all by default."""
        signature = self.signature(name)
        chosen = list(outputs or signature.outputs)
        if unknown := sorted(set(chosen) - set(signature.outputs)):
            raise InvalidRequest(f"There is no output {', '.join(unknown)}, expected {', '.join(signature.outputs)}.")
        feed = {signature.inputs[key].name: value for key, value in inputs.items()}
        try:
            values = self._session.run([signature.outputs[key].name for key in chosen], feed)
        except tf.errors.InvalidArgumentError as error:
            raise InvalidRequest(_cause(error.message)) from None
        return dict(zip(chosen, values, strict=True))

    def predict(self, name: str, inputs: Mapping[str, np.ndarray], outputs=None) -> dict[str, np.ndarray]:
        """Checks and runs one request."""
        self.check(name, inputs)
        return self.run(name, inputs, outputs)

    def close(self) -> None:
        self._session.close()


def _cause(message: str) -> str:
    """The sentence of an assertion in the graph, or the first line that says more than that there was an error."""
    asserted = re.search(r"assertion failed: \[(.*?)\]", message)
    lines = [line for line in message.splitlines() if line.strip() and line != "Graph execution error:"]
    return asserted[1] if asserted else lines[0].strip()


def latest_version(directory: str | os.PathLike) -> Path:
    """The version directory with the highest number, which is the one that TF Serving serves."""
    versions = (
        [entry for entry in Path(directory).iterdir() if entry.name.isdigit()] if Path(directory).is_dir() else []
    )
    if not versions:
        raise FileNotFoundError(f"There is no version directory such as 1/ in {directory}: export a SavedModel there.")
    return max(versions, key=lambda entry: int(entry.name))
