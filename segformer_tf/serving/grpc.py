"""TF Serving's gRPC services over a `Model`: Predict, GetModelMetadata, GetModelStatus; beside them gRPC's health."""

# pyright: reportAttributeAccessIssue=false
# Protobuf makes the messages' classes when they are loaded.

import functools
import hmac
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from segformer_tf.serving.batching import joined
from segformer_tf.serving.limits import Gate, TooSlow, Unauthenticated
from segformer_tf.serving.metrics import LATENCY, REQUESTS
from segformer_tf.serving.servable import DEFAULT_SIGNATURE, InvalidRequest, Refused
from segformer_tf.serving.tensors import read_protos
from segformer_tf.serving.versions import Model, checked

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"  # grpc.health.v1.HealthCheckResponse


def add_services(server: grpc.Server, model: Model, gate: Gate, token: str | None = None) -> None:
    """Registers the services on a gRPC server. With a token all but health want `authorization: Bearer TOKEN`."""

    def method(answer: Callable, request: type, name: str = "") -> grpc.RpcMethodHandler:
        # A call of one message looks the same on the wire as a stream of one, and a stream is handed over before its
        # message has come: so a slow one can be given up, and one too many is refused before it is read.
        return grpc.stream_unary_rpc_method_handler(
            _Call(answer, model, gate, token, name),
            functools.partial(_parsed, request),
            lambda response: response.SerializeToString(),
        )

    status, metadata = get_model_status_pb2.GetModelStatusRequest, get_model_metadata_pb2.GetModelMetadataRequest
    services = {
        "tensorflow.serving.PredictionService": {
            "Predict": method(_predict, predict_pb2.PredictRequest, "predict"),
            "GetModelMetadata": method(_metadata, metadata),
        },
        "tensorflow.serving.ModelService": {"GetModelStatus": method(_status, status)},
        "grpc.health.v1.Health": {
            "Check": grpc.unary_unary_rpc_method_handler(
                lambda request, context: SERVING if model.versions else NOT_SERVING
            )
        },
    }
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())
    )


class _Call:
    """One method: lets calls in, waits for the message, and turns errors into statuses."""

    def __init__(self, answer: Callable, model: Model, gate: Gate, token: str | None, api: str):
        self.answer, self.model, self.gate, self.token, self.api = answer, model, gate, token, api

    def __call__(self, messages, context: grpc.ServicerContext):
        start, code = time.monotonic(), "OK"
        try:
            self._check_token(context)
            if self.api:
                self.gate.check()
            return self.answer(self.model, self.gate, self._message(messages, context), context)
        except Refused as error:
            code = error.code
            context.abort(getattr(grpc.StatusCode, code), str(error))
        except CancelledError:  # the client has gone, or the server stops and could not wait
            code = "CANCELLED"
            context.abort(grpc.StatusCode.CANCELLED, "The call was cancelled.")
        except Exception as error:
            code = "INTERNAL"
            logging.exception("A request failed.")
            context.abort(grpc.StatusCode.INTERNAL, f"The server failed: {error}")
        finally:
            if self.api:
                self.model.metrics.count(REQUESTS, model_name=self.model.name, status=code)
                labels = {"model_name": self.model.name, "API": self.api, "entrypoint": "GRPC"}
                self.model.metrics.observe(LATENCY, time.monotonic() - start, **labels)

    def _check_token(self, context: grpc.ServicerContext) -> None:
        given = dict(context.invocation_metadata()).get("authorization", "")
        if self.token and not hmac.compare_digest(str(given).encode(), f"Bearer {self.token}".encode()):
            raise Unauthenticated("The token is missing or wrong: send the metadata authorization: Bearer TOKEN.")

    def _message(self, messages, context: grpc.ServicerContext):
        """The call's one message, which has to come in time."""
        limit = self.gate.limits.body_timeout
        timer = threading.Timer(limit, context.cancel)
        timer.daemon = True
        timer.start()
        try:
            request = next(messages, None)
        except grpc.RpcError:
            raise TooSlow(f"The message did not come in {limit:g} s: send it faster.") from None
        finally:
            timer.cancel()
        if request is None:
            raise InvalidRequest("The call has no message: send one.")
        if isinstance(request, InvalidRequest):
            raise request
        return request


def _parsed(kind: type, data: bytes):
    """The message, or the error to answer with: gRPC makes INTERNAL of one that is raised here."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        return InvalidRequest(f"The {len(data):,} bytes are no {kind.__name__}: {error}.")


def _predict(model: Model, gate: Gate, request, context: grpc.ServicerContext):
    """PredictRequest -> PredictResponse."""
    spec, size = request.model_spec, request.ByteSize()
    number = spec.version.value if spec.HasField("version") else None
    gate.take(size)
    try:
        with gate.enter(), model.using(spec.name, number, spec.version_label) as version:
            chosen = list(request.output_filter)
            inputs = read_protos(spec.signature_name, request.inputs, version.servable, gate.limits)
            futures = version.submit(spec.signature_name, inputs, chosen)

            def drop() -> None:
                for future in futures:
                    future.cancel()

            if not context.add_callback(drop):  # it has ended already
                drop()
            outputs = checked(joined([future.result() for future in futures]), chosen)
            response = predict_pb2.PredictResponse()
            for key, value in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            response.model_spec.name = model.name
            response.model_spec.version.value = version.number
            response.model_spec.signature_name = spec.signature_name or DEFAULT_SIGNATURE
            return response
    finally:
        gate.give(size)


def _metadata(model: Model, gate: Gate, request, context: grpc.ServicerContext):
    spec = request.model_spec
    number = spec.version.value if spec.HasField("version") else None
    with model.using(spec.name, number, spec.version_label) as version:
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = model.name
        response.model_spec.version.value = version.number
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=version.servable.signatures)
        response.metadata["signature_def"].Pack(signatures)
        return response


def _status(model: Model, gate: Gate, request, context: grpc.ServicerContext):
    spec = request.model_spec
    number = spec.version.value if spec.HasField("version") else None
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, state in model.status(spec.name, number, spec.version_label).items():
        row = response.model_version_status.add(version=version)
        row.state = get_model_status_pb2.ModelVersionStatus.State.Value(state.state)
        if state.error:
            row.status.error_code, row.status.error_message = 2, state.error  # UNKNOWN
    return response
