"""An exported directory as a server loads it: by its tag, signatures from the file, a session; needs TensorFlow only.

This is TF Serving's way through a Predict request, so what holds here holds there: names, dtypes and shapes are checked
against the signature, then the session runs once. Nothing of the package that made the directory is imported.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

DEFAULT_SIGNATURE = "serving_default"
TAG = "serve"


class Refused(Exception):
    """A request that is not answered, and the message says why: `code` over gRPC, `status` over REST."""

    code, status = "INTERNAL", 500


class InvalidRequest(Refused, ValueError):
    """The request cannot be answered; for its client only."""

    code, status = "INVALID_ARGUMENT", 400


class NotFound(Refused, LookupError):
    """There is no such model, version or label."""

    code, status = "NOT_FOUND", 404


class Claim(NamedTuple):
    """What a tensor says it is, known before any of it is built."""

    dtype: tf.DType
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: np.ndarray) -> "Claim":
        return cls(tf.string if array.dtype.kind in "OSU" else tf.dtypes.as_dtype(array.dtype), array.shape)


class Servable:
    """One version of a model. `predict` answers one request; `check` alone says whether it can be run."""

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
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

    def check(self, name: str, inputs: Mapping[str, Claim]) -> None:
        """Raises InvalidRequest where a server would, before anything runs."""
        wanted = self.signature(name).inputs
        if set(inputs) != set(wanted):
            raise InvalidRequest(
                f"The inputs are {', '.join(sorted(inputs)) or 'none'}, expected {', '.join(sorted(wanted))} "
                f"for the signature {name or DEFAULT_SIGNATURE!r}."
            )
        for key, info in wanted.items():
            dtype, shape, claim = tf.dtypes.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape), inputs[key]
            if claim.dtype != dtype:
                raise InvalidRequest(f"{key} is {claim.dtype.name}, expected {dtype.name}: convert it.")
            if not shape.is_compatible_with(claim.shape):
                raise InvalidRequest(f"{key} has shape {claim.shape}, expected {shape}: reshape it.")
            if 0 in claim.shape:
                raise InvalidRequest(f"{key} is empty, of shape {claim.shape}, expected a batch of at least one.")

    def check_outputs(self, name: str, outputs) -> None:
        """Raises InvalidRequest for an output that the signature does not have."""
        available = self.signature(name).outputs
        if unknown := sorted(set(outputs) - set(available)):
            raise InvalidRequest(f"There is no output {', '.join(unknown)}, expected {', '.join(available)}.")

    def run(self, name: str, inputs: Mapping[str, np.ndarray], outputs=None) -> dict[str, np.ndarray]:
        """Runs a checked request; `outputs` are the names wanted, all by default."""
        signature = self.signature(name)
        chosen = list(outputs or signature.outputs)
        self.check_outputs(name, chosen)
        feed = {signature.inputs[key].name: value for key, value in inputs.items()}
        try:
            values = self._session.run([signature.outputs[key].name for key in chosen], feed)
        except tf.errors.InvalidArgumentError as error:
            raise InvalidRequest(_cause(error.message)) from None
        return dict(zip(chosen, values, strict=True))

    def predict(self, name: str, inputs: Mapping[str, np.ndarray], outputs=None) -> dict[str, np.ndarray]:
        """Checks and runs one request."""
        self.check(name, {key: Claim.of(value) for key, value in inputs.items()})
        return self.run(name, inputs, outputs)

    def close(self) -> None:
        self._session.close()


def _cause(message: str) -> str:
    """The sentence of an assertion in the graph, or the first line that says more than that there was an error."""
    asserted = re.search(r"assertion failed: \[(.*?)\]", message)
    lines = [line for line in message.splitlines() if line.strip() and line != "Graph execution error:"]
    return asserted[1] if asserted else lines[0].strip()
