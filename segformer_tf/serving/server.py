"""TF Serving's two endpoints for local use and tests: gRPC PredictionService and REST, over one model directory."""

import logging
import os
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from segformer_tf.serving.config import Policy
from segformer_tf.serving.limits import Gate, Limits
from segformer_tf.serving.versions import Model

MAX_PORT = 65535
SETTLE = 0.3  # seconds after `stop`, for what has reached the ports and was not read yet
HEADER_TIMEOUT = 5.0  # seconds, twice at most: for a connection on which no request has begun


class ModelServer:
    """The versions of one model behind both endpoints. As a context manager it starts on entry and stops on exit.

    Args:
        directory: A model directory, or one version's directory.
        name: The model's name in requests; the directory's own by default.
        grpc_port, rest_port: 0 takes any free port; after `start` they are the real ones.
        max_batch_size, batch_timeout: Requests are merged into batches of up to so many pictures; the first of a batch
            waits at most so many seconds for others.
        policy: Which versions are served; the highest by default.
        poll: Seconds between two looks at the directory.
        limits: What requests may take.
        certificate: Files of a certificate (with its chain) and its key: both endpoints speak TLS.
        token: What clients have to send as `Authorization: Bearer TOKEN`.

    Raises ValueError for a port over 65535, which gRPC would take modulo 65536.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        name: str | None = None,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 8500,
        rest_port: int = 8501,
        max_batch_size: int = 8,
        batch_timeout: float = 0.005,
        policy: Policy | None = None,
        poll: float = 2.0,
        limits: Limits | None = None,
        certificate: tuple[str | os.PathLike, str | os.PathLike] | None = None,
        token: str | None = None,
    ):
        for key, port in (("grpc_port", grpc_port), ("rest_port", rest_port)):
            if not 0 <= port <= MAX_PORT:
                raise ValueError(f"{key} is {port}, expected 0, for any free one, to {MAX_PORT}: choose another.")
        self.limits = limits or Limits()
        self.model = Model(directory, name, policy, self.limits, max_batch_size, batch_timeout)
        self.gate = Gate(self.limits)
        self.host, self.grpc_port, self.rest_port = host, grpc_port, rest_port
        self._poll, self._certificate, self._token = poll, certificate, token

    def start(self) -> "ModelServer":
        """Opens both ports, loads the model and returns; requests are answered by other threads.

        Raises:
            OSError: A port is taken, or the files are no certificate and its key.
        """
        import uvicorn

        from segformer_tf.serving.rest import rest_app

        if self._certificate:
            _check_certificate(*self._certificate)
        opened, bound = self._open_rest_port(), None
        try:
            bound = self._grpc_server()
            self.model.start(self._poll)
            certificate, key = self._certificate or (None, None)
            config = uvicorn.Config(
                rest_app(self.model, self.gate, self._token),
                self.host,
                self.rest_port,
                http=_protocol(),
                ws="none",
                lifespan="off",
                log_level=logging.ERROR,
                limit_concurrency=self.limits.max_connections,
                timeout_graceful_shutdown=max(round(self.limits.stop_timeout), 1),
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
            config.load()
        except BaseException:
            opened.close()
            self.model.close()
            if bound is not None:  # gRPC lets go of the port of a server that was started only
                bound.start()
                bound.stop(None).wait()
            raise
        self.rest_port = opened.getsockname()[1]
        self._rest = uvicorn.Server(config)
        self._rest_thread = threading.Thread(target=self._rest.run, args=([opened],), name="rest", daemon=True)
        self._grpc = bound
        self._grpc.start()
        self._rest_thread.start()
        return self

    def _grpc_server(self):
        import grpc

        from segformer_tf.serving.grpc import add_services

        options = [
            ("grpc.max_receive_message_length", self.limits.max_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.max_connection_idle_ms", 300_000),
            # gRPC's own decompression knows no limit: compressed messages are refused, as UNIMPLEMENTED.
            ("grpc.compression_enabled_algorithms_bitset", 1),
        ]
        calls = self.limits.max_connections
        server = grpc.server(ThreadPoolExecutor(calls, "grpc"), options=options, maximum_concurrent_rpcs=calls)
        add_services(server, self.model, self.gate, self._token)
        address = f"[{self.host}]" if ":" in self.host else self.host
        try:
            if self._certificate:
                certificate, key = (Path(path).read_bytes() for path in self._certificate)
                credentials = grpc.ssl_server_credentials([(key, certificate)])
                self.grpc_port = server.add_secure_port(f"{address}:{self.grpc_port}", credentials)
            else:
                self.grpc_port = server.add_insecure_port(f"{address}:{self.grpc_port}")
        except RuntimeError as error:
            raise OSError(f"The gRPC port {self.grpc_port} of {self.host} cannot be opened: choose another.") from error
        return server

    def _open_rest_port(self) -> socket.socket:
        opened = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((self.host, self.rest_port))
        except OSError as error:
            opened.close()
            told = f"The REST port {self.rest_port} of {self.host} cannot be opened ({error.strerror}): choose another."
            raise OSError(told) from error
        opened.listen(self.limits.max_connections)
        return opened

    def stop(self) -> None:
        """Answers what has come in, within `limits.stop_timeout` seconds, then closes the ports and the model.

        A request of which only a part has come then is cut off.
        """
        end = time.monotonic() + self.limits.stop_timeout
        time.sleep(SETTLE)
        self._rest.should_exit = True
        ended = self._grpc.stop(max(end - time.monotonic(), 0))
        self._rest_thread.join(max(end - time.monotonic(), 0) + 2)
        ended.wait(max(end - time.monotonic(), 0) + 2)
        self.model.close(drop=True)

    def wait(self) -> None:
        """Returns when the server has stopped."""
        self._grpc.wait_for_termination()

    def __enter__(self) -> "ModelServer":
        return self.start()

    def __exit__(self, *error) -> None:
        self.stop()


def _check_certificate(certificate: str | os.PathLike, key: str | os.PathLike) -> None:
    """OSError for files that are none, of which gRPC would say that its port cannot be opened."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:  # also ssl.SSLError
        why = error.strerror or error
        raise OSError(
            f"{certificate} and {key} are no certificate and its key, in PEM ({why}): correct them."
        ) from None


def _protocol() -> type:
    """uvicorn's HTTP, with a time limit on headers: uvicorn itself has one between requests only."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        silent = None  # the request that was the last one at the last look

        def connection_made(self, transport):
            super().connection_made(transport)
            self.loop.call_later(HEADER_TIMEOUT, self._look)

        def _look(self):
            if self.transport.is_closing():
                return
            waiting = self.cycle is None or self.cycle.response_complete
            if waiting and self.silent is (self.cycle or self):
                self.transport.close()
                return
            self.silent = (self.cycle or self) if waiting else None
            self.loop.call_later(HEADER_TIMEOUT, self._look)

    return Protocol
