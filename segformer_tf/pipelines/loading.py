"""A checkpoint as a model with a trained head, in another runtime, and in the fastest of them."""

import importlib.util
import math
import os
import sys
import tempfile
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segformer_tf import checkpoints
from segformer_tf.checkpoints.infer import expected_shapes
from segformer_tf.config import SegformerConfig
from segformer_tf.images.probabilities import votes
from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.pipelines.predict import How
from segformer_tf.pipelines.runtimes.description import TASKS, Description
from segformer_tf.pipelines.runtimes.exported import KINDS, PACKAGES, check_installed, exported_file
from segformer_tf.pipelines.runtimes.measuring import least_seconds
from segformer_tf.pipelines.runtimes.numpy_network import NumPy
from segformer_tf.pipelines.runtimes.runtime import KerasModel, Runtime, export_quietly, pixels_shape
from segformer_tf.storage import find
from segformer_tf.storage.read import reason

if TYPE_CHECKING:
    from segformer_tf.models.base import SegformerBase

WORTH_CONVERTING = {"openvino": 100, "litert": 400}  # pictures of one call from which on it has paid for itself
TIMED = 3  # runs of each that is compared
SOON = 2**21  # pixels of all pictures together: NumPy computes them in less time than TensorFlow takes to load


class WrongTask(ValueError):
    """A model that has no trained head for what it is to do; it may be one for another task."""


class Fitted(Runtime):
    """A file of one size for the pictures that have it, the model that it was made of for all others."""

    def __init__(self, file: Runtime, model: Runtime):
        super().__init__(file.source, model.description)
        self.file, self.model, self.backend = file, model, file.backend

    def __call__(self, pixel_values: np.ndarray) -> np.ndarray:
        chosen = self.file if pixel_values.shape[1:3] == self.file.size else self.model
        self.backend = chosen.backend  # what answered last
        return chosen(pixel_values)


def converted(model: Any, runtime: str, size: tuple[int, int] | None = None) -> Runtime:
    """A Keras model in OpenVINO, ONNX Runtime or LiteRT, which takes 5 to 20 seconds, or in NumPy.

    For any batch and size; in LiteRT for pictures (height, width) of `size`, others are computed by the model.

    Raises:
        ImportError: A package is not installed.
        ValueError: LiteRT, and no size.
    """
    if runtime == "numpy":
        return NumPy(type(model).__name__, Description.of_model(model), model.variable_arrays())
    check_installed(runtime, f"runtime={runtime!r}")
    bound = (size, 1) if runtime == "litert" else (None, None)
    if bound == (None, 1):
        raise ValueError(
            "runtime='litert' needs one size, and the processor has none: give it size={'height': ..., 'width': ...}, "
            "or choose another runtime."
        )
    directory = tempfile.TemporaryDirectory(prefix="segformer-", ignore_cleanup_errors=True)
    path = Path(directory.name, {"openvino": "model.xml", "onnx": "model.onnx", "litert": "model.tflite"}[runtime])
    try:
        export_quietly(model, path, runtime, pixels_shape(model, *bound))
        made: Any = KINDS[path.suffix](path, Description.of_model(model, size=bound[0]))
    except BaseException:
        directory.cleanup()
        raise
    made.source = f"{type(model).__name__} in {runtime}"
    weakref.finalize(made, directory.cleanup)  # OpenVINO reads from it until the end
    return Fitted(made, KerasModel(model)) if size and runtime == "litert" else made


def candidate(processor: SegformerImageProcessor, how: How, pictures: int) -> str | None:
    """The runtime that is likely the fastest here; None where converting takes longer than so many pictures save.

    Without AVX-512 LiteRT, where it is installed, for pictures that are taken whole and have one size; else OpenVINO.
    """
    whole = how.mode == "whole" and how.resize is None and tuple(how.scales) == (1.0,)
    litert = whole and processor.fixed_size and importlib.util.find_spec(PACKAGES["litert"]) and not has_avx512()
    backend = "litert" if litert else "openvino"
    return backend if pictures >= WORTH_CONVERTING[backend] else None


def has_avx512() -> bool:
    """Whether the processor computes on 512 bits at a time; False where Linux does not say."""
    told = Path("/proc/cpuinfo")
    return told.exists() and " avx512f " in told.read_text("utf-8", "ignore").replace("\n", " ")


