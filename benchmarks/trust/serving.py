"""A server between good clients and hostile ones: every good answer right, memory flat, the end in time.

    python benchmarks/trust/serving.py                          # two minutes
    python benchmarks/trust/serving.py --seconds 3600 --write   # the hour; --write: into docs/security.md

The bundled model is exported and served by `segformer-tf serve` in a process of its own. Good clients ask for the masks
of pictures over REST and gRPC, and compare each with the answer that the idle server gave. Hostile clients send what
`attacks` lists, in turn. Memory is the server's resident set, each second; flat means that the second half's median is
at most 5 % over that of the first half, after a tenth of the time; in time means within 30 seconds of SIGTERM. Exit 1
where one of these does not hold.
"""

# pyright: reportAttributeAccessIssue=false
# Protobuf makes the messages' classes when they are loaded.

import argparse
import base64
import collections
import contextlib
import functools
import gzip
import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples" / "serving"), str(ROOT / "benchmarks" / "speed")]
DOCS = ROOT / "docs" / "security.md"
STOP_SECONDS = 30  # that `serve` gives the requests inside when it is stopped, if not told otherwise
MARKS = ("<!-- figures of benchmarks/trust/serving.py -->", "<!-- end of figures -->")


def png(width: int, height: int) -> bytes:
    """A picture of zeros: about a thousandth of its pixels in bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes((width + 1) * height))) + chunk(b"IEND", b"")
    )


def message(signature: str, **tensors) -> bytes:
    """A PredictRequest of (dtype, shape, values) by name."""
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "segformer", signature
    for key, (dtype, shape, values) in tensors.items():
        tensor = request.inputs[key]
        tensor.dtype = dtype
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        for field, value in values.items():
            getattr(tensor, field).extend(value)
    return request.SerializeToString()


def b64(*files: bytes) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(data).decode()} for data in files]}).encode()


@functools.cache
def attacks() -> dict[str, tuple]:
    """Name -> (how it is sent, what is sent)."""
    deep = b'{"instances": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    huge = {"int_val": [1]}
    return {
        "object array": ("rest", b'{"instances": [["a"], "b"]}'),
        "deep JSON": ("rest", deep),
        "no JSON": ("rest", os.urandom(10_000)),
        "1 million lists": ("rest", b'{"instances": [' + b",".join([b"[]"] * 1_000_000) + b"]}"),
        "256 pictures of 8 x 8": ("rest", b64(*[png(8, 8)] * 256)),
        "64 pictures of 8 x 8": ("rest", b64(*[png(8, 8)] * 64)),
        "eight of 7070 x 7070": ("rest", b64(*[png(7070, 7070)] * 8)),
        "4900 x 4900": ("rest", b64(png(4900, 4900))),
        "damaged picture": ("rest", b64(png(64, 64)[:60])),
        "gzip of 1 GB": ("gzip", gzip.compress(bytes(100_000_000)) * 10),
        "40 MB body": ("rest", b" " * 40_000_000),
        "half a body, then silence": ("half", b""),
        "gone after asking": ("gone", b64(png(640, 480))),
        "int_val for 20000 x 20000": ("grpc", message("segment_tensor", images=(4, (1, 20000, 20000, 3), huge))),
        "the same under a wrong name": ("grpc", message("", x=(1, (1, 20000, 20000, 3), huge))),
        "int_val 999 for uint8": ("grpc", message("segment_tensor", images=(4, (1, 1, 1, 3), {"int_val": [999]}))),
        "DT_RESOURCE": ("grpc", message("segment_tensor", images=(20, (1,), {}))),
        "no message": ("grpc", os.urandom(1000)),
        "40 MB message": ("grpc", message("", image_bytes=(7, (1,), {"string_val": [bytes(40_000_000)]}))),
    }


def same(mask: bytes, expected: bytes) -> bool:
    """All pixels but one in ten thousand: another batch size rounds differently, which decides ties."""
    import io

    import numpy as np
    from PIL import Image

    found, wanted = (np.asarray(Image.open(io.BytesIO(data))) for data in (mask, expected))
    return found.shape == wanted.shape and (found != wanted).mean() <= 1e-4


class Clients:
    """Threads that ask until the time is over, and what they saw."""

    def __init__(self, server, files: list[bytes]):
        import grpc
        import grpc_client
        import rest_client
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self.server, self.files = server, files
        self.seen: collections.Counter = collections.Counter()
        self.wrong: list[str] = []
        self.end = threading.Event()
        self.pauses, self.resumed = 0, 0.0
        threading.Thread(target=self.watch, daemon=True).start()
        self.channel = grpc.insecure_channel(server.grpc_address)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.ways = {
            "REST": lambda data: base64.b64decode(rest_client.segment(server.url, [data])[0]["mask_bytes"]["b64"]),
            "gRPC": lambda data: grpc_client.segment(stub, server.name, [data])[0][0],
        }
        self.expected = [self.ways["gRPC"](data) for data in files]
        attacks()  # made before the clock runs: packing gigabytes takes seconds

    def watch(self) -> None:
        """Notes when this program and the server were stopped (SIGSTOP): timeouts of that time are nobody's fault."""
        while not self.end.is_set():
            before = time.monotonic()
            time.sleep(0.5)
            if time.monotonic() - before > 10:
                self.pauses, self.resumed = self.pauses + 1, time.monotonic()

    def good(self, way: str) -> None:
        while not self.end.is_set():
            begin = time.monotonic()
            i = random.randrange(len(self.files))
            try:
                right = same(self.ways[way](self.files[i]), self.expected[i])
                self.seen["right" if right else "wrong"] += 1
                if not right:
                    self.wrong.append(f"{way}: another mask of picture {i}")
            except SystemExit as error:  # how the examples report
                if "is the limit" in str(error):
                    self.seen["refused: full"] += 1
                else:
                    self.failed(way, error, begin)
            except Exception as error:
                self.failed(way, error, begin)

    def failed(self, way: str, error: BaseException, begin: float) -> None:
        time.sleep(1)  # until a pause is noticed
        if begin > self.resumed:
            self.seen["failed"] += 1
            self.wrong.append(f"{way}: {error}")
        else:
            self.seen["paused"] += 1

    def hostile(self, turn: int) -> None:
        kinds = list(attacks().items())
        silent: collections.deque = collections.deque(maxlen=8)
        while not self.end.is_set():
            name, (how, data) = kinds[turn % len(kinds)]
            turn += 3
            try:
                answer = self.send(how, data, silent)
            except OSError as error:  # cut off
                answer = type(error).__name__
            self.seen[f"{name}: {answer}"] += 1
            if answer in ("500", "INTERNAL", "UNKNOWN"):
                self.wrong.append(f"{name}: {answer}")
        for connection in silent:
            connection.close()

    def send(self, how: str, data: bytes, silent: collections.deque) -> str:
        import grpc

        if how == "grpc":
            call = self.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            try:
                call(data, timeout=60)
                return "OK"
            except grpc.RpcError as error:
                return error.code().name
        if how in ("half", "gone"):
            return self.leave(data, silent if how == "half" else None)
        headers = {"Content-Encoding": "gzip"} if how == "gzip" else {}
        request = urllib.request.Request(f"{self.server.url}:predict", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return str(error.code)
        except urllib.error.URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason)) from None

    def leave(self, data: bytes, silent: collections.deque | None) -> str:
        """Asks without waiting for the answer; `silent` connections stay open, the oldest of eight is closed."""
        host, port = self.server.url.split("/")[2].split(":")
        size = len(data) or 1000
        head = f"POST /v1/models/segformer:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
        connection = socket.create_connection((host, int(port)), timeout=60)
        try:
            connection.sendall(head.encode())
            connection.sendall(data or b"{")
        except OSError:
            connection.close()
            raise
        if silent is None:
            time.sleep(0.05)
            connection.close()
            return "left"
        if len(silent) == silent.maxlen:
            silent.popleft().close()
        silent.append(connection)
        time.sleep(0.5)
        return "left"


