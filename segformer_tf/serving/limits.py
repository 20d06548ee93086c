"""What a request may ask for, looked at before anything is built from it, and how many may be inside at a time."""

import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from segformer_tf.serving.servable import Claim, InvalidRequest, Refused


class Overloaded(Refused):
    """As many requests are inside as may be: send it again later."""

    code, status = "RESOURCE_EXHAUSTED", 429


class TooLarge(Refused):
    """A body or message over the limit."""

    code, status = "RESOURCE_EXHAUSTED", 413


class TooSlow(Refused):
    """A body that did not come in time."""

    code, status = "DEADLINE_EXCEEDED", 408


class Unauthenticated(Refused):
    """The token is missing or wrong."""

    code, status = "UNAUTHENTICATED", 401


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may take of the server; sizes in bytes, times in seconds.

    `max_tensor_pixels` is smaller than `max_request_pixels` because numbers run at their own size, while picture files
    are resized first where the processor has a size: a model takes about 1 kB a pixel.
    """

    max_body: int = 32 << 20  # a REST body, as sent and unpacked, or a gRPC message
    max_pictures: int = 64  # a request
    max_pixels: int = 25_000_000  # a picture file
    max_request_pixels: int = 50_000_000  # all picture files of a request, and of a batch
    max_tensor_pixels: int = 4_194_304  # all pictures of a request, and of a batch, that come as numbers
    max_waiting: int = 128  # requests that are inside: being read from JSON, waiting, running
    max_waiting_bytes: int = 256 << 20  # of bodies, whether they have come whole or not
    max_connections: int = 256  # REST connections; calls over gRPC
    body_timeout: float = 30  # until the whole of a request has come
    stop_timeout: float = 30  # for the requests that are inside when the server is stopped

    def __post_init__(self):
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}, expected a number above 0: correct it.")

    def check(self, infos: Mapping, inputs: Mapping[str, Claim]) -> None:
        """Raises InvalidRequest for too many pictures, or too many pixels of those that come as numbers.

        `infos` are the inputs of the signature, which `inputs` fit: the sides that it leaves open make the pixels.
        """
        for key, claim in inputs.items():
            if claim.shape and claim.shape[0] > self.max_pictures:
                raise InvalidRequest(
                    f"{key} has {claim.shape[0]} pictures, expected at most {self.max_pictures}: "
                    "send them in several requests."
                )
            if claim.dtype != tf.string and (found := _pixels(infos[key], claim)) > self.max_tensor_pixels:
                raise InvalidRequest(
                    f"{key} of shape {claim.shape} has {found} pixels, expected at most {self.max_tensor_pixels} in a "
                    "request: send less or smaller pictures, or picture files."
                )

    def cost(self, infos: Mapping, inputs: Mapping[str, np.ndarray]) -> tuple[list[int], int]:
        """Pixels of each picture of a checked request, and how many may run together.

        Raises:
            InvalidRequest: A picture file, or all of them together, with too many pixels; only headers are read.
        """
        files = [(key, value) for key, value in inputs.items() if value.dtype == object]
        if not files:
            (key, value) = next(iter(inputs.items()))
            return [_pixels(infos[key], Claim.of(value)) // len(value)] * len(value), self.max_tensor_pixels
        costs = []
        for key, value in files:
            for i, data in enumerate(value.ravel()):
                height, width = picture_size(data)
                if height * width > self.max_pixels:
                    raise InvalidRequest(
                        f"Picture {i} of {key} is {width} x {height} pixels, expected at most {self.max_pixels} in "
                        "all: resize it."
                    )
                costs.append(height * width)
        if sum(costs) > self.max_request_pixels:
            raise InvalidRequest(
                f"The pictures have {sum(costs)} pixels, expected at most {self.max_request_pixels} in a request: "
                "send them in several requests."
            )
        return costs, self.max_request_pixels


def _pixels(info, claim: Claim) -> int:
    """Pictures times the sides that the signature leaves open."""
    sizes = [dim.size for dim in info.tensor_shape.dim] or [-1] * len(claim.shape)
    return int(np.prod([found for found, size in zip(claim.shape, sizes, strict=True) if size < 0], dtype=object))


def picture_size(data: bytes) -> tuple[int, int]:
    """(height, width) that a PNG or JPEG says it has; (0, 0) for anything else, which the graph does not decode."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    if data[:3] == b"\xff\xd8\xff":
        try:
            return tuple(tf.io.extract_jpeg_shape(data).numpy()[:2].tolist())
        except tf.errors.InvalidArgumentError:  # the graph reads sizes by the same function, and refuses it too
            return 0, 0
    return 0, 0


def unpack(data: bytes, max_size: int) -> bytes:
    """A gzip body's content; stops as soon as it is over the limit.

    Raises:
        InvalidRequest, TooLarge: Not gzip, cut short, or of several members; over `max_size`.
    """
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = stream.decompress(data, max_size + 1)
    except zlib.error as error:
        raise InvalidRequest(f"The body is not gzip: {error}.") from None
    if len(found) > max_size:
        raise TooLarge(f"The body unpacks to over {max_size} bytes, which is the limit: send less at a time.")
    if not stream.eof:
        raise InvalidRequest("The gzip body is cut short: send the whole of it.")
    # A second member is allowed in files; a body of a million empty ones would take minutes.
    if stream.unused_data.strip(b"\0"):
        raise InvalidRequest(
            f"The gzip body goes on for {len(stream.unused_data)} bytes after its content, expected one gzip member: "
            "compress the body as a whole."
        )
    return found


class Gate:
    """Counts the requests that are inside and the bytes of bodies; refuses at once where there are too many."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.requests = self.bytes = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises Overloaded where `enter` would."""
        if self.requests >= self.limits.max_waiting:
            raise Overloaded(f"{self.requests} requests are waiting, which is the limit: send this one again later.")

    @contextmanager
    def enter(self) -> Iterator[None]:
        """One request, from before it is decoded until it is answered."""
        with self._lock:
            self.check()
            self.requests += 1
        try:
            yield
        finally:
            with self._lock:
                self.requests -= 1

    def take(self, size: int) -> None:
        """Counts bytes that have come in; whoever takes them gives them back."""
        with self._lock:
            if self.bytes + size > self.limits.max_waiting_bytes:
                raise Overloaded(f"Bodies of {self.bytes} bytes are waiting: send this one again later.")
            self.bytes += size

    def give(self, size: int) -> None:
        with self._lock:
            self.bytes -= size
