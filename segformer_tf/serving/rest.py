"""The JSON of TF Serving's REST interface <-> arrays: rows ("instances"), columns ("inputs"), bytes as {"b64": ...}."""

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segformer_tf.serving.model import Model, Overloaded
from segformer_tf.serving.servable import InvalidRequest, NotFound, Servable


def read_request(body: bytes, servable: Servable) -> tuple[str, dict[str, np.ndarray], bool]:
    """A request's body -> (signature name, inputs by name, whether it came in rows).

    Raises:
        InvalidRequest: Not such a body, or values that the signature's types do not hold.
    """
    try:
        values = json.loads(body)
    except ValueError as error:  # also UnicodeDecodeError
        raise InvalidRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(values, dict) or ("instances" in values) == ("inputs" in values):
        raise InvalidRequest('The body is expected to be an object with one of "instances" and "inputs".')
    name = values.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidRequest(f"signature_name is {name!r}, expected a text.")
    infos = servable.signature(name).inputs
    rows = "instances" in values
    columns = _columns_of_rows(values["instances"], infos) if rows else _columns(values["inputs"], infos)
    return name, {key: _array(key, value, infos) for key, value in columns.items()}, rows


def write_response(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Outputs by name -> `{"predictions": [...]}` for rows, `{"outputs": ...}` for columns."""
    columns = {key: _plain(key, value) for key, value in outputs.items()}
    only = next(iter(columns.values())) if len(columns) == 1 else None
    if rows:
        table = only or [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return json.dumps({"predictions": table}).encode()
    return json.dumps({"outputs": columns if only is None else only}).encode()


def _columns_of_rows(instances: Any, infos) -> dict[str, list]:
    if not isinstance(instances, list) or not instances:
        raise InvalidRequest('"instances" is expected to be a list of at least one row.')
    if not all(isinstance(row, dict) and set(row) == set(infos) for row in instances):
        if len(infos) == 1:  # the one input's values themselves, without its name
            return {next(iter(infos)): instances}
        raise InvalidRequest(f'Every row of "instances" is expected to be an object with {", ".join(infos)}.')
    return {key: [row[key] for row in instances] for key in infos}


def _columns(inputs: Any, infos) -> dict[str, Any]:
    if isinstance(inputs, dict) and not _is_b64(inputs):
        return inputs
    if len(infos) != 1:
        raise InvalidRequest(f'"inputs" is expected to be an object with {", ".join(infos)}.')
    return {next(iter(infos)): inputs}


def _array(key: str, value: Any, infos) -> np.ndarray:
    if key not in infos:
        raise InvalidRequest(f"There is no input {key!r}, expected {', '.join(infos)}.")
    dtype = tf.dtypes.as_dtype(infos[key].dtype)
    try:
        if dtype == tf.string:
            return np.array(_bytes(value), object)
        found = np.array(value)
        if found.size and found.dtype.kind not in ("iu" if dtype.is_integer else "iuf"):
            raise InvalidRequest(f"{key} holds {found.dtype.name} values, expected {dtype.name}.")
        array = found.astype(dtype.as_numpy_dtype)
        if dtype.is_integer and not np.array_equal(array, found):
            raise InvalidRequest(
                f"{key} has values from {found.min()} to {found.max()}, which {dtype.name} does not hold."
            )
        return array
    except ValueError as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(f"{key} is not a tensor of {dtype.name}: {error}.") from None


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"}


def _bytes(value: Any) -> Any:
    """Texts and {"b64": text} in nested lists -> bytes in nested lists."""
    if isinstance(value, list):
        return [_bytes(each) for each in value]
    if _is_b64(value) and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error as error:
            raise InvalidRequest(f'A "b64" value is not base64: {error}.') from None
    if isinstance(value, str):
        return value.encode()
    raise InvalidRequest(f'A value is {str(value)[:40]}, expected a text or {{"b64": text}}.')


def _plain(key: str, value: np.ndarray) -> list:
    if value.dtype != object:
        return value.tolist()
    if key.endswith("_bytes"):
        return [{"b64": base64.b64encode(each).decode()} for each in value]
    texts = np.frompyfunc(lambda each: each.decode("utf-8", "replace"), 1, 1)(value)
    return texts.tolist()


STATUS = {InvalidRequest: 400, NotFound: 404, Overloaded: 429}


def rest_app(model: Model) -> Starlette:
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
