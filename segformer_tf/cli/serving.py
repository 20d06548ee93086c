"""`serve`, `serve-config`: a server to try what `export` wrote, and files to configure TF Serving by."""

import logging
import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from segformer_tf.cli.app import app, load_tensorflow, wrong_call
from segformer_tf.cli.options import Host

A_FILE: Any = {"exists": True, "dir_okay": False}
Name = Annotated[str | None, typer.Option(help="The model's name in requests; the directory's name by default.")]
Labels = Annotated[list[str] | None, typer.Option(help="LABEL=VERSION, such as canary=2; may be given several times.")]
MaxBatchSize = Annotated[int, typer.Option(help="Pictures that run together at most.", min=1)]
BatchTimeout = Annotated[float, typer.Option(help="How long a batch waits for more.", min=0)]
Port = Annotated[int, typer.Option(help="0 takes a free port.", min=0, max=65535)]
ModelDirectory = Annotated[Path, typer.Argument(help="Directory of versions that `export` wrote.", show_default=False)]


@app.command()
def serve(
    directory: ModelDirectory,
    name: Name = None,
    host: Host = "127.0.0.1",
    grpc_port: Port = 8500,
    rest_port: Port = 8501,
    max_batch_size: MaxBatchSize = 8,
    batch_timeout_ms: BatchTimeout = 5.0,
    version: Annotated[
        list[int] | None, typer.Option(help="Only these versions, such as 1 2. The highest by default.")
    ] = None,
    label: Labels = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A models.config with versions and labels, read again whenever it changes.", **A_FILE),
    ] = None,
    poll_seconds: Annotated[float, typer.Option(help="How often to look for versions.", min=0.1)] = 2.0,
    max_body_mb: Annotated[float, typer.Option(help="Largest request.", min=0.001)] = 32,
    max_pictures: Annotated[int, typer.Option(help="Pictures in a request.", min=1)] = 64,
    max_pixels: Annotated[int, typer.Option(help="Pixels of a picture file.", min=1)] = 25_000_000,
    max_request_pixels: Annotated[int, typer.Option(help="Pixels of a request's files.", min=1)] = 50_000_000,
    max_tensor_pixels: Annotated[int, typer.Option(help="Pixels of a request's numbers.", min=1)] = 4_194_304,
    max_waiting: Annotated[int, typer.Option(help="Requests inside before others are refused.", min=1)] = 128,
    body_seconds: Annotated[float, typer.Option(help="Time for a request to come whole.", min=0.1)] = 30,
    stop_seconds: Annotated[float, typer.Option(help="Time to answer what has come in at the end.", min=1)] = 30,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM file, with its chain; speaks TLS.", **A_FILE)
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.", **A_FILE)] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File of a token; clients send it as Authorization: Bearer TOKEN.", **A_FILE)
    ] = None,
) -> None:
    """Answer TF Serving's gRPC and REST requests on this machine, to try an export; needs the `serve` extra.

    segformer-tf serve served
    """
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("Give both, or neither.", param_hint="--tls-certificate, --tls-key")
    if config and (version or label):
        raise typer.BadParameter("Leave --version and --label out: the file says them.", param_hint="--config")
    from segformer_tf.storage.read import read_text

    labels = _labels(label)
    with wrong_call("--token-file"):
        token = read_text(token_file, "a token").strip() if token_file else None
    if token == "":
        raise typer.BadParameter(f"{token_file} is empty, expected a token.", param_hint="--token-file")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what gRPC's C++ parts say of a port is told in a sentence
    logging.basicConfig(format="segformer-tf: %(message)s")
    load_tensorflow()
    import signal

    import tensorflow as tf

    from segformer_tf.serving.config import Policy
    from segformer_tf.serving.limits import Limits
    from segformer_tf.serving.server import ModelServer

    tf.get_logger().setLevel("ERROR")  # about the age of the loader that TF Serving uses
    server = ModelServer(
        directory,
        name,
        host=host,
        grpc_port=grpc_port,
        rest_port=rest_port,
        max_batch_size=max_batch_size,
        batch_timeout=batch_timeout_ms / 1000,
        policy=Policy(frozenset((*(version or ()), *labels.values())), labels, file=config, name=name),
        poll=poll_seconds,
        limits=Limits(
            max_body=round(max_body_mb * 2**20),
            max_pictures=max_pictures,
            max_pixels=max_pixels,
            max_request_pixels=max_request_pixels,
            max_tensor_pixels=max_tensor_pixels,
            max_waiting=max_waiting,
            body_timeout=body_seconds,
            stop_timeout=stop_seconds,
        ),
        certificate=(tls_certificate, tls_key) if tls_certificate and tls_key else None,
        token=token,
    )
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to background jobs
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    with server:
        scheme = "https" if tls_certificate else "http"
        versions = ", ".join(map(str, server.model.versions))
        print(
            f"serving {server.model.name} version {versions}: gRPC {host}:{server.grpc_port}, "
            f"REST {scheme}://{host}:{server.rest_port}/v1/models/{quote(server.model.name)}",
            flush=True,
        )
        try:
            server.wait()
        except KeyboardInterrupt:
            print("stopping", flush=True)


def _labels(texts: list[str] | None) -> dict[str, int]:
    """LABEL=VERSION texts -> label: version."""
    labels = {}
    for text in texts or []:
        key, _, version = text.partition("=")
        if not key or not re.fullmatch("[0-9]{1,19}", version):  # as int64 has
            raise typer.BadParameter(f"{text!r} is expected as LABEL=VERSION, such as canary=2.", param_hint="--label")
        if key in labels:
            raise typer.BadParameter(f"{key} is given twice, expected one version of it.", param_hint="--label")
        labels[key] = int(version)
    return labels


@app.command("serve-config")
def serve_config(
    directory: ModelDirectory,
    output: Annotated[Path, typer.Option(help="Where the three files go.")] = Path("serving"),
    name: Name = None,
    base_path: Annotated[
        str | None, typer.Option(help="Where the server sees DIRECTORY; /models/NAME by default.", show_default=False)
    ] = None,
    label: Labels = None,
    max_batch_size: MaxBatchSize = 8,
    batch_timeout_ms: BatchTimeout = 5.0,
    threads: Annotated[int, typer.Option(help="Batches that run at the same time.", min=1)] = 2,
) -> None:
    """Write TF Serving's models.config, batching_params.txt and monitoring.config.

    segformer-tf serve-config served --output config --label stable=1 --label canary=2
    """
    from segformer_tf.serving.config import serving_config
    from segformer_tf.storage.whole import staged

    with wrong_call():
        texts = serving_config(
            directory,
            name=name,
            base_path=base_path,
            labels=_labels(label),
            max_batch_size=max_batch_size,
            batch_timeout_ms=batch_timeout_ms,
            threads=threads,
        )
    with staged(output) as stage:
        for file, text in texts.items():
            (stage / file).write_text(text, "utf-8")
    for file in texts:
        print(f"wrote {output / file}")
