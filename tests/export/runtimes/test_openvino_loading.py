"""OpenVINO and NNCF as they are loaded: nothing is sent, and Ctrl-C stays one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving_models import model

from segformer_tf.pipelines.runtimes import exported, openvino_files, runtime

# Of a program that converts; what it starts or asks the network for is written down.
CONVERTS = """
import sys, time
seen = []
watched = ("os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, _: seen.append(event) if event in watched else None)
from segformer_tf.pipelines.runtimes import openvino_files
openvino, nncf = openvino_files.load(), openvino_files.load("nncf")
from onnx import TensorProto, helper
ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 8]) for name in "xy"]
graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "g", ports[:1], ports[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
open(sys.argv[1] + "/model.onnx", "wb").write(model.SerializeToString())
made = openvino.convert_model(sys.argv[1] + "/model.onnx")
import numpy as np
nncf.quantize(made, nncf.Dataset([np.zeros((1, 8, 8), "float32")]))
time.sleep(0.5)  # it would be sent from a thread
assert not seen, seen
import openvino_telemetry  # other programs' is there again
"""


def test_using_openvino_and_nncf_sends_nothing(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", CONVERTS, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()  # where the telemetry keeps a number for this user


def test_an_interrupt_that_openvino_made_an_error_of_is_one_again(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise RuntimeError("Check 'ok' failed at a.cpp:1:\nKeyboardInterrupt: \n\nAt:\n  node.py(3)")

    with pytest.raises(KeyboardInterrupt):
        exported._readable("model.xml", interrupted)
    network = model()
    monkeypatch.setattr(type(network), "export", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runtime.export_quietly(network, tmp_path / "model.xml", "openvino", (None, 64, 64, 3))
    with pytest.raises(RuntimeError, match="other"), openvino_files.interruptible():
        raise RuntimeError("other")