def fastest(runtime: Any, processor: SegformerImageProcessor, backend: str) -> Runtime:
    """A Keras model's own graph, or the model in `backend` if that is installed, faster here and of the same labels.

    Says which; where the model cannot be converted, or not run there, why.
    """
    height, width = processor.fixed_size or (512, 512)
    sample = np.random.default_rng(0).normal(size=(1, height, width, processor.channels or 3)).astype(np.float32)
    try:
        made = converted(runtime.model, backend, processor.fixed_size)
        agrees = (votes(runtime(sample)) == votes(made(sample))).mean() >= 0.999
        chosen = (
            made if agrees and least_seconds(made, sample, TIMED) < least_seconds(runtime, sample, TIMED) else runtime
        )
    except ImportError:
        _say("TensorFlow", f"pip install openvino for more speed{_without_onednn()}")
        return runtime
    except Exception as error:  # converters and runtimes raise what they like, and the model computes without them
        _say("TensorFlow", f"{backend} cannot: {reason(error)}{_without_onednn()}")
        return runtime
    slower = _without_onednn() if chosen is runtime else ""
    _say(chosen.backend, f"runtime= chooses another{slower}")
    return chosen


def _say(backend: str, more: str) -> None:
    print(f"segformer-tf: computing with {backend} ({more}).", file=sys.stderr)


def _without_onednn() -> str:
    """What to do where TensorFlow leaves oneDNN off, which it does on some processors: b0 takes half as long again."""
    from segformer_tf.models import kernels

    unset = "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    off = unset and not kernels.tensorflow.on_gpu() and not kernels.onednn.fuses_layer_norm()
    return "; TF_ENABLE_ONEDNN_OPTS=1 in the environment makes TensorFlow faster here" if off else ""


def soon_in_numpy(name_or_path: str | os.PathLike, pictures: int, options: dict[str, Any]) -> bool:
    """Whether NumPy has answered for so many pictures before TensorFlow is loaded; `options` are a pipeline's.

    Never for exported files, for windows (only the picture tells how many), and where TensorFlow is loaded already.
    OSError where the Hub cannot be reached, which is not tried twice.
    """
    if options.get("mode", "whole") != "whole" or "tensorflow" in sys.modules or exported_file(name_or_path):
        return False
    try:
        config = find.load_config(name_or_path)
        size = SegformerImageProcessor.from_pretrained(name_or_path, or_default=True).fixed_size
    except (FileNotFoundError, ValueError):  # loading tells what is wrong, or reads the configuration off the weights
        return False
    if size is None or config.get("merge_queries") or config.get("merge_keys"):
        return False
    times = sum(scale**2 for scale in options.get("scales", (1.0,))) * (2 if options.get("flip") else 1)
    return pictures * math.prod(size) * times <= SOON


def in_numpy(class_name: str, name_or_path: str | os.PathLike, **where: Any) -> NumPy:
    """A checkpoint in NumPy; nothing of Keras or TensorFlow is loaded. Errors are those of `whole_model`."""

    def load() -> tuple[NumPy, dict[str, list]]:
        checkpoint = checkpoints.load(name_or_path, **where)
        config = SegformerConfig.from_dict(checkpoint.config)
        shapes = expected_shapes(config, TASKS[class_name].head)
        source = str(checkpoint.file)
        variables, report = checkpoints.match(shapes, checkpoint.variables, source, checkpoint.unexpected)
        return NumPy(str(name_or_path), Description(class_name, config.to_dict()), variables), report

    return _whole(class_name, name_or_path, load)


def whole_model(class_name: str, name_or_path: str | os.PathLike, **arguments: Any) -> "SegformerBase":
    """A checkpoint's model; `WrongTask` where it has another task's head, whose answers would be random."""

    def load() -> tuple["SegformerBase", dict[str, list]]:
        from segformer_tf.models import tasks

        return getattr(tasks, class_name).from_pretrained(name_or_path, output_loading_info=True, **arguments)

    return _whole(class_name, name_or_path, load)


def _whole(class_name: str, name_or_path: str | os.PathLike, load: Callable[[], tuple[Any, dict[str, list]]]) -> Any:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model, report = load()
    if report["missing_keys"]:
        raise WrongTask(
            f"{name_or_path} has no weights for the head of a {class_name} ({', '.join(report['missing_keys'][:3])}): "
            "its answers would be random; take a checkpoint of this task, or train the head first."
        )
    for warning in heard:
        warnings.warn(warning.message, stacklevel=4)
    return model
