"""One model of one library, ready to be timed in the library's own environment; `models.py` drives it.

    python model_peers.py PEER VARIANT SIZE BATCH DTYPE     answers as `timing.serve` does, after writing its logits
    python model_peers.py prepare-WHAT VARIANT SIZE BATCH DTYPE writes what peers read: weights (first), saved-model,
                                                      ours-openvino, ours-openvino-any, ours-onnx, ours-litert,
                                                      torch-openvino, torch-onnx

All compute logits of a quarter of the picture's side, all but keras-hub's from the same weights; `models.py` compares
those before it times them.
"""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
from timing import OUT, ROOT, THREADS, serve

LABELS = 150
VARIANTS = {
    "b0": ([2, 2, 2, 2], [32, 64, 160, 256], 256),
    "b1": ([2, 2, 2, 2], [64, 128, 320, 512], 256),
    "b2": ([3, 4, 6, 3], [64, 128, 320, 512], 768),
    "b3": ([3, 4, 18, 3], [64, 128, 320, 512], 768),
    "b4": ([3, 8, 27, 3], [64, 128, 320, 512], 768),
    "b5": ([3, 6, 40, 3], [64, 128, 320, 512], 768),
}


def source() -> str:
    """Eight letters that change with this package's code: what an older one exported is not timed."""
    files = sorted((ROOT / "segformer_tf").rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


class Job:
    """What is computed: a variant on `batch` pictures of `size` a side, in `dtype`; where its files are."""

    def __init__(self, variant: str, size: str, batch: str, dtype: str = "float32"):
        self.variant, self.size, self.batch, self.dtype = variant, int(size), int(batch), dtype
        self.weights = OUT / variant
        self.exports = OUT / f"{variant}-{size}-{batch}"

    def saved_model(self, dtype: str) -> Path:
        return self.weights / f"saved_model-{dtype}-{source()}"

    def ours(self, name: str) -> Path:
        return self.exports / f"ours-{name}-{source()}"

    def pixels(self, channels_first: bool = False) -> np.ndarray:
        x = np.random.default_rng(0).normal(size=(self.batch, self.size, self.size, 3)).astype("float32")
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if channels_first else x

    def save(self, name: str, logits) -> None:
        """Channels-last float32 logits for the comparison; ValueError where a peer computes more or less."""
        logits = np.asarray(logits, "float32")
        side = -(-self.size // 4)
        expected = (self.batch, side, side, LABELS)
        if logits.shape == (self.batch, LABELS, side, side):
            logits = logits.transpose(0, 2, 3, 1)
        if logits.shape != expected:
            raise ValueError(f"its logits are {logits.shape}, expected {expected}: not compared")
        np.save(self.exports / f"{name}-{self.dtype}.npy", logits)


# This package


def assume_frozen_weights() -> None:
    """For TensorFlow graphs that only infer, as a server runs them: oneDNN stores each product's weights once.

    Never where weights change or operations run eagerly: those would go on with the first weights that they saw.
    """
    os.environ.setdefault("TF_ONEDNN_ASSUME_FROZEN_WEIGHTS", "1")


def _ours(job: Job, dtype: str | None = None):
    from segformer_tf import TFSegformerForSemanticSegmentation

    dtype = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[dtype or job.dtype]
    return TFSegformerForSemanticSegmentation.from_pretrained(job.weights, data_format="channels_last", dtype=dtype)


def prepare_weights(job: Job) -> None:
    if not (job.weights / "model.safetensors").exists():
        import keras

        from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation

        keras.utils.set_random_seed(0)
        config = SegformerConfig.from_variant(job.variant, num_labels=LABELS)
        model = TFSegformerForSemanticSegmentation(config, data_format="channels_last")
        random = np.random.default_rng(0)
        for variable in model.weights:  # a bias of 0 and a scale of 1, which no trained model has, converters leave out
            if len(variable.shape) == 1:
                variable.assign(variable.numpy() + random.uniform(-0.1, 0.1, variable.shape))
        model.save_pretrained(job.weights)
        model.save_pretrained(job.weights / "h5", safe_serialization=False)


def prepare_saved_model(job: Job) -> None:
    if not job.saved_model(job.dtype).exists():
        _ours(job).export(str(job.saved_model(job.dtype)), verbose=False)


def _prepare_ours(job: Job, format: str, batch: int | None, name: str) -> None:
    from segformer_tf.export.export import export

    if not job.ours(name).exists():
        export(_ours(job, "float32"), job.ours(name), format, size=(job.size, job.size), batch=batch)


def prepare_ours_openvino(job: Job) -> None:
    _prepare_ours(job, "openvino", job.batch, "openvino")


def prepare_ours_openvino_any(job: Job) -> None:
    _prepare_ours(job, "openvino", None, "openvino-any")


def prepare_ours_onnx(job: Job) -> None:
    _prepare_ours(job, "onnx", job.batch, "onnx")


def prepare_ours_litert(job: Job) -> None:
    _prepare_ours(job, "litert", None, "litert")  # always one


def segformer_tf_eager(job: Job):
    model = _ours(job)
    import tensorflow as tf

    x = tf.constant(job.pixels())
    return lambda: model(x).logits.numpy()


def segformer_tf_predict(job: Job):
    model, x = _ours(job), job.pixels()
    return lambda: model.predict_on_batch(x)["logits"]


def segformer_tf_saved_model(job: Job):
    assume_frozen_weights()
    import tensorflow as tf

    loaded = tf.saved_model.load(str(job.saved_model(job.dtype)))
    run, x = loaded.signatures["serving_default"], tf.constant(job.pixels())
    keep = [loaded]  # its variables live as long as it does
    return lambda: keep and run(x)["logits"].numpy()


def segformer_tf_onnx(job: Job):
    return _onnx_runtime(job.ours("onnx") / "model.onnx", job.pixels())


def segformer_tf_litert(job: Job):
    from ai_edge_litert.interpreter import Interpreter

    if job.batch != 1:
        raise ValueError("LiteRT takes one picture at a time.")
    run = Interpreter(str(job.ours("litert") / "model.tflite"), num_threads=THREADS).get_signature_runner()
    x = job.pixels()
    return lambda: run(pixel_values=x)["logits"]


def segformer_tf_openvino(job: Job):
    return _openvino(job, job.ours("openvino") / "openvino_model.xml", job.pixels())


def segformer_tf_openvino_any(job: Job):
    return _openvino(job, job.ours("openvino-any") / "openvino_model.xml", job.pixels())


# transformers


def transformers_tf(job: Job):
    assume_frozen_weights()
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    from transformers import TFSegformerForSemanticSegmentation

    model = TFSegformerForSemanticSegmentation.from_pretrained(job.weights / "h5")
    x = tf.constant(job.pixels(channels_first=True))
    run = tf.function(lambda x: model(pixel_values=x, training=False).logits)
    return lambda: run(x).numpy()


def _torch_model(job: Job, dtype: str | None = None):
    import torch
    from transformers import SegformerForSemanticSegmentation

    torch.set_num_threads(THREADS)
    dtype = getattr(torch, dtype or job.dtype)
    model = SegformerForSemanticSegmentation.from_pretrained(job.weights, dtype=dtype).eval()
    return torch, model, torch.from_numpy(job.pixels(channels_first=True)).to(dtype)


def transformers_torch(job: Job, compiled: bool = False, channels_last: bool = False):
    torch, model, x = _torch_model(job)
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    model = torch.compile(model) if compiled else model

    def run():
        with torch.inference_mode():
            return model(x).logits.float().numpy()

    return run


def transformers_torch_channels_last(job: Job):
    return transformers_torch(job, channels_last=True)


def transformers_torch_compiled(job: Job):
    return transformers_torch(job, compiled=True)


def _torch_logits(job: Job):
    """A module of transformers' logits alone, and pixels."""
    torch, model, x = _torch_model(job, "float32")

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixel_values):
            return self.model(pixel_values).logits

    return torch, Logits().eval(), x


def prepare_torch_onnx(job: Job) -> None:
    file = job.exports / "torch.onnx"
    if not file.exists():
        torch, logits, x = _torch_logits(job)
        names = {"input_names": ["pixel_values"], "output_names": ["logits"]}
        torch.onnx.export(logits, (x,), str(file), dynamo=True, external_data=False, verbose=False, **names)


def prepare_torch_openvino(job: Job) -> None:
    import openvino

    file = job.exports / "torch.xml"
    if not file.exists():
        torch, logits, x = _torch_logits(job)
        with torch.no_grad():
            converted = openvino.convert_model(logits, example_input=x, input=list(x.shape))
        openvino.save_model(converted, file, compress_to_fp16=False)


def onnx_runtime(job: Job):
    return _onnx_runtime(job.exports / "torch.onnx", job.pixels(channels_first=True))


def openvino(job: Job):
    return _openvino(job, job.exports / "torch.xml", job.pixels(channels_first=True))


def _onnx_runtime(file: Path, x: np.ndarray):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["logits"], {"pixel_values": x})[0]


