"""`runtime="auto"`: the faster of two that agree on the labels."""

import time

import numpy as np
import pytest

from segformer_tf import SegformerImageProcessor
from segformer_tf.pipelines import loading
from segformer_tf.pipelines.loading import fastest

PROCESSOR = SegformerImageProcessor(size={"height": 64, "width": 96})


class Slow:
    """A runtime that takes so many milliseconds and answers with one class everywhere."""

    model = None

    def __init__(self, backend: str, milliseconds: float, label: int = 0):
        self.backend, self.milliseconds, self.label = backend, milliseconds, label

    def __call__(self, pixel_values: np.ndarray) -> np.ndarray:
        assert pixel_values.shape == (1, 64, 96, 3)  # as the processor makes them
        time.sleep(self.milliseconds / 1000)
        return np.tile(np.eye(3, dtype=np.float32)[self.label], (1, 16, 24, 1))


@pytest.mark.parametrize(
    ("keras", "openvino", "chosen"),
    [
        (Slow("tensorflow", 20), Slow("openvino", 1), "openvino"),
        (Slow("tensorflow", 1), Slow("openvino", 20), "tensorflow"),
        (Slow("tensorflow", 20), Slow("openvino", 1, label=2), "tensorflow"),  # fast, but it sees something else
    ],
)
def test_the_faster_runtime_is_taken_where_the_labels_agree_and_named(keras, openvino, chosen, monkeypatch, capsys):
    monkeypatch.setattr(loading, "converted", lambda model, backend: openvino)
    assert fastest(keras, PROCESSOR).backend == chosen
    assert f"computing with {chosen}" in capsys.readouterr().err


def test_without_openvino_the_model_itself_is_taken_and_what_to_install_is_said(monkeypatch, capsys):
    def missing(model, backend):
        raise ImportError("OpenVINO")

    monkeypatch.setattr(loading, "converted", missing)
    keras = Slow("tensorflow", 1)
    assert fastest(keras, PROCESSOR) is keras
    assert "pip install openvino" in capsys.readouterr().err
