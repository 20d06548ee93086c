"""TF Serving's gRPC services over a `Model`: Predict, GetModelMetadata and GetModelStatus."""

import logging
from collections.abc import Callable

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from segformer_tf.serving.model import Model, Overloaded
from segformer_tf.serving.servable import DEFAULT_SIGNATURE, InvalidRequest, NotFound

STATUS = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def add_services(server: grpc.Server, model: Model) -> None:
    """Registers both services on a gRPC server."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(model), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(model), server)


def read_tensor(key: str, proto) -> np.ndarray:
    """A TensorProto's values; raises InvalidRequest where they do not fill its shape."""
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{key} is not a tensor that can be read: {error}.") from None


def predict(model: Model, request):
    """PredictRequest -> PredictResponse."""
    spec = request.model_spec
    inputs = {key: read_tensor(key, proto) for key, proto in request.inputs.items()}
    if spec.version_label:
        raise NotFound(f"There is no label {spec.version_label!r}: this server has one version; TF Serving has labels.")
    version = spec.version.value if spec.HasField("version") else None
    outputs = model.predict(spec.signature_name, inputs, list(request.output_filter), spec.name, version)
    response = predict_pb2.PredictResponse(outputs={key: tf.make_tensor_proto(value) for key, value in outputs.items()})
    response.model_spec.name = model.name
    response.model_spec.version.value = model.servable.version
    response.model_spec.signature_name = spec.signature_name or DEFAULT_SIGNATURE
    return response


def _answered(answer: Callable, context: grpc.ServicerContext):
    """What `answer` returns, or its error as the call's status."""
    try:
        return answer()
    except tuple(STATUS) as error:
        context.abort(STATUS[type(error)], str(error))
    except Exception as error:
        logging.exception("A request failed.")
        context.abort(grpc.StatusCode.INTERNAL, f"The server failed: {error}")


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model: Model):
        self.model = model

    def Predict(self, request, context):
        return _answered(lambda: predict(self.model, request), context)

    def GetModelMetadata(self, request, context):
        return _answered(lambda: self._metadata(request), context)

    def _metadata(self, request):
        self.model.check_model(request.model_spec.name, None)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self.model.name
        response.model_spec.version.value = self.model.servable.version
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=self.model.servable.signatures)
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, model: Model):
        self.model = model

    def GetModelStatus(self, request, context):
        return _answered(lambda: self._status(request), context)

    def _status(self, request):
        self.model.check_model(request.model_spec.name, None)
        response = get_model_status_pb2.GetModelStatusResponse()
        status = response.model_version_status.add(version=self.model.servable.version)
        status.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return response
