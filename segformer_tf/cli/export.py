"""`export`: a checkpoint to files for servers and other runtimes."""

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli.app import app, check_checkpoint, load_tensorflow, say, wrong_call
from segformer_tf.cli.calibration import calibration_of
from segformer_tf.cli.opened import class_of, classifies
from segformer_tf.cli.options import AsJson, MergeKeys, MergeQueries, merged


class Format(str, Enum):
    """What `export` writes."""

    SAVED_MODEL, KERAS, ONNX, OPENVINO, LITERT = "saved_model", "keras", "onnx", "openvino", "litert"


class Weights(str, Enum):
    """How weights are stored."""

    FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"


class DataFormat(str, Enum):
    """Where the channels lie."""

    LAST, FIRST = "channels_last", "channels_first"


class Program(str, Enum):
    """Who loads what is written."""

    TRANSFORMERS_JS = "transformers.js"


class Signature(str, Enum):
    """What a SavedModel answers to."""

    SERVING_DEFAULT, SEGMENT_TENSOR = "serving_default", "segment_tensor"
    LOGITS, TRANSFORMERS = "logits", "transformers"


class LabelsAt(str, Enum):
    """The size of `labels`."""

    MAP, INPUT = "map", "input"


CALIBRATION_IMAGES = 300
# The option of each argument that `segformer_tf.export` checks.
OPTIONS = {name: f"--{name}" for name in ("format", "size", "batch", "weights", "dtype", "picture", "tolerance")}
OPTIONS |= {"calibration": "--calibrate", "names": "--signature", "labels_at": "--labels-at", "program": "--for"}


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Hub id, directory, file or bundled model.", show_default=False)],
    directory: Annotated[Path, typer.Argument(help="Where the file or version directory goes.", show_default=False)],
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.SAVED_MODEL,
    program: Annotated[
        Program | None,
        typer.Option(
            "--for",
            help="onnx: write the folder that this program loads, for a page without a server.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Not keras: height and width of the model's input; what the processor says by default.",
            show_default=False,
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
    calibration_images: Annotated[
        int | None, typer.Option(help="Pictures of --calibrate at most.", min=1, show_default=str(CALIBRATION_IMAGES))
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="--calibrate: points that may be lost, of mIoU (0.5), or without masks of labels that agree (3).",
            min=0,
            show_default=False,
        ),
    ] = None,
    merge_queries: MergeQueries = None,
    merge_keys: MergeKeys = None,
    data_format: Annotated[DataFormat, typer.Option(help="keras, onnx, openvino, litert.")] = DataFormat.LAST,
    signature: Annotated[
        list[Signature] | None, typer.Option(help="saved_model: only this signature; may be given several times.")
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
    as_json: AsJson = False,
) -> None:
    """Write a model for TF Serving or another runtime, and compare what was written with the model.

    segformer-tf export RUN served
    segformer-tf export RUN file --format openvino --size 512 512 --batch 1
    segformer-tf export RUN small --format openvino --weights int8 --calibrate photos
    """
    from segformer_tf.export.arguments import check, check_kept

    check_checkpoint(model, "MODEL")
    for option, file in (("--calibrate", calibrate), ("--picture", picture)):
        if file is not None and not file.exists():
            raise typer.BadParameter(f"there is no {file}.", param_hint=option)
    names = [name.value for name in signature or ()] or None
    loader = program and program.value
    with wrong_call(options=OPTIONS):
        check(
            format.value,
            size,
            batch,
            weights.value,
            dtype,
            picture=picture,
            calibration=calibrate,
            names=names,
            labels_at=labels_at.value,
            program=loader,
        )
        check_kept(directory, tolerance)
    if data_format is not DataFormat.LAST and format is Format.SAVED_MODEL:
        raise typer.BadParameter("has no use for --format saved_model: leave it out.", param_hint="--data-format")
    for option, value in (("--max-drop", max_drop), ("--calibration-images", calibration_images)):
        if value is not None and not calibrate:
            raise typer.BadParameter("is for --calibrate.", param_hint=option)
    load_tensorflow()
    import keras

    from segformer_tf.export.export import export as write
    from segformer_tf.images.processor import SegformerImageProcessor

    with wrong_call("--dtype"):
        keras.dtype_policies.get(dtype)
    classifier = classifies(model)
    processor = SegformerImageProcessor.from_pretrained(model, or_default=True)
    if format is Format.SAVED_MODEL and size is None and processor.fixed_size is None:
        say(
            f"warning: the processor of {model} gives pictures no fixed size, so the export takes them one by one and "
            "has no `labels`: --size H W (such as --size 512 512) gives it batches and `labels`."
        )
    layout = DataFormat.FIRST if program else data_format
    merging = merged(merge_queries, merge_keys)
    loaded = class_of(classifier).from_pretrained(model, data_format=layout.value, dtype=dtype, **merging)
    calibration = None
    if calibrate:
        images = calibration_images or CALIBRATION_IMAGES
        calibration = calibration_of(calibrate, images, max_drop, processor, size, classifier)
    exported = write(
        loaded,
        directory,
        format.value,
        processor=processor,
        size=size,
        batch=batch,
        weights=weights.value,
        calibration=calibration,
        tolerance=tolerance,
        picture=processor.pixels(picture) if picture else None,
        names=names,
        labels_at=labels_at.value,
        program=loader,
    )
    if as_json:
        quantized = exported.quantized and exported.quantized.to_dict()
        print(json.dumps({**exported._asdict(), "path": str(exported.path), "quantized": quantized}))
    else:
        _show(exported)


def _show(exported: Any) -> None:
    """What was written, and what it costs in accuracy."""
    same = "" if exported.same_labels is None else f", {exported.same_labels:.3%} of the labels the same"
    print(
        f"wrote {exported.path}: largest difference from the model {exported.difference:.3g} "
        f"({exported.relative_difference:.2g} of the largest logit){same}"
    )
    if quantized := exported.quantized:
        in_int8 = sum(layer.precision == "int8" for layer in quantized.layers)
        kept = f", {', '.join(quantized.kept_in_float)} kept in float" if quantized.kept_in_float else ""
        print(
            f"{quantized.measure} {quantized.before:.2f} in float32, {quantized.after:.2f} in int8: {in_int8} of "
            f"{len(quantized.layers)} products compute in int8{kept}, {quantized.faster:.2f}x as fast here "
            "(quantization.json lists them)"
        )
