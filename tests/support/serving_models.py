"""What the tests of export and serving share: tiny models, pictures, one exported directory."""

import atexit
import base64
import functools
import io
import json
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from PIL import Image
from reference import SMALL
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForSemanticSegmentation
from segformer_tf.export.export import export
from segformer_tf.serving.server import ModelServer

SIZE = (64, 96)
SMALLEST = {
    **{key: value for key, value in SMALL.items() if key != "num_labels"},
    "id2label": {0: "road", 1: "sky", 2: "tree", 3: "car", 4: "person"},
}


def random_model(cls=TFSegformerForSemanticSegmentation, data_format="channels_last", dtype=None, **config):
    """A model whose answer depends on the picture."""
    model = cls(SegformerConfig(**{**SMALLEST, **config}), data_format=data_format, dtype=dtype)
    random = np.random.default_rng(1)
    for variable in model.weights:
        values = random.normal(0, 0.5, variable.shape)
        positive = variable.path.endswith(("gamma", "moving_variance"))
        variable.assign(np.abs(values) + 0.5 if positive else values)
    return model


@functools.cache
def model():
    return random_model()


def processor(**settings):
    return SegformerImageProcessor(**{"size": SIZE, **settings})


@functools.cache
def exported() -> Path:
    """`.../street` with version 1."""
    parent = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    export(model(), parent / "street", processor=processor())
    return parent / "street"


@functools.cache
def loaded():
    """The signatures of version 1, read back."""
    loaded.kept = tf.saved_model.load(str(exported() / "1"))  # the functions do not keep their variables alive
    return loaded.kept.signatures


@functools.cache
def running_server() -> ModelServer:
    server = ModelServer(exported(), grpc_port=0, rest_port=0, batch_timeout=0.02).start()
    atexit.register(server.stop)
    return server


@functools.cache
def running_stub():
    channel = grpc.insecure_channel(f"127.0.0.1:{running_server().grpc_port}")
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request_for(files, signature="", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "street"
    request.model_spec.signature_name = signature
    for key, value in (inputs or {"image_bytes": files}).items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def post(body, path="/v1/models/street:predict"):
    """(status, answer) of a REST call; `body` None is a GET."""
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{running_server().rest_port}{path}", data) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth patches of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def ten_files() -> list[bytes]:
    """Ten pictures of different sizes, JPEG and PNG, RGB and grey, one of each that EXIF turns."""
    sizes = [(40, 60), (64, 96), (31, 47), (90, 33), (120, 160), (64, 64), (35, 101), (77, 50), (128, 96), (50, 210)]
    turned, files = Image.Exif(), []
    turned[0x0112] = 6
    for i, (height, width) in enumerate(sizes):
        image = picture(height, width, seed=i)
        image = image.convert("L") if i in (4, 5) else image
        options = {"exif": turned} if i in (3, 6) else {}
        options |= {"quality": 80} if i % 2 else {}
        files.append(encoded(image, "JPEG" if i % 2 else "PNG", **options))
    return files
