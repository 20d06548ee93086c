"""TF Serving's REST interface over a `Model`: predict, metadata, status; beside them health and metrics."""

import asyncio
import hmac
import json
import logging
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from segformer_tf.serving.batching import joined
from segformer_tf.serving.config import METRICS_PATH
from segformer_tf.serving.limits import Gate, TooLarge, TooSlow, unpack
from segformer_tf.serving.metrics import LATENCY, REQUESTS
from segformer_tf.serving.servable import NotFound, Refused
from segformer_tf.serving.tensors import read_json, write_json
from segformer_tf.serving.versions import Model, Version, checked

LINGER = 5.0  # seconds for the rest of a refused body: a client that is still sending would not see why


class Predict:
    """Predict calls: let in, read, run, answered; one object for a server."""

    def __init__(self, model: Model, gate: Gate):
        self.model, self.gate, self.limits = model, gate, gate.limits
        self.workers = ThreadPoolExecutor(2, "json")  # so few bodies are taken apart at a time, whatever waits

    async def __call__(self, request: Request) -> Response:
        start = time.monotonic()
        response, code = await _answered(self._whole(request))
        self.model.metrics.count(REQUESTS, model_name=self.model.name, status=code)
        labels = {"model_name": self.model.name, "API": "predict", "entrypoint": "REST"}
        self.model.metrics.observe(LATENCY, time.monotonic() - start, **labels)
        return response

    async def _whole(self, request: Request) -> bytes:
        taken: list[bytes] = []
        try:
            try:
                self.gate.check()
                body = await self._arrived(request, taken)
            except TooSlow:
                raise
            except Refused:
                await _discard(request)
                raise
            return await _unless_gone(request, self._predicted(request, body))
        finally:
            self.gate.give(sum(map(len, taken)))

    async def _arrived(self, request: Request, taken: list[bytes]) -> bytes:
        """The body, within its limits of size and time; `taken` are the pieces that the gate has counted."""
        limit = self.limits.max_body
        too_large = TooLarge(f"The body is over {limit} bytes, which is the limit: send less at a time.")
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            raise too_large
        size = 0

        async def receive() -> None:
            nonlocal size
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large
                self.gate.take(len(chunk))
                taken.append(chunk)

        try:
            await asyncio.wait_for(receive(), self.limits.body_timeout)
        except asyncio.TimeoutError:
            raise TooSlow(f"The body did not come in {self.limits.body_timeout:g} s: send it faster.") from None
        return b"".join(taken)

    async def _predicted(self, request: Request, body: bytes) -> bytes:
        with self.gate.enter(), self.model.using(**_model_of(request)) as version:
            packed = request.headers.get("content-encoding", "").lower() == "gzip"
            job = self.workers.submit(self._submitted, body, packed, version)
            try:
                futures, rows = await asyncio.wrap_future(job)
            except asyncio.CancelledError:  # a thread goes on: what it will put into the queue is taken out again
                job.add_done_callback(_dropped)
                raise
            try:
                parts = await asyncio.gather(*map(asyncio.wrap_future, futures))
            finally:
                for future in futures:
                    future.cancel()
            answer = self.workers.submit(write_json, checked(joined(parts), None), rows)
            return await asyncio.wrap_future(answer)

    def _submitted(self, body: bytes, packed: bool, version: Version):
        body = unpack(body, self.limits.max_body) if packed else body
        signature, inputs, rows = read_json(body, version.servable)
        return version.submit(signature, inputs), rows


def _dropped(job: Future) -> None:
    if not job.cancelled() and not job.exception():
        for future in job.result()[0]:
            future.cancel()


async def _unless_gone(request: Request, work) -> bytes:
    """What `work` gives; it is cancelled, with what it put into the queue, as soon as the client has gone."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0] not in done:
            raise ClientDisconnect()
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _discard(request: Request) -> None:
    async def rest() -> None:
        async for _ in request.stream():
            pass

    with suppress(asyncio.TimeoutError, ClientDisconnect, RuntimeError):
        await asyncio.wait_for(rest(), LINGER)


def rest_app(model: Model, gate: Gate, token: str | None = None) -> Starlette:
    """`/v1/models/NAME[/versions/N|/labels/LABEL]` (status), the same with `/metadata` and with `:predict`.

    Beside them `/healthz`, 200 while a version answers, and TF Serving's path for metrics. With a token all but
    `/healthz` want the header `Authorization: Bearer TOKEN`.
    """

    async def metadata(request: Request) -> bytes:
        with model.using(**_model_of(request)) as version:
            signatures = {key: json_format.MessageToDict(each) for key, each in version.servable.signatures.items()}
            spec = {"name": model.name, "signature_name": "", "version": str(version.number)}
            return _json({"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}})

    async def status(request: Request) -> bytes:
        rows = [
            {
                "version": str(number),
                "state": each.state,
                "status": {"error_code": "UNKNOWN" if each.error else "OK", "error_message": each.error},
            }
            for number, each in model.status(**_model_of(request)).items()
        ]
        return _json({"model_version_status": rows})

    async def healthy(request: Request) -> Response:
        return PlainTextResponse("ok\n" if model.versions else "no version\n", 200 if model.versions else 503)

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(model.metrics.text(), media_type="text/plain; version=0.0.4")

    def guarded(endpoint):
        async def answer(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
                text = {"error": "The token is missing or wrong: send the header Authorization: Bearer TOKEN."}
                return Response(_json(text), 401, {"WWW-Authenticate": "Bearer"}, "application/json")
            return await endpoint(request)

        return answer

    def on_get(answer):
        async def endpoint(request: Request) -> Response:
            return (await _answered(answer(request)))[0]

        return endpoint

    routes = [Route("/healthz", healthy), Route(METRICS_PATH, guarded(metrics))]
    predict = Predict(model, gate)
    for which in ("/versions/{version}", "/labels/{label}", ""):
        path = f"/v1/models/{{name}}{which}"
        routes += [
            Route(f"{path}:predict", guarded(predict), methods=["POST"]),
            Route(f"{path}/metadata", guarded(on_get(metadata))),
            Route(path, guarded(on_get(status))),
        ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _unknown})


def _model_of(request: Request) -> dict:
    """name, version, label: what the path says."""
    found = dict(request.path_params)
    if (version := found.get("version")) is not None:
        if not re.fullmatch("[0-9]{1,19}", version):  # as int64 has; int() refuses thousands of digits
            raise NotFound(f"There is no version {version[:40]!r}, expected a whole number of up to 19 digits.")
        found["version"] = int(version)
    return found


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"Malformed request: {request.method} {request.url.path}"
    return Response(_json({"error": text}), error.status_code, error.headers, "application/json")


async def _answered(answer) -> tuple[Response, str]:
    """What `answer` gives, or its error as TF Serving words it, `{"error": "..."}`; and the status' name."""
    try:
        return Response(await answer, media_type="application/json"), "OK"
    except Refused as error:
        return Response(_json({"error": str(error)}), error.status, media_type="application/json"), error.code
    except ClientDisconnect:
        return Response(status_code=499), "CANCELLED"  # nobody reads it
    except Exception as error:
        logging.exception("A request failed.")
        text = {"error": f"The server failed: {error}"}
        return Response(_json(text), 500, media_type="application/json"), "INTERNAL"


def _json(value) -> bytes:
    return json.dumps(value, indent=1).encode()
