"""Values that are no tensors, over both interfaces: 400 or INVALID_ARGUMENT, and the good ones beside them answered."""

import base64
import concurrent.futures
import json

import grpc
import numpy as np
import pytest
import tensorflow as tf
from small_servables import predict_request, rest, stub
from tensorflow.core.framework import types_pb2

from segformer_tf.serving.tensors import write_json

GOOD = {"instances": [{"b64": base64.b64encode(b"picture").decode()}]}


def proto(dtype, shape, **values):
    tensor = tf.make_tensor_proto(0.0)
    tensor.Clear()
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for key, value in values.items():
        getattr(tensor, key).extend(value) if isinstance(value, list) else setattr(tensor, key, value)
    return tensor


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": [["a"], "b"]}, "A value of image_bytes is a list"),
        ({"instances": [["a"], ["b", "c"]]}, "A value of image_bytes is a list"),
        (b'{"instances": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", "nested too deeply"),
        (b'{"instances": ' + b"[" * 500 + b"1" + b"]" * 500 + b"}", "A value of image_bytes is a list"),
        (b'{"signature_name": "logits", "instances": ' + b"[" * 500 + b"1" + b"]" * 500 + b"}", "is not a tensor of"),
        (b'{"signature_name": "uint8", "inputs": [[[[' + b"9" * 30 + b",0,0]]]]}", "holds object values"),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "The body is not JSON"),
        (b'{"instances": ["\xff"]}', "The body is not JSON"),
        ({"instances": [{"img": {"b64": "aa"}}]}, "A row of \"instances\" has 'img', expected 'image_bytes' alone"),
        (
            {"signature_name": "logits", "instances": [[[1.0], [2.0, 3.0]]]},
            "lists of different lengths",
        ),
        ({"instances": [None]}, "A value of image_bytes is None"),
        ({"signature_name": {}, "instances": [1]}, "signature_name is a dict"),
    ],
)
def test_values_that_are_no_tensor_are_bad_requests(small, body, message):
    status, answer = rest(small, body)
    assert status == 400 and message in answer["error"], answer


def test_object_arrays_beside_good_requests_spoil_none_of_them(small):
    bodies = [{"instances": [["a"], "b"]} if i % 4 == 3 else GOOD for i in range(24)]
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        found = list(clients.map(lambda body: rest(small, body)[0], bodies))
    assert found == [400 if i % 4 == 3 else 200 for i in range(24)]


def test_a_batch_that_fails_runs_singly_over_the_wire(small):
    good, bad = np.zeros((1, 4, 5, 3), np.uint8), np.full((1, 4, 5, 3), 13, np.uint8)

    def ask(images):
        try:
            return stub(small).Predict(predict_request("uint8", images=images)).outputs["labels"].dtype
        except grpc.RpcError as error:
            return error.code()

    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        found = list(clients.map(ask, [good, bad, good, good]))
    assert found == [types_pb2.DT_UINT8, grpc.StatusCode.INVALID_ARGUMENT, types_pb2.DT_UINT8, types_pb2.DT_UINT8]


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("logits", {"pixel_values": proto(1, (1, 20000, 20000, 3), int_val=[1])}, "has 400000000 pixels"),
        ("logits", {"wrong": proto(1, (1, 20000, 20000, 3), float_val=[1.0])}, "The inputs are wrong, expected"),
        ("uint8", {"images": proto(types_pb2.DT_RESOURCE, (1,))}, "images is resource, expected uint8"),
        ("uint8", {"images": proto(types_pb2.DT_UINT8, (1, 1, 1, 3), int_val=[999])}, "is not a tensor that can be"),
        ("uint8", {"images": proto(types_pb2.DT_UINT8, (1, 1, 1, 3), tensor_content=b"1")}, "is not a tensor that can"),
        ("uint8", {"images": proto(types_pb2.DT_UINT8, (1, -1, 1, 3))}, "images has no shape"),
        (
            "uint8",
            {"images": proto(types_pb2.DT_UINT8, (2**40, 2**40, 1, 3))},
            "expected at most 8: send them in several",
        ),
        ("uint8", {"images": proto(12345, (1,))}, "images has type 12345"),
        ("", {"image_bytes": proto(types_pb2.DT_STRING, (8,), string_val=[b"x"])}, "has 1 values, expected 8"),
    ],
)
def test_tensors_are_refused_by_what_they_claim_before_they_are_built(small, signature, inputs, message):
    with pytest.raises(grpc.RpcError) as failed:
        stub(small).Predict(predict_request(signature, **inputs))
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT, failed.value.details()
    assert message in failed.value.details()


def test_one_value_may_still_stand_for_all_of_a_small_tensor(small):
    request = predict_request("logits", pixel_values=proto(1, (1, 2, 2, 3), float_val=[0.5]))
    assert (tf.make_ndarray(stub(small).Predict(request).outputs["logits"]) == 0.5).all()


def test_nan_answers_are_valid_json(small):
    body = b'{"signature_name": "logits", "instances": [[[[NaN, Infinity, 1.5]]]]}'
    status, answer = rest(small, body)
    assert status == 200 and answer == {"predictions": [[[[None, None, 1.5]]]]}
    answer = json.loads(write_json({"a": np.array([1.0, np.nan]), "b": np.array([1, 2])}, False))
    assert answer == {"outputs": {"a": [1.0, None], "b": [1, 2]}}
