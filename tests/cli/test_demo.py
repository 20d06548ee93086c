"""`demo`: what it serves, and calls that cannot be served."""

import socket
import sys

import pytest
from reference import FIXTURES, ROOT

from segformer_tf.cli import demo
from segformer_tf.page import app


@pytest.fixture
def served(monkeypatch):
    """What the page would be served with."""
    calls = []
    monkeypatch.setattr(app, "serve", lambda *given: calls.append(given))
    return calls


def test_the_page_offers_the_bundled_model_to_this_computer(call, served):
    assert call("demo")[0] == 0
    assert served == [(["segformer-b0-camvid"], "auto", "127.0.0.1", 7860, ROOT / "examples" / "china.jpg")]


def test_models_runtime_and_address_are_the_callers(call, served):
    tiny = str(FIXTURES / "hf4-seg")
    arguments = [
        "--model",
        tiny,
        "--model",
        tiny,
        "--model",
        "b.onnx",
        "--runtime",
        "onnx",
        "--port",
        80,
        "--host",
        "::1",
    ]
    assert call("demo", *arguments)[0] == 0
    assert served[0][:4] == ([tiny, "b.onnx"], "onnx", "::1", 80)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "segformer-b0-camvit"], "did you mean segformer-b0-camvid?"),
        (["--port", "0"], "--port"),
        (["--runtime", "tflite"], "tflite"),
    ],
)
def test_a_wrong_call_is_told(call, served, arguments, told):
    status, _, stderr = call("demo", *arguments)
    assert status == 2 and told in stderr and not served


def test_without_gradio_the_extra_is_named(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    status, _, stderr = call("demo")
    assert status == 1 and stderr.endswith("The page needs gradio: pip install 'segformer-tf[demo]'.\n")


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(call):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, stderr = call("demo", "--port", port)
    assert status == 1 and f"Port {port} of 127.0.0.1 cannot be listened on" in stderr and stderr.count("\n") == 1


def test_the_example_is_the_packages_or_none(monkeypatch, tmp_path):
    assert demo.example() == ROOT / "examples" / "china.jpg"
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    assert demo.example() is None
