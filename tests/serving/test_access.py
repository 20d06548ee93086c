"""Health, metrics, TLS and the token, over both interfaces."""

import json
import re
import ssl
import subprocess
import urllib.request

import grpc
import pytest
from small_servables import predict_request, rest, serving, stub

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


def test_both_endpoints_speak_tls(directory, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    with serving(directory, certificate=(certificate, key)) as server:
        trusted = ssl.create_default_context(cafile=str(certificate))
        url = f"https://localhost:{server.rest_port}/v1/models/small:predict"
        with urllib.request.urlopen(url, json.dumps(GOOD).encode(), context=trusted) as answer:
            assert answer.status == 200
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{server.grpc_port}", credentials) as channel:
            assert stub(server, channel).Predict(predict_request(image_bytes=[b"x"])).outputs
