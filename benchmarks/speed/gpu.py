"""What a GPU makes of the models: inference and training, precisions, XLA, batches, beside transformers' PyTorch.

    make bench-gpu          # or: python benchmarks/speed/gpu.py [--jobs infer-b0-512-8 ...] [--rows ...] [--write]

Says so, and ends with status 0, where there is no GPU. A job is infer or train, VARIANT-SIZE-BATCH. Rows of one
framework share a process, one after the other, each with its own weights; medians, and the peak of the GPU's memory.
PyTorch's rows need `.venv-parity` with a PyTorch for this GPU, or another `--peer-python`; TensorRT's the package
tensorrt-cu12 or -cu13.
"""

import argparse
import contextlib
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np
from model_peers import LABELS, VARIANTS
from timing import OUT, PYTHONPATH, ROOT, cell, command_line, keep, show, table

SIZES = [f"{variant}-512-{batch}" for variant in ("b0", "b2", "b5") for batch in (1, 8, 64)] + [
    "b0-1024-8",
    "b5-1024-1",
]
JOBS = [f"{what}-{size}" for what in ("infer", "train") for size in SIZES]
# What computes: (words, options of the peer).
ROWS = {
    "ours f32": ("segformer_tf, float32 without TF32", {"tf32": False}),
    "ours tf32": ("segformer_tf, TF32", {}),
    "ours xla": ("segformer_tf, TF32, XLA", {"xla": True}),
    "ours bf16": ("segformer_tf, bfloat16", {"dtype": "mixed_bfloat16"}),
    "ours bf16 xla": ("segformer_tf, bfloat16, XLA", {"dtype": "mixed_bfloat16", "xla": True}),
    "tensorrt": ("segformer_tf's ONNX in TensorRT, float16", {}),
    "torch": ("transformers PyTorch, eager, TF32", {}),
    "torch compiled": ("transformers PyTorch, compiled, TF32", {"compiled": True}),
    "torch bf16": ("transformers PyTorch, eager, bfloat16", {"dtype": "bfloat16"}),
    "torch bf16 compiled": ("transformers PyTorch, compiled, bfloat16", {"compiled": True, "dtype": "bfloat16"}),
}


def gpu() -> str | None:
    """The GPU's name, None where there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    asked = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    return asked.stdout.splitlines()[0].strip() if asked.returncode == 0 and asked.stdout.strip() else None


def shape(variant: str) -> dict:
    depths, widths, decoder = VARIANTS[variant]
    return {"depths": depths, "hidden_sizes": widths, "decoder_hidden_size": decoder, "num_labels": LABELS}


def ours(variant, size, batch, trains, dtype="float32", xla=False, tf32=True):
    import tensorflow as tf

    from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation

    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    config = SegformerConfig(**shape(variant))
    model = TFSegformerForSemanticSegmentation(config, data_format="channels_last", dtype=dtype)
    x = tf.random.normal((batch, size, size, 3))
    if trains:
        model.compile(jit_compile=xla)
        y = tf.random.uniform((batch, size, size), 0, LABELS, tf.int32)
        return lambda: model.train_on_batch(x, y)
    run = tf.function(lambda: tf.reduce_sum(model(x, training=False)["logits"]), jit_compile=xla)
    return lambda: float(run())  # the number comes back, so the GPU has ended


def tensorrt(variant, size, batch, trains):
    import tensorrt as trt  # noqa: F401  (its absence is the row's answer)

    from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
    from segformer_tf.export.export import export

    if trains:
        raise ValueError("TensorRT does not train")
    model = TFSegformerForSemanticSegmentation(SegformerConfig(**shape(variant)), data_format="channels_first")
    path = export(model, OUT / f"gpu-{variant}-{size}-{batch}", "onnx", size=(size, size), batch=batch).path
    import onnxruntime

    providers = [("TensorrtExecutionProvider", {"trt_fp16_enable": True}), "CUDAExecutionProvider"]
    session = onnxruntime.InferenceSession(path, providers=providers)
    if session.get_providers()[0] != "TensorrtExecutionProvider":
        raise ValueError("ONNX Runtime here has no TensorRT: pip install onnxruntime-gpu tensorrt-cu12")
    x = np.random.default_rng(0).normal(size=(batch, 3, size, size)).astype(np.float32)
    return lambda: session.run(["logits"], {"pixel_values": x})


def torch_peer(variant, size, batch, trains, compiled=False, dtype="float32"):
    import torch
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    model = SegformerForSemanticSegmentation(SegformerConfig(**shape(variant))).cuda().train(trains)
    forward = torch.compile(model) if compiled else model
    x = torch.randn(batch, 3, size, size, device="cuda")
    y = torch.randint(0, LABELS, (batch, size, size), device="cuda") if trains else None
    optimizer = torch.optim.AdamW(model.parameters(), 6e-5)

    def run():
        with torch.set_grad_enabled(trains), torch.autocast("cuda", torch.bfloat16, enabled=dtype == "bfloat16"):
            found = forward(x, labels=y)
        if not trains:
            return float(found.logits.sum())
        found.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(found.loss)

    return run


def peak_mb(framework: str) -> dict[str, float]:
    """The most of the GPU's memory that tensors took since the last call, in MB; nothing counts TensorRT's."""
    if framework == "tensorrt":
        return {}
    if framework == "torch":
        import torch

        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    else:
        import tensorflow as tf

        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        tf.config.experimental.reset_memory_stats("GPU:0")
    return {"peak_mb": peak / 1e6}


def timed(row: str, job: str, runs: int) -> dict:
    """A row's figures for a job, or why it failed."""
    framework = row.split()[0]
    what, variant, size, batch = job.split("-")
    make = {"ours": ours, "tensorrt": tensorrt, "torch": torch_peer}[framework]
    times = []
    try:
        peak_mb(framework)
        start = time.perf_counter()
        run = make(variant, int(size), int(batch), what == "train", **ROWS[row][1])
        for _ in range(3):
            run()
        ready = time.perf_counter() - start
        for _ in range(runs):
            start = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - start))
        peak = peak_mb(framework)
    except Exception as error:  # whatever it is, the table says it
        lines = [line for line in str(error).splitlines() if line.strip()]
        return {"failure": f"failed: {type(error).__name__}: {lines[0][:200] if lines else ''}"}
    spread = [min(times), max(times)]
    return {"ms": statistics.median(times), "spread": spread, **peak, "ready_s": ready}


