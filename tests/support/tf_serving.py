"""What TF Serving does with a request, in a process that has TensorFlow but neither Keras nor the package under test.

`python tf_serving.py VERSION_DIRECTORY REQUESTS RESPONSES` answers the files in REQUESTS by name: each a
serialized PredictRequest (.pb), or a JSON body of the REST interface with one encoded picture a row (.json). It writes
PredictResponses and JSON bodies of the same names, replays the warm-up file first, and prints one JSON line about it.
"""

import base64
import json
import os
import sys
from pathlib import Path

sys.modules["segformer_tf"] = None  # an import of either is an error from here on
sys.modules["keras"] = None
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2  # noqa: E402


class Server:
    def __init__(self, directory):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self.session, ["serve"], directory)
        self.signatures = loaded.signature_def

    def predict(self, request):
        signature = self.signatures[request.model_spec.signature_name or "serving_default"]
        assert signature.method_name == "tensorflow/serving/predict"
        assert set(request.inputs) == set(signature.inputs), "the inputs' names"
        feed = {}
        for key, proto in request.inputs.items():
            info = signature.inputs[key]
            assert proto.dtype == info.dtype, "the input's type"
            assert tf.TensorShape(proto.tensor_shape).is_compatible_with(tf.TensorShape(info.tensor_shape)), "its shape"
            feed[info.name] = tf.make_ndarray(proto)
        keys = list(request.output_filter) or list(signature.outputs)
        values = self.session.run([signature.outputs[key].name for key in keys], feed)
        response = predict_pb2.PredictResponse()
        for key, value in zip(keys, values, strict=True):
            assert signature.outputs[key].dtype == tf.as_dtype(value.dtype).as_datatype_enum, "the output's type"
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    def predict_json(self, body):
        pictures = [base64.b64decode(row["image_bytes"]["b64"]) for row in json.loads(body)["instances"]]
        request = predict_pb2.PredictRequest()
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(pictures))
        answer = {key: tf.make_ndarray(proto) for key, proto in self.predict(request).outputs.items()}
        masks = [{"b64": base64.b64encode(mask).decode()} for mask in answer["mask_bytes"]]
        columns = {
            "labels": answer["labels"].tolist(),
            "mask_bytes": masks,
            "error": [e.decode() for e in answer["error"]],
        }
        return json.dumps(
            {"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}
        )

    def warm_up(self, file):
        names = []
        for record in tf.compat.v1.io.tf_record_iterator(str(file)):
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            self.predict(request)
            names.append(request.model_spec.signature_name)
        return names


directory, requests, responses = sys.argv[1:]
server = Server(directory)
warmed = server.warm_up(Path(directory, "assets.extra", "tf_serving_warmup_requests"))
for file in sorted(Path(requests).iterdir()):
    if file.suffix == ".json":
        Path(responses, file.name).write_text(server.predict_json(file.read_text()))
    else:
        request = predict_pb2.PredictRequest.FromString(file.read_bytes())
        Path(responses, file.name).write_bytes(server.predict(request).SerializeToString())

loaded = tf.saved_model.load(directory)
for file in sorted(Path(requests).glob("*.pb")):
    request = predict_pb2.PredictRequest.FromString(file.read_bytes())
    answer = loaded.signatures["serving_default"](
        image_bytes=tf.constant(tf.make_ndarray(request.inputs["image_bytes"]))
    )
    Path(responses, f"{file.stem}.loaded.png").write_bytes(answer["mask_bytes"].numpy()[0])
print(json.dumps({"warmed": warmed, "signatures": sorted(server.signatures)}))
