"""The local server over both interfaces, the harness that does what TF Serving does, and the pipeline: one answer."""

import base64
import concurrent.futures
import json
import os
import subprocess
import sys
import time
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from reference import ROOT
from serving_models import (
    b64,
    decoded,
    encoded,
    exported,
    model,
    picture,
    post,
    processor,
    random_model,
    request_for,
    ten_files,
)
from serving_models import running_server as server
from serving_models import running_stub as stub
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from segformer_tf import ImageClassificationPipeline, SegmentationPipeline, TFSegformerForImageClassification
from segformer_tf.export.export import export
from segformer_tf.serving.directories import latest_version
from segformer_tf.serving.servable import Servable
from segformer_tf.serving.server import ModelServer

FILE = encoded(picture(40, 60), "JPEG")


@pytest.mark.parametrize("frozen", ["0", "1"], ids=["as it is", "weights assumed frozen"])
def test_rest_grpc_harness_reloaded_and_pipeline_give_the_same_labels(frozen, tmp_path):
    files = ten_files()
    pipeline = SegmentationPipeline(model(), processor())
    expected = [pipeline(file).labels for file in files]
    assert len({labels.shape for labels in expected}) == 10 and len(np.unique(np.concatenate(expected, None))) > 2
    for directory in ("requests", "responses"):
        (tmp_path / directory).mkdir()
    for i, file in enumerate(files):
        (tmp_path / f"requests/{i}.pb").write_bytes(request_for([file]).SerializeToString())
    body = json.dumps({"instances": [{"image_bytes": b64(file)} for file in files]})
    (tmp_path / "requests/all.json").write_text(body)
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "support" / "tf_serving.py"), str(exported() / "1")]
    done = subprocess.run(
        [*command, tmp_path / "requests", tmp_path / "responses"],
        env={**os.environ, "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": frozen},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["warmed"] == ["serving_default", "segment_tensor", "logits", "transformers"]

    harness_rows = json.loads((tmp_path / "responses/all.json").read_text())["predictions"]
    rest_rows = post(body.encode())[1]["predictions"]
    grpc_batch = tf.make_ndarray(stub().Predict(request_for(files)).outputs["mask_bytes"])
    for i, labels in enumerate(expected):
        single = predict_pb2.PredictResponse.FromString((tmp_path / f"responses/{i}.pb").read_bytes())
        answers = {
            "harness, a request each": tf.make_ndarray(single.outputs["mask_bytes"])[0],
            "harness, one batch": base64.b64decode(harness_rows[i]["mask_bytes"]["b64"]),
            "reloaded": (tmp_path / f"responses/{i}.loaded.png").read_bytes(),
            "REST": base64.b64decode(rest_rows[i]["mask_bytes"]["b64"]),
            "gRPC": grpc_batch[i],
        }
        for source, mask in answers.items():
            np.testing.assert_array_equal(decoded(mask), labels, err_msg=f"{source}, picture {i}")


@pytest.mark.long
def test_two_versions_keep_their_own_weights_where_these_are_assumed_frozen(tmp_path):
    models = [model(), random_model()]
    for variable in models[1].weights:
        variable.assign(variable * 0.8)
    pixels = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    directories = [export(each, tmp_path / "street", processor=processor(), names=["logits"]).path for each in models]
    code = """
import sys
import numpy as np
from segformer_tf.serving.servable import Servable
*directories, parent = sys.argv[1:]
loaded = [Servable(directory) for directory in directories]
for _ in range(2):
    for i, servable in enumerate(loaded):
        answer = servable.predict("logits", {"pixel_values": np.load(f"{parent}/pixels.npy")})
        np.save(f"{parent}/{i}.npy", answer["logits"])
"""
    frozen = {**os.environ, "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, *directories, tmp_path], env=frozen, check=True)
    for i, each in enumerate(models):
        expected = np.asarray(each(pixels, training=False)["logits"])
        np.testing.assert_allclose(
            np.load(tmp_path / f"{i}.npy"), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
        )


def test_rest_takes_rows_and_columns_and_other_signatures():
    status, rows = post({"instances": [b64(FILE), b64(FILE)]})
    assert status == 200 and len(rows["predictions"]) == 2
    assert set(rows["predictions"][0]) == {"labels", "mask_bytes", "error"}
    status, columns = post({"inputs": {"image_bytes": [b64(FILE)]}})
    assert status == 200 and columns["outputs"]["mask_bytes"] == [rows["predictions"][0]["mask_bytes"]]
    image = np.asarray(picture(40, 60))
    status, labels = post({"signature_name": "segment_tensor", "instances": [image.tolist()]})
    expected = SegmentationPipeline(model(), processor())(image).labels
    assert status == 200
    np.testing.assert_array_equal(labels["predictions"][0], expected)


def test_status_and_metadata_are_told_over_both_interfaces():
    status, answer = post(None, "/v1/models/street")
    assert status == 200 and answer["model_version_status"][0]["state"] == "AVAILABLE"
    assert post(None, "/v1/models/street/versions/1")[0] == 200
    status, answer = post(None, "/v1/models/street/metadata")
    assert set(answer["metadata"]["signature_def"]["signature_def"]) == set(
        {"serving_default", "segment_tensor", "logits", "transformers"}
    )
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "street"
    packed = stub().GetModelMetadata(request).metadata["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert packed.Unpack(signatures) and "serving_default" in signatures.signature_def
    with grpc.insecure_channel(f"127.0.0.1:{server().grpc_port}") as channel:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "street"
        state = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request).model_version_status[0]
    assert (state.version, state.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)


def test_thirty_two_pictures_of_different_sizes_fit_grpcs_own_limit():
    files = [encoded(picture(40 + i, 300 - 3 * i, seed=i), "JPEG" if i % 2 else "PNG") for i in range(32)]
    response = stub().Predict(request_for(files))  # a client's default limit is 4 MB
    shapes = [decoded(mask).shape for mask in tf.make_ndarray(response.outputs["mask_bytes"])]
    assert shapes == [(40 + i, 300 - 3 * i) for i in range(32)]


def test_the_answer_for_one_512_picture_is_small():
    file = encoded(picture(512, 512), "JPEG")
    assert stub().Predict(request_for([file])).ByteSize() < 300_000
    assert len(json.dumps(post({"instances": [b64(file)]})[1])) < 300_000


def test_outputs_can_be_chosen():
    request = request_for([FILE])
    request.output_filter.append("mask_bytes")
    assert list(stub().Predict(request).outputs) == ["mask_bytes"]


def test_requests_of_many_clients_are_merged_and_each_gets_its_own_answer():
    files = [*ten_files(), b"junk", FILE[:400]]
    alone = [stub().Predict(request_for([file])).outputs["mask_bytes"].string_val[0] for file in files[:10]]
    with server().model.using() as version:
        batcher = version.batcher
    before = batcher.batches

    def ask(file):
        try:
            return stub().Predict(request_for([file])).outputs["mask_bytes"].string_val[0]
        except grpc.RpcError as error:
            return error.code()

    with concurrent.futures.ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(ask, files))
    assert answers[:10] == alone
    assert answers[10:] == [grpc.StatusCode.INVALID_ARGUMENT] * 2
    assert batcher.batches - before < 12


def test_eight_clients_for_a_while_see_no_error():
    """The short form of `make soak`."""
    end, files = time.monotonic() + 2, ten_files()

    def client(number):
        answers = 0
        with grpc.insecure_channel(f"127.0.0.1:{server().grpc_port}") as channel:
            own = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while time.monotonic() < end or not answers:
                response = own.Predict(request_for([files[(number + answers) % 10]]))
                assert response.outputs["error"].string_val == [b""]
                answers += 1
        return answers

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(client, range(8))) >= 8


