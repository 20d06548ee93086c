"""Health, metrics, TLS and the token, over both interfaces."""

import json
import re
import ssl
import urllib.request

import grpc
import pytest
from small_servables import predict_request, rest, serving, stub

from segformer_tf.serving.server import ModelServer

GOOD = {"instances": ["picture"]}
METRICS = "/monitoring/prometheus/metrics"


def health(channel):
    call = channel.unary_unary("/grpc.health.v1.Health/Check")
    return call(b"")


def test_health_says_whether_requests_are_answered(small):
    assert rest(small, path="/healthz") == (200, "ok\n")
    with grpc.insecure_channel(f"127.0.0.1:{small.grpc_port}") as channel:
        assert health(channel) == b"\x08\x01"


def test_metrics_have_tf_servings_names(small):
    rest(small, GOOD)
    rest(small, {"instances": [5]})
    stub(small).Predict(predict_request(image_bytes=[b"x"]))
    status, text = rest(small, path=METRICS)
    assert status == 200
    values = {name: float(value) for name, value in re.findall(r"^(:\S+) (\S+)$", text, re.MULTILINE)}
    ok = values[':tensorflow:serving:request_count{model_name="small",status="OK"}']
    assert ok >= 2 and values[':tensorflow:serving:request_count{model_name="small",status="INVALID_ARGUMENT"}'] >= 1
    latency = ':tensorflow:serving:request_latency{}{{model_name="small",API="predict",entrypoint="REST"{}}}'
    count = values[latency.format("_count", "")]
    assert count >= 2 and values[latency.format("_bucket", ',le="+Inf"')] == count
    assert values[latency.format("_bucket", ',le="10"')] <= count < values[latency.format("_sum", "")]
    assert "# TYPE :tensorflow:serving:request_latency histogram\n" in text
    assert re.search(r':tensorflow:cc:saved_model:load_attempt_count\{model_path=".*/1",status="success"\} 1\n', text)


def test_a_token_is_wanted_for_all_but_health(directory):
    with serving(directory, token="secret") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            assert rest(server, GOOD, headers=headers)[0] == rest(server, path=METRICS, headers=headers)[0] == 401
            assert rest(server, path="/versions/" + "9" * 5000, headers=headers)[0] == 401
        right = {"Authorization": "Bearer secret"}
        assert rest(server, GOOD, headers=right)[0] == rest(server, path="", headers=right)[0] == 200
        assert rest(server, path="/healthz")[0] == 200
        request = predict_request(image_bytes=[b"x"])
        with pytest.raises(grpc.RpcError) as failed:
            stub(server).Predict(request)
        assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert stub(server).Predict(request, metadata=[("authorization", "Bearer secret")]).outputs
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            assert health(channel) == b"\x08\x01"


def test_files_that_are_no_certificate_are_told_as_such_and_not_as_a_taken_port(directory, fixtures, tmp_path):
    certificate, key = fixtures / "tls/certificate.pem", tmp_path / "key.pem"
    told = r"certificate\.pem and .*key\.pem are no certificate and its key, in PEM \(.+\): correct them"
    for text in (None, "", certificate.read_text()):
        if text is not None:
            key.write_text(text)
        server = ModelServer(directory, grpc_port=0, rest_port=0, certificate=(certificate, key))
        with pytest.raises(OSError, match=told):
            server.start()
        server.model.close()


def test_both_endpoints_speak_tls(directory, fixtures):
    certificate, key = fixtures / "tls/certificate.pem", fixtures / "tls/key.pem"  # of localhost, until 2120
    with serving(directory, certificate=(certificate, key)) as server:
        trusted = ssl.create_default_context(cafile=str(certificate))
        url = f"https://localhost:{server.rest_port}/v1/models/small:predict"
        with urllib.request.urlopen(url, json.dumps(GOOD).encode(), context=trusted) as answer:
            assert answer.status == 200
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{server.grpc_port}", credentials) as channel:
            assert stub(server, channel).Predict(predict_request(image_bytes=[b"x"])).outputs
