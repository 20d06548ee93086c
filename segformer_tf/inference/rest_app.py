"""TF Serving's REST paths over a `ModelServer`, as a Starlette application."""

import json
import logging
from typing import TYPE_CHECKING

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segformer_tf.inference.batching import Overloaded
from segformer_tf.inference.rest_json import read_request, write_response
from segformer_tf.inference.servable import InvalidRequest, NotFound

if TYPE_CHECKING:
    from segformer_tf.inference.serving import ModelServer

STATUS = {InvalidRequest: 400, NotFound: 404, Overloaded: 429}


def rest_app(model: "ModelServer") -> Starlette:
    """`/v1/models/NAME[/versions/N]` (status), the same with `/metadata` and with `:predict`."""

    def predict(body: bytes, name: str, version: int | None) -> bytes:
        model.check_model(name, version)
        signature, inputs, rows = read_request(body, model.servable)
        return write_response(model.predict(signature, inputs), rows)

    def metadata() -> bytes:
        signatures = {key: json_format.MessageToDict(each) for key, each in model.servable.signatures.items()}
        spec = {"name": model.name, "signature_name": "", "version": str(model.servable.version)}
        return _json({"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}})

    def status() -> bytes:
        state = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return _json({"model_version_status": [{"version": str(model.servable.version), **state}]})

    async def on_predict(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(_answered, lambda: predict(body, *_model_of(request)))

    def on_get(answer):
        def endpoint(request: Request) -> Response:
            return _answered(lambda: (model.check_model(*_model_of(request)), answer())[1])

        return endpoint

    routes = []
    for path in ("/v1/models/{name}/versions/{version:int}", "/v1/models/{name}"):
        routes += [
            Route(f"{path}:predict", on_predict, methods=["POST"]),
            Route(f"{path}/metadata", on_get(metadata)),
            Route(path, on_get(status)),
        ]
    return Starlette(routes=routes)


def _model_of(request: Request) -> tuple[str, int | None]:
    return request.path_params["name"], request.path_params.get("version")


def _answered(answer) -> Response:
    """What `answer` returns, or its error as TF Serving words it: `{"error": "..."}`."""
    try:
        return Response(answer(), media_type="application/json")
    except tuple(STATUS) as error:
        return Response(_json({"error": str(error)}), STATUS[type(error)], media_type="application/json")
    except Exception as error:
        logging.exception("A request failed.")
        return Response(_json({"error": f"The server failed: {error}"}), 500, media_type="application/json")


def _json(value) -> bytes:
    return json.dumps(value, indent=1).encode()