def _openvino(job: Job, file: Path, x: np.ndarray):
    import openvino

    precision = {"float32": "f32", "bfloat16": "bf16"}[job.dtype]
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(file, "CPU", options)
    return lambda: compiled([x])[0]


# keras-hub: weights of its own, since no file has them for it; its equality is shown in
# tests/checkpoints/test_keras_hub.py


def keras_hub(job: Job):
    assume_frozen_weights()
    import keras
    import keras_hub as hub
    import tensorflow as tf

    depths, hidden_sizes, decoder = VARIANTS[job.variant]
    encoder = hub.models.MiTBackbone(
        layerwise_depths=depths,
        num_layers=4,
        layerwise_num_heads=[1, 2, 5, 8],
        layerwise_sr_ratios=[8, 4, 2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        image_shape=(job.size, job.size, 3),
        hidden_dims=hidden_sizes,
    )
    backbone = hub.models.SegFormerBackbone(image_encoder=encoder, projection_filters=decoder)
    model = hub.models.SegFormerImageSegmenter(backbone=backbone, num_classes=LABELS)
    # Its last layer resizes the logits to the picture: 16 times the values that the others give.
    model = keras.Model(model.inputs, model.resizing.input)
    x = tf.constant(job.pixels())
    run = tf.function(lambda x: model(x, training=False))
    return lambda: run(x).numpy()


def main() -> None:
    name, *arguments = sys.argv[1:]
    job = Job(*arguments)
    if name.startswith("prepare"):
        job.exports.mkdir(parents=True, exist_ok=True)
        globals()[name.replace("-", "_")](job)
        return
    serve(lambda: globals()[name](job), lambda logits: job.save(name, logits))


if __name__ == "__main__":
    main()
