"""SavedModels without a network, for tests of the server itself: written in a moment, their answers known."""

import contextlib
import http.client
import json
import threading
import time

import grpc
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from segformer_tf.serving.server import ModelServer


def write_servable(directory, factor=1.0):
    """`serving_default`: bytes -> the same bytes, `error` for "bad"; `logits`: pixels times `factor`; `uint8`."""

    def signature(function, shape, dtype, name):
        spec = tf.TensorSpec(shape, dtype, name)
        return tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()

    def echo(image_bytes):
        return {"mask_bytes": image_bytes, "error": tf.where(image_bytes == b"bad", b"It is bad.", b"")}

    def logits(pixel_values):
        return {"logits": pixel_values * factor}

    def tensor(images):
        tf.debugging.assert_none_equal(images, tf.constant(13, tf.uint8), message="13 is not answered.")
        return {"labels": images[..., 0]}

    module = tf.Module()
    signatures = {
        "serving_default": signature(echo, (None,), tf.string, "image_bytes"),
        "logits": signature(logits, (None, None, None, 3), tf.float32, "pixel_values"),
        "uint8": signature(tensor, (None, None, None, 3), tf.uint8, "images"),
    }
    tf.saved_model.save(module, str(directory), signatures)
    return directory


@contextlib.contextmanager
def serving(directory, **options):
    """A running server of one model directory."""
    with ModelServer(directory, "small", grpc_port=0, rest_port=0, **options) as server:
        yield server


@contextlib.contextmanager
def held(server):
    """Batches wait until the event is set; it is set at the end. The first batch that waits has begun."""
    go, begun = threading.Event(), threading.Event()
    with server.model.using() as version:
        servable = version.servable
    run = servable.run

    def waiting(*arguments):
        begun.set()
        assert go.wait(30)
        return run(*arguments)

    servable.run = waiting
    try:
        yield go, begun
    finally:
        go.set()
        servable.run = run


def rest(server, body=None, path=":predict", headers=None):
    """(status, answer) of a REST call; `body` None is a GET; `path` follows the model's, or begins with /."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    path = path if path.startswith("/v1") or path.startswith("/m") or path == "/healthz" else f"/v1/models/small{path}"
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    try:
        connection.request("GET" if body is None else "POST", path, data, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        kind = answer.headers.get("content-type", "")
        return answer.status, json.loads(text) if kind == "application/json" else text.decode()
    finally:
        connection.close()


def stub(server, channel=None):
    channel = channel or grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict_request(signature="", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "small", signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(value if isinstance(value, TensorProto) else tf.make_tensor_proto(value))
    return request


def until(condition, seconds=20):
    """Waits until it is true, and says whether it was in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
