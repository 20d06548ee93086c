"""`export`, `serve`, `serve-config`: a checkpoint to files for servers and other runtimes, and a server to try them."""

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from segformer_tf.cli.app import MergeQueries, app, check_model, load_tensorflow, say
from segformer_tf.cli.inputs import calibration_of

Name = Annotated[str | None, typer.Option(help="The model's name in requests; the directory's name by default.")]
Labels = Annotated[list[str] | None, typer.Option(help="LABEL=VERSION, such as canary=2; may be given several times.")]
ModelDirectory = Annotated[Path, typer.Argument(help="Directory of versions that `export` wrote.", show_default=False)]


class Format(str, Enum):
    """What `export` writes."""

    SAVED_MODEL, KERAS, ONNX, OPENVINO, LITERT = "saved_model", "keras", "onnx", "openvino", "litert"


class Weights(str, Enum):
    """How weights are stored."""

    FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"


class DataFormat(str, Enum):
    """Where the channels lie."""

    LAST, FIRST = "channels_last", "channels_first"


class LabelsAt(str, Enum):
    """The size of `labels`."""

    MAP, INPUT = "map", "input"


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Hub id, directory, file or bundled model.", show_default=False)],
    directory: Annotated[Path, typer.Argument(help="Where the file or version directory goes.", show_default=False)],
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.SAVED_MODEL,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Height and width of the model's input; what the processor says by default.", show_default=False
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="onnx, openvino: the only batch that the file takes; any by default.", show_default=False),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Keras dtype policy to compute in, such as mixed_bfloat16.")] = "float32",
    weights: Annotated[Weights, typer.Option(help="onnx, openvino, litert: how weights are stored.")] = Weights.FLOAT32,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="--weights int8, openvino: a data set or a directory of pictures, to compute in int8 by.",
            show_default=False,
        ),
    ] = None,
    calibration_images: Annotated[int, typer.Option(help="Pictures of --calibrate at most.", min=1)] = 300,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="--calibrate: points that may be lost, of mIoU (0.5), or without masks of labels that agree (3).",
            min=0,
            show_default=False,
        ),
    ] = None,
    merge_queries: MergeQueries = None,
    data_format: Annotated[DataFormat, typer.Option(help="keras, onnx, openvino, litert.")] = DataFormat.LAST,
    signature: Annotated[
        list[str] | None, typer.Option(help="saved_model: only this signature; may be given several times.")
    ] = None,
    labels_at: Annotated[
        LabelsAt, typer.Option(help="saved_model: size of `labels`: map (a quarter) or input.")
    ] = LabelsAt.MAP,
    tolerance: Annotated[
        float | None, typer.Option(help="Largest difference kept, as a share of the largest logit.", show_default=False)
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Other formats than saved_model: compare on this picture, not on a made-up one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Write a model for TF Serving or another runtime, and compare what was written with the model."""
    check_model(model, "MODEL")
    if calibrate and (weights is not Weights.INT8 or format is not Format.OPENVINO):
        raise typer.BadParameter(
            "is for --format openvino --weights int8 (ONNX Runtime was slower in int8, LiteRT is not measured).",
            param_hint="--calibrate",
        )
    load_tensorflow()
    from segformer_tf import checkpoints
    from segformer_tf.checkpoints.names import task_of
    from segformer_tf.export.export import export as write
    from segformer_tf.export.signatures import fixed_size
    from segformer_tf.images.processor import SegformerImageProcessor
    from segformer_tf.models.tasks import TFSegformerForImageClassification, TFSegformerForSemanticSegmentation

    task = task_of(checkpoints.load(model).variables)
    model_class = TFSegformerForImageClassification if task == "classifier" else TFSegformerForSemanticSegmentation
    processor = SegformerImageProcessor.from_pretrained(model, or_default=True)
    if format is Format.SAVED_MODEL and size is None and fixed_size(processor) is None:
        say(
            f"warning: the processor of {model} gives pictures no fixed size, so the export takes them one by one and "
            "has no `labels`: --size H W (such as --size 512 512) gives it batches and `labels`."
        )
    exported = write(
        model_class.from_pretrained(
            model, data_format=data_format.value, dtype=dtype, merge_queries=merge_queries or None
        ),
        directory,
        format.value,
        processor=processor,
        size=size,
        batch=batch,
        weights=weights.value,
        calibration=calibration_of(calibrate, calibration_images, max_drop, processor, size) if calibrate else None,
        tolerance=tolerance,
        picture=processor.pixels(picture) if picture else None,
        names=signature or None,
        labels_at=labels_at.value,
    )
    quantized = exported.quantized
    if as_json:
        more = {"path": str(exported.path), "quantized": quantized and quantized.to_dict()}
        print(json.dumps({**exported._asdict(), **more}))
        return
    same = "" if exported.same_labels is None else f", {exported.same_labels:.3%} of the labels the same"
    print(
        f"wrote {exported.path}: largest difference from the model {exported.difference:.3g} "
        f"({exported.relative_difference:.2g} of the largest logit){same}"
    )
    if quantized:
        in_int8 = sum(layer.precision == "int8" for layer in quantized.layers)
        kept = f", {', '.join(quantized.kept_in_float)} kept in float" if quantized.kept_in_float else ""
        print(
            f"{quantized.measure} {quantized.before:.2f} in float32, {quantized.after:.2f} in int8: {in_int8} of "
            f"{len(quantized.layers)} products compute in int8{kept}, {quantized.faster:.2f}x as fast here "
            "(quantization.json lists them)"
        )


@app.command()
def serve(
    directory: ModelDirectory,
    name: Name = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    grpc_port: Annotated[int, typer.Option(help="0 takes a free port.")] = 8500,
    rest_port: Annotated[int, typer.Option(help="0 takes a free port.")] = 8501,
    max_batch_size: Annotated[int, typer.Option(help="Pictures that run together at most.", min=1)] = 8,
    batch_timeout_ms: Annotated[float, typer.Option(help="How long a batch waits for more.", min=0)] = 5.0,
    version: Annotated[
        list[int] | None, typer.Option(help="Only this version; may be given several times. The highest by default.")
    ] = None,
    label: Labels = None,
    config: Annotated[
        Path | None, typer.Option(help="A models.config with versions and labels, read again whenever it changes.")
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
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file, with its chain; speaks TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File of a token; clients send it as Authorization: Bearer TOKEN.")
    ] = None,
) -> None:
    """Answer TF Serving's gRPC and REST requests on this machine, to try an export; needs the `serve` extra."""
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("Give both, or neither.", param_hint="--tls-certificate, --tls-key")
    if config and (version or label):
        raise typer.BadParameter("Leave --version and --label out: the file says them.", param_hint="--config")
    labels = _labels(label)
    token = token_file.read_text("utf-8").strip() if token_file else None
    if token == "":
        raise typer.BadParameter(f"{token_file} is empty, expected a token.", param_hint="--token-file")
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
        policy=Policy(frozenset(version or ()), labels, file=config, name=name),
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
    # Both end the `wait` below; SIGINT too is set, because a shell lets background jobs ignore it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with server:
        scheme = "https" if tls_certificate else "http"
        versions = ", ".join(map(str, server.model.versions))
        print(
            f"serving {server.model.name} version {versions}: gRPC {host}:{server.grpc_port}, "
            f"REST {scheme}://{host}:{server.rest_port}/v1/models/{server.model.name}",
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
        if not key or not version.isdecimal():
            raise typer.BadParameter(f"{text!r} is expected as LABEL=VERSION, such as canary=2.", param_hint="--label")
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
    max_batch_size: Annotated[int, typer.Option(help="Pictures that run together at most.")] = 8,
    batch_timeout_ms: Annotated[float, typer.Option(help="How long a batch waits for more.")] = 5.0,
    threads: Annotated[int, typer.Option(help="Batches that run at the same time.")] = 2,
) -> None:
    """Write TF Serving's models.config, batching_params.txt and monitoring.config."""
    from segformer_tf.serving.config import serving_config
    from segformer_tf.storage.whole import staged

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
