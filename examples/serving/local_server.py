"""Starts `segformer-tf serve` on free ports, as a context: for programs and tests that need a server for a while.

with running("served/segformer") as server:
    print(server.url, server.grpc_address)
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Server:
    process: subprocess.Popen
    name: str
    grpc_address: str  # host:port
    url: str  # http://host:port/v1/models/NAME
    last_output: str = ""  # what it printed after the first line, once it has ended


@contextmanager
def running(directory, *options: str, before: tuple[str, ...] = ()) -> Iterator[Server]:
    """The server of one model directory, stopped at the end by SIGTERM; `before` is a command that starts it."""
    command = [*before, sys.executable, "-m", "segformer_tf.cli", "serve", str(directory), *options]
    process = subprocess.Popen([*command, "--grpc-port", "0", "--rest-port", "0"], stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    found = re.match(r"serving (\S+) version .*gRPC \S+:(\d+),.*REST http\S+?:(\d+)", line)
    if found is None:
        process.kill()
        raise RuntimeError(f"`segformer-tf serve {directory}` said {line!r} instead of its ports.")
    name, grpc_port, rest_port = found.groups()
    url = f"http://127.0.0.1:{rest_port}/v1/models/{name}"
    server = Server(process, name, f"127.0.0.1:{grpc_port}", url)
    try:
        yield server
    finally:
        process.terminate()
        server.last_output, _ = process.communicate(timeout=60)
