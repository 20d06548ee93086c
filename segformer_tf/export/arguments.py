"""Which arguments of `export` fit each other, told before the work; nothing of Keras or TensorFlow is loaded for it.

A message about one argument begins with its name, by which the command line finds the option.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segformer_tf.bounds import SMALLEST_SIDE
from segformer_tf.images.processor import SegformerImageProcessor

_ANY = ("float32", "float16", "int8")
WEIGHTS = {"saved_model": ("float32",), "keras": ("float32",), "onnx": _ANY, "openvino": _ANY, "litert": _ANY}
FORMATS = tuple(WEIGHTS)
MAX_PIXELS = 25_000_000  # a camera's 6000 x 4000; while it is worked on it takes some 30 bytes a pixel
BATCHED = ("onnx", "openvino")  # formats whose file may be bound to a batch
SUFFIXES = (".keras", ".onnx", ".xml", ".bin", ".tflite", ".pb")  # of the files that are written
CONVERTED = ("onnx", "openvino", "litert")  # formats that a converter writes


def check(
    format: str,
    size: tuple[int, int] | None,
    batch: int | None,
    weights: str,
    dtype: str,
    smallest: int = SMALLEST_SIDE,
    *,
    picture: Any = None,
    calibration: Any = None,
    names: Iterable[str] | None = None,
    labels_at: str = "map",
    max_pixels: int = MAX_PIXELS,
    program: str | None = None,
) -> None:
    """Raises ValueError for arguments of `export` that do not fit each other, or that the format has no use for.

    `smallest` is the model's, if known; of `picture` and `calibration` it counts whether there is one.
    """
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}, expected one of {', '.join(FORMATS)}: choose one of these.")
    choices = WEIGHTS[format]
    if weights not in choices:
        raise ValueError(
            f"weights is {weights!r}, expected {' or '.join(choices)} for {format}"
            f"{': load the model with dtype=... for a smaller one.' if weights in _ANY else '.'}"
        )
    if batch is not None and format not in BATCHED:
        raise ValueError(f"batch is {batch} for {format}, expected none: it binds files of {' or '.join(BATCHED)}.")
    if batch is not None and batch < 1:
        raise ValueError(f"batch is {batch}, expected a number above 0: leave it out, or correct it.")
    if size is not None and min(size) < smallest:
        raise ValueError(f"size is {size[0]} x {size[1]}, expected at least {smallest} a side: enlarge it.")
    check_floats(dtype.split("_from_")[:-1])  # as Keras calls them: int8_from_float32
    if dtype != "float32" and format in CONVERTED:
        raise ValueError(
            f"dtype is {dtype!r} for {format}, expected 'float32', which converters read: weights=\"float16\" makes a "
            "smaller file, and saved_model and keras take other dtypes."
        )
    if calibration is not None and (weights != "int8" or format != "openvino"):
        raise ValueError(
            f'calibration is for weights "int8" and openvino; weights is {weights!r} for {format}: leave it out, or '
            "change these (ONNX Runtime and LiteRT are slower in int8 than in float32)."
        )
    if program is not None and (program != "transformers.js" or format != "onnx"):
        raise ValueError(f'program is {program!r} for {format}, expected "transformers.js" for onnx: correct it.')
    if format == "keras" and size is not None:
        raise ValueError(f"size is {size[0]} x {size[1]} for keras, expected none: a .keras file takes any size.")
    if format == "saved_model" and picture is not None:
        raise ValueError("picture is given for saved_model, expected none: the other formats are compared on one.")
    served = {"names": (names, None), "labels_at": (labels_at, "map"), "max_pixels": (max_pixels, MAX_PIXELS)}
    for key, (value, default) in served.items():
        if format != "saved_model" and value != default:
            raise ValueError(f"{key} is {value!r:.100} for {format}, expected none: it is for saved_model.")
    if max_pixels < 1:
        raise ValueError(f"max_pixels is {max_pixels}, expected a number above 0: leave it out, or correct it.")


def check_floats(modes: Iterable[str]) -> None:
    """Raises ValueError where there is a mode of Keras' quantization."""
    if found := sorted({*modes}):
        raise ValueError(
            f"The model is quantized ({', '.join(found)}), expected one of floats: export it before `quantize`, such "
            'as with weights="int8", or keep this one by `model.save("model.keras")`.'
        )


def check_kept(directory: Path, tolerance: float | None) -> None:
    """Raises ValueError where no file could be kept, or would go into a directory that is called like one."""
    if directory.suffix.lower() in SUFFIXES and not directory.exists():
        raise ValueError(f"{directory} has the name of a file, and is where the directory goes: name a directory.")
    if tolerance is not None and not tolerance >= 0:  # as a NaN is not
        raise ValueError(f"tolerance is {tolerance}, expected 0 or more: leave it out, or correct it.")


def check_resized(processor: SegformerImageProcessor, smallest: int) -> None:
    """Raises ValueError for a processor that makes pictures too small for the model."""
    size = processor.size
    if processor.do_resize and min(size.values()) < smallest:  # a shortest edge, or height and width
        raise ValueError(
            f"The processor's size is {size}, expected at least {smallest} pixels a side, the smallest picture that "
            "the model takes: enlarge it."
        )


def check_for_transformers_js(data_format: str, num_channels: int, num_labels: int) -> None:
    """Raises ValueError for a model that transformers.js could not run."""
    if data_format != "channels_first":
        raise ValueError(
            f'The model has data_format {data_format!r}, transformers.js expects "channels_first": load it so.'
        )
    if num_channels != 3 or num_labels == 1:
        raise ValueError(
            f"The model has num_channels {num_channels} and num_labels {num_labels}, transformers.js expects 3 "
            "channels and 2 classes or more: take the ONNX file alone, without program."
        )
