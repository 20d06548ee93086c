"""What is too much is refused before it takes memory or time, and the server stays free for others."""

import base64
import gzip
import io
import json
import socket
import struct
import threading
import time
import zlib

import grpc
import numpy as np
import pytest
from PIL import Image
from small_servables import held, predict_request, rest, serving, stub, until

from segformer_tf.serving.limits import Limits, picture_size, unpack
from segformer_tf.serving.servable import InvalidRequest

GOOD = {"instances": [{"b64": base64.b64encode(b"picture").decode()}]}


def png(width, height):
    """The header of a PNG, which is all that is looked at."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def jpeg(width, height):
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "JPEG", progressive=True)
    return file.getvalue()


def files(*data):
    return {"instances": [{"b64": base64.b64encode(each).decode()} for each in data]}


@pytest.mark.parametrize("file", [png(70, 40), jpeg(70, 40)])
def test_sizes_are_read_from_headers(file):
    assert picture_size(file) == (40, 70)
    assert picture_size(file[:20]) == (0, 0) == picture_size(b"") == picture_size(b"GIF89a" + bytes(20))


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (files(*[b"x"] * 9), 400, "image_bytes has 9 pictures, expected at most 8: send them in several requests."),
        (
            files(b"x", png(101, 100)),
            400,
            "Picture 1 of image_bytes is 101 x 100 pixels, expected at most 10000 in all",
        ),
        (files(jpeg(101, 100)), 400, "Picture 0 of image_bytes is 101 x 100 pixels"),
        (files(png(2**31 - 1, 2**31 - 1)), 400, "pixels, expected at most 10000 in all"),
        (files(*[png(100, 100)] * 3), 400, "The pictures have 30000 pixels, expected at most 20000 in a request"),
        ({"signature_name": "uint8", "instances": np.zeros((2, 51, 50, 3), int).tolist()}, 400, "has 5100 pixels"),
        (b" " * 100_001, 413, "The body is over 100000 bytes"),
    ],
)
def test_too_much_is_refused(small, body, status, message):
    found, answer = rest(small, body)
    assert found == status and message in answer["error"], answer
    assert rest(small, GOOD)[0] == 200


def test_as_many_pictures_as_the_limit_are_answered_in_several_batches(small):
    with small.model.using() as version:
        before = version.batcher.batches
        data = [b"%d" % i for i in range(8)]
        status, answer = rest(small, files(*data))
        assert version.batcher.batches - before == 2
    found = [base64.b64decode(row["mask_bytes"]["b64"]) for row in answer["predictions"]]
    assert status == 200 and found == data


def test_messages_and_pixels_are_limited_over_grpc_too(small):
    for inputs, code in [
        ({"image_bytes": [b"x" * 100_001]}, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ({"image_bytes": [png(101, 100)]}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"image_bytes": [b"x"] * 9}, grpc.StatusCode.INVALID_ARGUMENT),
    ]:
        with pytest.raises(grpc.RpcError) as failed:
            stub(small).Predict(predict_request(**inputs))
        assert failed.value.code() == code
    with pytest.raises(grpc.RpcError) as failed:  # unpacking has no limit in gRPC itself
        stub(small).Predict(predict_request(image_bytes=[b"x"]), compression=grpc.Compression.Gzip)
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_gzip_bodies_are_unpacked_up_to_the_limit(small):
    packed = {"Content-Encoding": "gzip"}
    assert rest(small, gzip.compress(json.dumps(GOOD).encode()), headers=packed)[0] == 200
    status, answer = rest(small, gzip.compress(bytes(20_000_000)), headers=packed)
    assert status == 413 and "unpacks to over 100000 bytes" in answer["error"]
    assert rest(small, gzip.compress(json.dumps(GOOD).encode())[:-3], headers=packed)[0] == 400
    assert rest(small, b"no gzip", headers=packed)[0] == 400


def test_what_follows_the_content_of_a_gzip_body_is_refused_and_not_dropped():
    body = gzip.compress(b"one ")
    assert unpack(body, 4) == unpack(body + bytes(5), 4) == b"one "  # zeros fill up
    for rest_ in (gzip.compress(b"two"), b"rest"):
        with pytest.raises(
            InvalidRequest, match=f"goes on for {len(rest_)} bytes after its content, expected one gzip"
        ):
            unpack(body + rest_, 100)


def test_a_full_queue_refuses_at_once_over_both_interfaces(small):
    with held(small) as (go, begun):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(rest(small, GOOD)[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert begun.wait(20) and until(lambda: small.gate.requests == 4)
        start = time.monotonic()
        status, answer = rest(small, GOOD)
        assert status == 429 and "4 requests are waiting, which is the limit" in answer["error"]
        with pytest.raises(grpc.RpcError) as failed:
            stub(small).Predict(predict_request(image_bytes=[b"x"]))
        assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert time.monotonic() - start < 5
        assert rest(small, path="")[0] == rest(small, path="/healthz")[0] == 200  # these do not wait in the queue
        go.set()
        for thread in threads:
            thread.join()
    assert answers == [200] * 4 and until(lambda: (small.gate.requests, small.gate.bytes) == (0, 0))


def test_work_of_clients_that_have_gone_is_dropped(small):
    with small.model.using() as version:
        batcher = version.batcher
    with held(small) as (go, begun):
        first = stub(small).Predict.future(predict_request(image_bytes=[b"first"]))
        assert begun.wait(20)
        before = batcher.batches
        gone = [stub(small).Predict.future(predict_request("logits", pixel_values=np.ones((1, 2, 2, 3), "f4")))]
        body = json.dumps(GOOD).encode()
        connection = socket.create_connection(("127.0.0.1", small.rest_port))
        connection.sendall(
            b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        connection.sendall(body)
        assert until(lambda: small.gate.requests == 3 and len(batcher._waiting) == 2)
        gone[0].cancel()
        connection.close()
        assert until(lambda: small.gate.requests == 1)
        go.set()
        assert first.result().outputs["mask_bytes"].string_val == [b"first"]
    assert rest(small, GOOD)[0] == 200 and batcher.batches == before + 1


def test_slow_requests_are_given_up_and_take_no_place_in_the_queue(directory):
    limits = Limits(max_waiting=2, body_timeout=0.5)  # the two slow ones would fill it
    with (
        serving(directory, limits=limits) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
        socket.create_connection(("127.0.0.1", server.rest_port)) as slow,
    ):
        slow.sendall(b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        start_stream = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        never = threading.Event()
        call = start_stream.future(iter(lambda: never.wait(20) or b"", b""))
        assert rest(server, GOOD)[0] == 200
        slow.settimeout(20)
        assert b" 408 " in slow.recv(1000)
        assert call.exception(20)
        assert call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)
        never.set()


def test_a_connection_that_says_nothing_is_closed(directory, monkeypatch):
    monkeypatch.setattr("segformer_tf.serving.server.HEADER_TIMEOUT", 0.2)
    with serving(directory) as server:
        silent = socket.create_connection(("127.0.0.1", server.rest_port))
        silent.sendall(b"POST /v1")
        silent.settimeout(20)
        assert silent.recv(1000) == b""
        silent.close()


def test_a_limit_below_one_is_named():
    with pytest.raises(ValueError, match="max_pictures is 0, expected a number above 0"):
        Limits(max_pictures=0)
