"""float32, bfloat16 and int8 files of one model: milliseconds, mIoU and size.

    .venv/bin/python benchmarks/speed/int8.py --data ../shared/data/camvid [--others] [--write]      # 15 minutes

The int8 file is calibrated by `--calibration-images` training pictures and bound to the model's size; needs the extra
`int8`. Variants beside the bundled model (`--variants b0 b2 b5`) have random weights: time alone, at 512x512, and
beside them what people do today: NNCF on transformers' export (made in .venv-runtimes), with the same settings.
`--others` also times the bundled model in int8 in ONNX Runtime (NNCF) and LiteRT (TensorFlow's converter), which the
package does not offer, beside their float32 files. Times are taken in turns, one picture, in this process; mIoU is that
of the val split, by this package's own runtime, which computes the rest of an int8 file in bfloat16 where the processor
has it. A processor without VNNI (AVX-512 or AVX) computes int8 no faster than float32.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from models import prepare
from timing import OUT, THREADS, command_line, keep, machine, show, table

from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForSemanticSegmentation
from segformer_tf.cli.calibration import calibration_of
from segformer_tf.export.export import export
from segformer_tf.export.quantized import Calibration

BUNDLED = "segformer-b0-camvid"
HINTS = {  # row: which file, what computes the rest
    "float32": ("float32", "f32"),
    "bfloat16": ("float32", "bf16"),
    "int8": ("int8", "f32"),
    "int8, the rest in bfloat16": ("int8", "bf16"),
    "NNCF on transformers' export": ("theirs", "f32"),
    "the same, the rest in bfloat16": ("theirs", "bf16"),
}


def files(model, processor, size, calibration, directory: Path) -> tuple[dict[str, Path], dict[str, float]]:
    """The float32 and the int8 file, and their mIoU, or how many labels agree."""
    shared = {"processor": processor, "size": size, "batch": 1, "tolerance": np.inf}
    int8 = export(model, directory / "int8", "openvino", weights="int8", calibration=calibration, **shared)
    scores = int8.quantized
    print(f"{scores.measure}: float32 {scores.before:.2f}, int8 {scores.after:.2f}", flush=True)
    float32 = export(model, directory / "float32", "openvino", **shared)
    return {"float32": float32.path, "int8": int8.path}, {"float32": scores.before, "int8": scores.after}


def theirs(variant: str, path: Path) -> dict[str, Path]:
    """transformers' export in int8, with the settings of ours; nothing where it cannot be made here."""
    import nncf
    import openvino

    if failures := prepare(f"{variant}-512-1-float32", ["openvino"]):
        print(f"transformers' export of {variant} is left out: {failures}", flush=True)
        return {}
    model = openvino.Core().read_model(OUT / f"{variant}-512-1" / "torch.xml")
    noise = np.random.default_rng(0).normal(size=(2, 1, 3, 512, 512)).astype(np.float32)
    how = {"preset": nncf.QuantizationPreset.MIXED, "model_type": nncf.ModelType.TRANSFORMER}
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(nncf.quantize(model, nncf.Dataset(list(noise)), subset_size=2, **how), path, False)
    return {"theirs": path}