def worker(runs: str, seconds: str, *given: str) -> None:
    """Prints a line of JSON for each row and job; none is begun after so many seconds."""
    start = time.monotonic()
    rows, jobs = (part.split(",") for part in given)
    for job in jobs:
        for row in rows:
            late = time.monotonic() - start > float(seconds)
            found = {"failure": "not run: out of time"} if late else timed(row, job, int(runs))
            print("ANSWER", json.dumps([row, job, found]), flush=True)
            gc.collect()
            if row.startswith("torch"):
                import torch

                torch.cuda.empty_cache()
                torch.compiler.reset()
            else:
                with contextlib.suppress(ImportError):
                    import keras

                    keras.backend.clear_session()


def measured(python: str, rows: list[str], arguments: argparse.Namespace) -> list:
    """What a process of one framework answers, [row, job, figures] each."""
    command = [python, "-W", "ignore", str(ROOT / "benchmarks/speed/gpu.py"), "worker", str(arguments.runs)]
    command += [str(arguments.seconds), ",".join(rows), ",".join(arguments.jobs)]
    answers = []
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        for line in process.stdout or ():
            if line.startswith("ANSWER "):
                answers.append(json.loads(line.removeprefix("ANSWER ")))
                print(f"{answers[-1][1]} {answers[-1][0]}: {cell(answers[-1][2], None, 'peak_mb', 1)}", flush=True)
    there = {(row, job) for row, job, _ in answers}
    gone = {"failure": f"failed: the process ended with {process.returncode}"}
    return answers + [[row, job, gone] for row in rows for job in arguments.jobs if (row, job) not in there]


def main() -> None:
    parser = command_line(__doc__, "gpu", runs=20)
    parser.add_argument("--jobs", nargs="+", default=JOBS)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--python", default=str(ROOT / ".venv/bin/python"), help="runs our rows")
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-parity/bin/python"), help="runs PyTorch's rows")
    parser.add_argument("--seconds", type=float, default=3600.0, help="after which a framework begins no further row")
    arguments = parser.parse_args()
    name = gpu()
    if name is None:
        print("There is no GPU here (nvidia-smi finds none): nothing is measured.")
        return
    start = time.monotonic()
    results: dict[str, dict] = {job: {} for job in arguments.jobs}
    kept = json.loads(arguments.json.read_text()).get("results", {}) if arguments.json.is_file() else {}
    for job, rows in kept.items():  # those that are measured now take their places
        results.setdefault(job, {}).update(rows)
    for framework, python in (
        ("ours", arguments.python),
        ("tensorrt", arguments.python),
        ("torch", arguments.peer_python),
    ):
        rows = [row for row in arguments.rows if row.split()[0] == framework]
        if not rows:
            continue
        for row, job, found in measured(python, rows, arguments):
            results[job][row] = found
        keep(arguments, results, gpu=name)
    body = [
        [words, *(cell(results[job].get(row), results[job].get("ours tf32"), "peak_mb", 1) for job in results)]
        for row, (words, _) in ROWS.items()
    ]
    about = f"{name}; medians of {arguments.runs}; {(time.monotonic() - start) / 60:.0f} minutes."
    show(arguments, f"{about}\n\n{table(['', *results], body)}")


if __name__ == "__main__":
    worker(*sys.argv[2:]) if sys.argv[1:2] == ["worker"] else main()