def test_a_directory_without_a_version_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no version directory such as 1/ in"):
        latest_version(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no saved_model.pb in"):
        Servable(tmp_path)
    for name in ("2", "10", ".draft-3"):
        (tmp_path / name).mkdir()
    assert latest_version(tmp_path) == tmp_path / "10"


def test_a_taken_port_is_named():
    other = ModelServer(exported())
    for other.grpc_port, other.rest_port in ((server().grpc_port, 0), (0, server().rest_port)):
        with pytest.raises(OSError, match=r"cannot be opened( \(Address .* in use\))?: choose another"):
            other.start()
    other.model.close()


@pytest.mark.parametrize("key", ["grpc_port", "rest_port"])
def test_a_port_that_there_is_not_is_refused_where_grpc_would_take_another(key):
    with pytest.raises(ValueError, match=f"{key} is 80000, expected 0, for any free one, to 65535"):
        ModelServer(exported(), **{key: 80000})


def test_a_host_that_is_not_known_is_told_as_such():
    other = ModelServer(exported(), host="nowhere.invalid", grpc_port=0, rest_port=0)
    with pytest.raises(OSError, match=r"of nowhere\.invalid cannot be opened \(.*(not known|resolution).*\): choose"):
        other.start()
    other.model.close()


def test_a_classifier_is_served_over_both_interfaces(tmp_path):
    classifier = random_model(TFSegformerForImageClassification, id2label={0: "cat", 1: "dog", 2: "owl"})
    export(classifier, tmp_path / "animals", processor=processor())
    expected = ImageClassificationPipeline(classifier, processor())(FILE)
    running = ModelServer(tmp_path / "animals", grpc_port=0, rest_port=0).start()
    try:
        url = f"http://127.0.0.1:{running.rest_port}/v1/models/animals:predict"
        with urllib.request.urlopen(url, json.dumps({"instances": [b64(FILE)]}).encode()) as answer:
            row = json.load(answer)["predictions"][0]
        request = request_for([FILE])
        request.model_spec.name = "animals"
        with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            outputs = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request).outputs
    finally:
        running.stop()
    assert row["classes"] == [name.decode() for name in tf.make_ndarray(outputs["classes"])[0]]
    assert row["classes"] == [found["label"] for found in expected]
    np.testing.assert_allclose(row["scores"], [found["score"] for found in expected], rtol=1e-4)
    np.testing.assert_allclose(tf.make_ndarray(outputs["scores"])[0], row["scores"], rtol=1e-4)
