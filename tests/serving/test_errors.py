"""Requests that cannot be answered: each says why, and the server goes on."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_models import b64, encoded, picture, post, request_for, running_server
from serving_models import running_stub as stub

FILE = encoded(picture(40, 60), "JPEG")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (request_for([b"not a picture"]), "The data is not a picture, expected the bytes of a JPEG or a PNG"),
        (request_for([FILE[:500]]), "The picture is damaged or cut short"),
        (request_for([encoded(picture(8, 8), "GIF", save_all=True, append_images=[picture(8, 8, 1)])]), "is a GIF"),
        (request_for([encoded(picture(1, 1))]), "The picture is 1 x 1 pixels, expected at least 8 a side"),
        (request_for([[FILE]]), r"image_bytes has shape (1, 1), expected (None,): reshape it."),
        (request_for(None, image_bytes=[1.0]), "image_bytes is float32, expected string: convert it."),
        (request_for(np.array([], object)), "image_bytes is empty, of shape (0,), expected a batch of at least one."),
        (request_for(None, images=[1]), "The inputs are images, expected image_bytes for the signature"),
        (request_for([FILE], "nowhere"), "There is no signature 'nowhere', expected one of logits, segment_tensor"),
        (
            request_for(None, "logits", pixel_values=np.zeros((1, 16, 64, 3), "float32")),
            "pixel_values have a side of under 32 pixels: enlarge or pad the picture.",
        ),
    ],
)
def test_bad_requests_are_invalid_arguments_that_name_the_cause(request_, message):
    with pytest.raises(grpc.RpcError) as failed:
        stub().Predict(request_)
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert message in failed.value.details()
    assert stub().Predict(request_for([FILE])).outputs["error"].string_val == [b""]  # the server goes on


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("PredictionService/Predict", "PredictRequest"),
        ("PredictionService/GetModelMetadata", "GetModelMetadataRequest"),
        ("ModelService/GetModelStatus", "GetModelStatusRequest"),
    ],
)
@pytest.mark.parametrize("data", [b"no message", bytes(1000), b"\x0a\xff\xff\xff\xff\x0f"], ids=["a", "b", "c"])
def test_bytes_that_are_no_message_are_invalid_arguments(method, kind, data):
    address = f"127.0.0.1:{running_server().grpc_port}"
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary(f"/tensorflow.serving.{method}")(data, timeout=60)
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"The {len(data):,} bytes are no {kind}: " in failed.value.details()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "The body is not JSON"),
        ({"rows": []}, 400, 'with one of "instances" and "inputs"'),
        ({"instances": []}, 400, "a list of at least one row"),
        ({"instances": [{"b64": "?"}]}, 400, 'A "b64" value is not base64'),
        ({"instances": [5]}, 400, 'A value of image_bytes is 5, expected a text or {"b64": text}.'),
        ({"instances": [b64(b"GIF89a")]}, 400, "The data is a GIF"),
        ({"inputs": {"picture": [b64(FILE)]}}, 400, "There is no input 'picture', expected image_bytes."),
        ({"signature_name": "segment_tensor", "instances": [[[[300, 0, 0]]]]}, 400, "uint8 does not hold"),
        (
            {"signature_name": "segment_tensor", "instances": [[[[0.5, 0, 0]]]]},
            400,
            "holds float64 values, expected uint8",
        ),
        (
            {"signature_name": "segment_tensor", "instances": [[[[1, 0]], [[0]]]]},
            400,
            "images is not a tensor of uint8",
        ),
        ({"signature_name": "segment_tensor", "inputs": [[1]]}, 400, "images has shape (1, 1), expected"),
    ],
)
def test_bad_bodies_are_refused_with_their_cause(body, status, message):
    found, answer = post(body)
    assert found == status and message in answer["error"]
    assert post({"instances": [b64(FILE)]})[0] == 200


def test_other_models_and_versions_are_not_found():
    assert post({"instances": [b64(FILE)]}, "/v1/models/road:predict") == (
        404,
        {"error": "There is no model 'road', expected 'street'."},
    )
    assert post(None, "/v1/models/street/versions/7")[1]["error"].startswith("There is no version 7 of street")
    request = request_for([FILE])
    request.model_spec.version.value = 7
    with pytest.raises(grpc.RpcError) as failed:
        stub().Predict(request)
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND
    request = request_for([FILE])
    request.model_spec.version_label = "canary"
    with pytest.raises(grpc.RpcError, match="There is no label 'canary' of street, expected one of none"):
        stub().Predict(request)


def test_one_bad_picture_does_not_spoil_the_others():
    response = stub().Predict(request_for([FILE, b"junk", FILE]))
    masks, errors = (tf.make_ndarray(response.outputs[key]) for key in ("mask_bytes", "error"))
    assert masks[0] == masks[2] != b"" and masks[1] == b""
    assert errors[0] == errors[2] == b"" and b"not a picture" in errors[1]
