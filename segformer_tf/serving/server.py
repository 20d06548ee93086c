"""TF Serving's two endpoints for local use and tests: gRPC PredictionService and REST, over one model directory."""

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from segformer_tf.serving.model import Batcher, Model
from segformer_tf.serving.servable import Servable, latest_version


class ModelServer:
    """One version of one model behind both endpoints. As a context manager it starts on entry and stops on exit.

    Args:
        directory: A model directory (its highest version is served) or one version's directory.
        name: The model's name in requests; the directory's own by default.
        grpc_port, rest_port: 0 takes any free port; after `start` they are the real ones.
        max_batch_size, batch_timeout: Requests are merged into batches of up to so many pictures; the first of a batch
            waits at most so many seconds for others.
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
    ):
        path = Path(directory)
        version = path if (path / "saved_model.pb").is_file() else latest_version(path)
        name = name or (version.parent if version.name.isdigit() else version).resolve().name
        servable = Servable(version)
        self.model = Model(name, servable, Batcher(servable, max_batch_size, batch_timeout))
        self.host, self.grpc_port, self.rest_port = host, grpc_port, rest_port

    def start(self) -> "ModelServer":
        """Opens both ports and returns; requests are answered by other threads.

        Raises:
            OSError: A port is taken.
        """
        import grpc
        import uvicorn

        from segformer_tf.serving.grpc import add_services
        from segformer_tf.serving.rest import rest_app

        unlimited = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
        socket = self._open_rest_port()
        self._grpc = grpc.server(ThreadPoolExecutor(64), options=unlimited)
        add_services(self._grpc, self.model)
        try:
            self.grpc_port = self._grpc.add_insecure_port(f"{self.host}:{self.grpc_port}")
        except RuntimeError as error:
            socket.close()
            raise OSError(f"The gRPC port {self.grpc_port} of {self.host} cannot be opened: choose another.") from error
        self.rest_port = socket.getsockname()[1]
        config = uvicorn.Config(
            rest_app(self.model), self.host, self.rest_port, log_level=logging.WARNING, lifespan="off"
        )
        self._rest = uvicorn.Server(config)
        self._rest_thread = threading.Thread(target=self._rest.run, args=([socket],), name="rest", daemon=True)
        self._grpc.start()
        self._rest_thread.start()
        return self

    def _open_rest_port(self):
        import socket

        opened = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((self.host, self.rest_port))
        except OSError as error:
            opened.close()
            raise OSError(f"The REST port {self.rest_port} of {self.host} cannot be opened: choose another.") from error
        opened.listen(128)
        return opened

    def stop(self) -> None:
        """Answers what has come in, then closes the ports and the model."""
        self._rest.should_exit = True
        self._rest_thread.join()
        self._grpc.stop(grace=5).wait()
        self.model.close()

    def wait(self) -> None:
        """Returns when the server has stopped."""
        self._grpc.wait_for_termination()

    def __enter__(self) -> "ModelServer":
        return self.start()

    def __exit__(self, *error) -> None:
        self.stop()
