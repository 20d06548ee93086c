"""`calibrate`, a temperature for true probabilities; and the pictures that `export --calibrate` takes ranges from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli.app import app, check_model, load_tensorflow, say
from segformer_tf.cli.inputs import find_pictures
from segformer_tf.cli.opened import open_both
from segformer_tf.cli.options import AsJson, Binary, Data, ProtocolName, written_as


@app.command()
def calibrate(
    model: Annotated[str, typer.Argument(help="Directory or run, or with --output a Hub id or bundled model.")],
    data: Data,
    split: Annotated[str, typer.Option(help="Pictures that the model was not trained on.")] = "val",
    protocol: ProtocolName = "plain",
    output: Annotated[Path | None, typer.Option(help="Directory to save the calibrated model to.")] = None,
    diagram: Annotated[
        Path | None,
        typer.Option(
            help="Draw the reliability diagram into this file.", callback=written_as(".png", ".jpg", ".svg", ".pdf")
        ),
    ] = None,
    binary: Binary = False,
    as_json: AsJson = False,
) -> None:
    """Find the temperature that makes a model's probabilities true, and save it with the model.

    segformer-tf calibrate RUN/best --data photos --diagram reliability.png
    """
    check_model(model, "MODEL")
    load_tensorflow()
    from segformer_tf import SegformerImageProcessor
    from segformer_tf.pipelines.runtimes.exported import exported_file
    from segformer_tf.pipelines.runtimes.runtime import KerasModel
    from segformer_tf.training import Protocol
    from segformer_tf.training.scoring import calibration

    try:
        chosen = Protocol(protocol)
        if exported_file(model):
            raise ValueError(
                f"{model} is an exported file: calibrate the model that it was made from, and export again."
            )
        saved_in = None if output else calibration.config_of(model)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    pictures, opened = open_both(model, data, split, binary)
    processor = opened.processor or SegformerImageProcessor()
    if diagram is not None:
        calibration.figures()  # that it is missing is said before minutes of work
    found = calibration.calibrate(KerasModel(opened.network), pictures, chosen, processor)
    if saved_in is None:
        calibration.save_into(opened.network, found["temperature"], output)
        processor.save_pretrained(output)
    else:
        calibration.write_temperature(saved_in, found["temperature"])
    if diagram is not None:
        calibration.draw([("without a temperature", found["before"]), ("calibrated", found["after"])], diagram)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, words in (("before", "without"), ("after", "with")):
        print(f"{words:8} ECE {found[name]['ECE']:.4f}  cross-entropy {found[name]['loss']:.4f}")
    pixels = f"{found['pixels']:,} pixels of " if "pixels" in found else ""
    print(f"temperature {found['temperature']:.4f}, of {pixels}{len(pictures)} pictures; {found['protocol']}")
    print(f"saved in {saved_in or output}")


def calibration_of(
    data: Path, images: int, max_drop: float | None, processor: Any, size: Any = None, classifies: bool = False
) -> Any:
    """A `Calibration` by a data set's training pictures, judged by mIoU on its val split; or by pictures alone."""
    from segformer_tf.export.export import at_size
    from segformer_tf.export.quantized import Calibration
    from segformer_tf.training import evaluate

    if size:
        processor = at_size(processor, size)
    files, val = _calibration_pictures(data, classifies)
    score = None
    if val is not None:
        score = lambda runtime: 100.0 * evaluate(runtime, val, "processor", processor)["mIoU"]  # noqa: E731
    files = [files[i * len(files) // min(images, len(files))] for i in range(min(images, len(files)))]
    lying = {"data_format": "channels_last", "input_data_format": "channels_last", "return_tensors": "np"}

    broken: dict[Any, Exception] = {}

    def pixels() -> Iterator[Any]:
        for file in files:
            if file in broken:
                continue
            try:
                found = processor(processor.pixels(file, strict=True), **lying).pixel_values
            except (OSError, ValueError) as error:
                broken[file] = error
                say(f"{error} It is left out.")
                continue
            yield found

    if next(pixels(), None) is None:  # told before anything is made
        raise next(iter(broken.values()))
    return Calibration(pixels, score, max_drop)


def _calibration_pictures(data: Path, classifies: bool) -> tuple[list[Any], Any]:
    """Pictures to take ranges from, and the labelled split to judge by, None where labels that agree are to do.

    Of a data set with masks the training pictures: its masks are pictures too.
    """
    from segformer_tf.data import layout_of, read_split

    try:
        layout_of(data)
    except FileNotFoundError:  # pictures alone
        train = None
    else:
        train = read_split(data, "train")
    if train is None:
        return [picture.source for picture in find_pictures([str(data)], recursive=True)], None
    if train.shards:
        raise ValueError(f"{data} holds TFRecord files, expected pictures to calibrate by: give the data they are of.")
    if classifies or not train.has_masks:
        return list(train.images), None
    try:
        return list(train.images), read_split(data, "val")
    except FileNotFoundError:
        say(f"{data} has no split val: int8 is judged by labels that stay the same, not by mIoU.")
        return list(train.images), None