def in_turns(run: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Medians in milliseconds, after one run each that is not timed."""
    times: dict[str, list[float]] = {row: [] for row in run}
    for turn in range(runs + 1):
        for row, once in run.items():
            start = time.perf_counter()
            once()
            if turn:
                times[row].append(1000 * (time.perf_counter() - start))
    return {row: statistics.median(each) for row, each in times.items()}


def milliseconds(paths: dict[str, Path], runs: int) -> dict[str, float]:
    """Medians, in turns; what the processor cannot compute in is left out."""
    import openvino

    core = openvino.Core()
    can = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    run: dict[str, Callable[[], object]] = {}
    for row, (file, precision) in HINTS.items():
        if file in paths and (precision == "f32" or "BF16" in can):
            settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS}
            compiled = core.compile_model(core.read_model(paths[file]), "CPU", settings)
            pixels = np.random.default_rng(0).normal(size=list(compiled.input(0).shape)).astype(np.float32)
            run[row] = lambda compiled=compiled, pixels=pixels: compiled(pixels)
    return in_turns(run, runs)


def other_runtimes(model, processor, size, calibration, directory: Path, runs: int) -> list[list[str]]:
    """Rows of ONNX Runtime's and LiteRT's float32 and int8 files."""
    import nncf
    import onnx

    from segformer_tf.export.formats import FILES
    from segformer_tf.pipelines.runtimes.description import KEY, Description, append
    from segformer_tf.pipelines.runtimes.runtime import export_quietly

    shape, pictures = (1, *size, 3), list(calibration.pixels())
    made: dict[str, tuple[str, Path]] = {}
    for format in ("onnx", "litert"):
        full = directory / f"{format}-float32" / FILES[format].file
        full.parent.mkdir(parents=True)
        about = Description.of_model(model, processor, size)
        FILES[format].write(model, full, shape, "float32", about)
        small = directory / f"{format}-int8" / FILES[format].file
        small.parent.mkdir()
        if format == "onnx":
            how = {"preset": nncf.QuantizationPreset.MIXED, "model_type": nncf.ModelType.TRANSFORMER}
            data = nncf.Dataset([{"pixel_values": x} for x in pictures])
            quantized = nncf.quantize(onnx.load(full), data, subset_size=len(pictures), **how)
            onnx.helper.set_model_props(quantized, {KEY: about.text()})
            onnx.save(quantized, small)
        else:
            import tensorflow as tf

            how = {
                "optimizations": [tf.lite.Optimize.DEFAULT],
                "representative_dataset": lambda: ([x] for x in pictures),
            }
            export_quietly(model, small, "litert", shape, **how)
            append(small, about.text())
        made |= {f"{format}, float32": (format, full), f"{format}, int8": (format, small)}
    loaded = {row: FILES[format].load(path) for row, (format, path) in made.items()}
    found = in_turns({row: lambda each=each: each(pictures[0]) for row, each in loaded.items()}, runs)
    rows = []
    for row, (format, path) in made.items():
        times = f"{found[row]:.1f} ms, {found[f'{format}, float32'] / found[row]:.2f}x"
        score = calibration.score(loaded[row])
        print(row, times, f"{score:.2f} %", flush=True)
        rows.append([BUNDLED, row, times, f"{score:.2f} %", f"{path.stat().st_size / 1e6:.1f} MB"])
    return rows


def main() -> None:
    parser = command_line(__doc__, "int8", runs=7)
    parser.add_argument("--data", type=Path, help="a data set with the bundled model's classes, for mIoU")
    parser.add_argument("--calibration-images", type=int, default=123)
    parser.add_argument("--variants", nargs="*", default=["b0", "b2", "b5"])
    parser.add_argument("--others", action="store_true", help="also ONNX Runtime and LiteRT; needs --data")
    arguments = parser.parse_args()
    results, rows = {}, []
    with tempfile.TemporaryDirectory() as temporary:
        for name in ([BUNDLED] if arguments.data else []) + arguments.variants:
            if name == BUNDLED:
                model = TFSegformerForSemanticSegmentation.from_pretrained(name, data_format="channels_last")
                processor = SegformerImageProcessor.from_pretrained(name)
                size = (processor.size["height"], processor.size["width"])
                calibration = calibration_of(arguments.data, arguments.calibration_images, 100.0, processor)
            else:
                model, size = random_model(name), (512, 512)
                processor = SegformerImageProcessor(size={"height": 512, "width": 512})
                noise = np.random.default_rng(0).normal(size=(2, 1, *size, 3)).astype(np.float32)
                calibration = Calibration(lambda noise=noise: iter(noise), max_drop=100.0)
            made, scores = files(model, processor, size, calibration, Path(temporary, name))
            if name != BUNDLED:
                made |= theirs(name, Path(temporary, name, "theirs", "model.xml"))
            found = milliseconds(made, arguments.runs)
            for row, ms in found.items():
                file = HINTS[row][0]
                size_mb = made[file].with_suffix(".bin").stat().st_size / 1e6
                scored = row in ("float32", "int8, the rest in bfloat16" if "bfloat16" in found else "int8")
                mean = f"{scores[file]:.2f} %" if name == BUNDLED and scored else ""
                rows.append([name, row, f"{ms:.1f} ms, {found['float32'] / ms:.2f}x", mean, f"{size_mb:.1f} MB"])
            results[name] = {"ms": found, "mIoU": scores}
            if name == BUNDLED and arguments.others:
                rows += other_runtimes(model, processor, size, calibration, Path(temporary, "others"), arguments.runs)
            keep(arguments, results)
    text = f"{machine()}; one picture, medians.\n\n" + table(["", "", "a picture", "mIoU", "size"], rows)
    show(arguments, text)


def random_model(variant: str):
    """Weights of real spread."""
    model = TFSegformerForSemanticSegmentation(SegformerConfig.from_variant(variant), data_format="channels_last")
    random = np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.endswith(("gamma", "moving_variance", "beta", "bias", "moving_mean")):
            near = 1.0 if variable.path.endswith(("gamma", "moving_variance")) else 0.0
            variable.assign(near + random.uniform(-0.2, 0.2, variable.shape))
    return model


if __name__ == "__main__":
    main()
