"""`runtime="auto"`: the faster of two that agree on the labels."""

import time

import numpy as np
import pytest

from segformer_tf import SegformerImageProcessor
from segformer_tf.pipelines import loading
from segformer_tf.pipelines.loading import Fitted, candidate, fastest
from segformer_tf.pipelines.predict import How
from segformer_tf.pipelines.runtimes.description import Description

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
    monkeypatch.setattr(loading, "converted", lambda model, backend, size: openvino)
    assert fastest(keras, PROCESSOR, "openvino").backend == chosen
    assert f"computing with {chosen}" in capsys.readouterr().err


def test_without_openvino_the_model_itself_is_taken_and_what_to_install_is_said(monkeypatch, capsys):
    def missing(model, backend, size):
        raise ImportError("OpenVINO")

    monkeypatch.setattr(loading, "converted", missing)
    keras = Slow("tensorflow", 1)
    assert fastest(keras, PROCESSOR, "openvino") is keras
    assert "pip install openvino" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["converting", "computing"])
def test_a_runtime_that_fails_leaves_the_model_itself_and_says_why(where, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("Op is not supported\nand a stack")

    monkeypatch.setattr(loading, "converted", broken if where == "converting" else lambda *_: broken)
    keras = Slow("tensorflow", 1)
    assert fastest(keras, PROCESSOR, "openvino") is keras
    told = capsys.readouterr().err
    assert "with TensorFlow (openvino cannot: Op is not supported" in told and told.count("\n") == 1


ANY_SIZE = SegformerImageProcessor(size={"shortest_edge": 64})


@pytest.mark.parametrize(
    ("avx512", "installed", "processor", "how", "pictures", "chosen"),
    [
        (True, True, PROCESSOR, How(), 400, "openvino"),
        (False, True, PROCESSOR, How(), 400, "litert"),
        (False, True, PROCESSOR, How(), 399, None),  # it takes longer to make
        (True, True, PROCESSOR, How(), 100, "openvino"),
        (True, True, PROCESSOR, How(), 99, None),
        (False, False, PROCESSOR, How(), 100, "openvino"),
        (False, True, ANY_SIZE, How(), 400, "openvino"),
        (False, True, PROCESSOR, How(mode="slide"), 400, "openvino"),
        (False, True, PROCESSOR, How(scales=(1.0, 1.5)), 400, "openvino"),
    ],
)
def test_what_is_tried_depends_on_the_processor_and_the_pictures(
    avx512, installed, processor, how, pictures, chosen, monkeypatch
):
    monkeypatch.setattr(loading, "has_avx512", lambda: avx512)
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: name if installed else None)
    assert candidate(processor, how, pictures) == chosen


def test_the_processor_s_flags_are_read(monkeypatch):
    flags = {"flags\t\t: fpu avx2 avx512f avx512cd\n": True, "flags\t\t: fpu avx2\n": False, "x avx512f": False}
    for text, expected in flags.items():
        monkeypatch.setattr(loading.Path, "read_text", lambda *_, text=text: text)
        assert loading.has_avx512() is expected
    monkeypatch.setattr(loading.Path, "exists", lambda _: False)
    assert loading.has_avx512() is False


def test_a_file_of_one_size_answers_for_that_size_and_the_model_for_the_others():
    class Sized(Slow):
        source, description, size = "a file", Description("", {}), (64, 96)

        def __call__(self, pixel_values):
            return np.full((len(pixel_values), 1), self.label)

    runtime = Fitted(Sized("litert", 0, label=1), Sized("tensorflow", 0, label=2))
    assert runtime.size is None and runtime.backend == "litert"
    for size, label, backend in (((64, 96), 1, "litert"), ((96, 64), 2, "tensorflow"), ((64, 96), 1, "litert")):
        assert runtime(np.zeros((2, *size, 3), np.float32)).tolist() == [[label]] * 2
        assert runtime.backend == backend
