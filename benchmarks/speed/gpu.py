"""What a GPU makes of the models: inference and training, precisions, XLA, batches, beside transformers' PyTorch.

    make bench-gpu                          # or: python benchmarks/speed/gpu.py [--jobs b0-512-8 ...] [--write]

Says so, and ends with status 0, where there is no GPU. A job is VARIANT-SIZE-BATCH. Each row is a process of its own;
medians. PyTorch's rows need `.venv-parity` with a PyTorch for this GPU, TensorRT's the package tensorrt-cu12 or -cu13.
"""

import functools
import shutil
import subprocess
import sys
import time

import numpy as np
from model_peers import LABELS, VARIANTS
from timing import OUT, Worker, cell, command_line, keep, measure, serve, show, table

JOBS = [f"{variant}-512-{batch}" for variant in ("b0", "b2", "b5") for batch in (1, 8, 64)] + ["b0-1024-8", "b5-1024-1"]
# What computes, for inference or a training step: (environment, words, options of the peer).
ROWS = {
    "ours f32": (".venv", "segformer_tf, float32 without TF32", {"tf32": False}),
    "ours tf32": (".venv", "segformer_tf, TF32", {}),
    "ours xla": (".venv", "segformer_tf, TF32, XLA", {"xla": True}),
    "ours bf16": (".venv", "segformer_tf, bfloat16", {"dtype": "mixed_bfloat16"}),
    "ours bf16 xla": (".venv", "segformer_tf, bfloat16, XLA", {"dtype": "mixed_bfloat16", "xla": True}),
    "tensorrt": (".venv", "segformer_tf's ONNX in TensorRT, float16", {}),
    "torch": (".venv-parity", "transformers PyTorch, eager, TF32", {}),
    "torch compiled": (".venv-parity", "transformers PyTorch, compiled, TF32", {"compiled": True}),
    "torch bf16": (".venv-parity", "transformers PyTorch, compiled, bfloat16", {"compiled": True, "dtype": "bfloat16"}),
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


def worker(name: str, job: str, trains: str) -> None:
    variant, size, batch = job.split("-")
    peer = {"ours": ours, "tensorrt": tensorrt, "torch": torch_peer}[name.split()[0]]
    serve(lambda: peer(variant, int(size), int(batch), trains == "train", **ROWS[name][2]))


def main() -> None:
    parser = command_line(__doc__, "gpu", runs=10)
    parser.add_argument("--jobs", nargs="+", default=JOBS)
    arguments = parser.parse_args()
    name = gpu()
    if name is None:
        print("There is no GPU here (nvidia-smi finds none): nothing is measured.")
        return
    results: dict[str, dict] = {}
    start = time.monotonic()
    for what in ("infer", "train"):
        for job in arguments.jobs:
            make = {
                row: functools.partial(Worker, environment, "benchmarks/speed/gpu.py", "worker", row, job, what)
                for row, (environment, _, _) in ROWS.items()
            }
            rows: dict[str, dict] = {}
            for row, begin in make.items():  # one process at a time: each takes the GPU's whole memory
                rows |= measure({row: begin}, arguments.runs)
            results[f"{what} {job}"] = rows
            keep(arguments, results)
            print(f"{what} {job}: " + "; ".join(f"{row} {cell(rows[row], rows['ours tf32'])}" for row in ROWS))
    body = [
        [words, *(cell(results[job].get(row), results[job]["ours tf32"]) for job in results)]
        for row, (_, words, _) in ROWS.items()
    ]
    about = f"{name}; medians of {arguments.runs}; {(time.monotonic() - start) / 60:.0f} minutes."
    show(arguments, "gpu", f"{about}\n\n{table(['', *results], body)}")


if __name__ == "__main__":
    worker(*sys.argv[2:]) if sys.argv[1:2] == ["worker"] else main()