def soak(directory: Path, files: list[bytes], seconds: float, hostile: int = 2) -> dict:
    """Good and hostile clients at one server of `directory`, for so long."""
    import local_server
    from serving import resident_mb

    memory = []
    with local_server.running(directory, "--name", "segformer") as server:
        clients = Clients(server, files)
        threads = [threading.Thread(target=clients.good, args=(way,), daemon=True) for way in clients.ways]
        threads += [threading.Thread(target=clients.hostile, args=(turn,), daemon=True) for turn in range(hostile)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        while time.monotonic() < start + seconds:
            time.sleep(min(1, seconds / 10))
            memory.append(resident_mb(server.process.pid))
        clients.end.set()
        for thread in threads:
            thread.join(90)
        ending = time.monotonic()
    later = memory[len(memory) // 10 :]
    halves = statistics.median(later[: len(later) // 2]), statistics.median(later[len(later) // 2 :])
    seen = clients.seen
    bad = sum(count for name, count in seen.items() if ": " in name and not name.startswith("refused"))
    return {
        "seconds": round(seconds),
        "good": seen["right"] + seen["wrong"] + seen["failed"] + seen["refused: full"],
        "right": seen["right"],
        "refused": seen["refused: full"],
        "hostile": bad,
        "median_mb": round(halves[1]),
        "peak_mb": round(max(memory)),
        "growth": round(halves[1] / halves[0] - 1, 4),
        "stop_s": round(time.monotonic() - ending, 1),
        "pauses": clients.pauses,
        "good requests cut off by pauses": seen["paused"],
        "wrong": clients.wrong[:10],
        "answers": dict(sorted((name, count) for name, count in seen.items() if ": " in name)),
    }


def broken(result: dict) -> list[str]:
    """What of the first line of this file does not hold."""
    limits = {
        "every good answer right": bool(result["right"]) and not result["wrong"],
        "memory flat": result["growth"] <= 0.05,
        "the end in time": result["stop_s"] <= STOP_SECONDS,
    }
    return [what for what, holds in limits.items() if not holds]


def table(result: dict) -> str:
    rows = [
        ("good requests: answered right / refused because the queue was full / failed or wrong", "good"),
        ("hostile requests", "hostile"),
    ]
    failed = result["good"] - result["right"] - result["refused"]
    values = {"good": f"{result['right']} / {result['refused']} / {failed}", "hostile": str(result["hostile"])}
    lines = [f"| {text} | {values[key]} |" for text, key in rows]
    lines.append(f"| server's memory: median, highest | {result['median_mb']} MB, {result['peak_mb']} MB |")
    lines.append(f"| growth of the median, second half over first | {result['growth']:+.1%} |")
    lines.append(f"| stop after SIGTERM | {result['stop_s']} s |")
    return "\n".join([f"{result['seconds']} s, {os.cpu_count()} cores:", "", "| | |", "|---|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="segformer-b0-camvid")
    parser.add_argument("--seconds", type=float, default=120)
    from serving import photographs
    from timing import write_option

    write_option(parser, DOCS, MARKS)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent, "segformer")
        command = [sys.executable, "-m", "segformer_tf.cli", "export", arguments.model, str(directory)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result = soak(directory, photographs(), arguments.seconds)
    print(json.dumps(result, indent=1))
    print(table(result))
    arguments.write(table(result))
    if broken(result):
        raise SystemExit(f"does not hold: {', '.join(broken(result))}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
