"""One model of one library, ready to be timed: `python peers.py PEER VARIANT SIZE` in the peer's own environment.

Says "ready" when it is warm, then answers each line on stdin with the milliseconds of one run, and an empty line with the
process's peak memory in MB. `bench_models.py` drives it.
"""

import os
import resource
import sys
import time

THREADS = 2
LABELS = 150
ROWS = {
    "b0": ([2, 2, 2, 2], [32, 64, 160, 256], 256),
    "b1": ([2, 2, 2, 2], [64, 128, 320, 512], 256),
    "b2": ([3, 4, 6, 3], [64, 128, 320, 512], 768),
    "b3": ([3, 4, 18, 3], [64, 128, 320, 512], 768),
    "b4": ([3, 8, 27, 3], [64, 128, 320, 512], 768),
    "b5": ([3, 6, 40, 3], [64, 128, 320, 512], 768),
}


def ours(variant):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation

    config = SegformerConfig.from_variant(variant, num_labels=LABELS)
    return TFSegformerForSemanticSegmentation(config, data_format="channels_last")


def pictures(size, channels_first=False):
    import numpy as np

    shape = (1, 3, size, size) if channels_first else (1, size, size, 3)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def segformer_tf_eager(variant, size):
    import tensorflow as tf

    model, x = ours(variant), tf.constant(pictures(size))
    return lambda: model(x).logits.numpy()


def segformer_tf_predict(variant, size):
    model, x = ours(variant), pictures(size)
    return lambda: model.predict_on_batch(x)["logits"]


def segformer_tf_saved_model(variant, size):
    import tempfile

    import tensorflow as tf

    with tempfile.TemporaryDirectory() as directory:
        ours(variant).export(directory, verbose=False)
        run = tf.saved_model.load(directory).signatures["serving_default"]
    x = tf.constant(pictures(size))
    return lambda: run(x)["logits"].numpy()


def transformers_tf(variant, size):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    from transformers import SegformerConfig, TFSegformerForSemanticSegmentation

    model = TFSegformerForSemanticSegmentation(_config(SegformerConfig, variant))
    x = tf.constant(pictures(size, channels_first=True))
    run = tf.function(lambda x: model(pixel_values=x, training=False).logits)
    return lambda: run(x).numpy()


def _config(config_class, variant):
    depths, hidden_sizes, decoder = ROWS[variant]
    return config_class(depths=depths, hidden_sizes=hidden_sizes, decoder_hidden_size=decoder, num_labels=LABELS)


def transformers_torch(variant, size, compiled=False):
    import torch
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.set_num_threads(THREADS)
    model = SegformerForSemanticSegmentation(_config(SegformerConfig, variant)).eval()
    model = torch.compile(model) if compiled else model
    x = torch.from_numpy(pictures(size, channels_first=True))

    def run():
        with torch.inference_mode():
            return model(x).logits.numpy()

    return run


def transformers_torch_compiled(variant, size):
    return transformers_torch(variant, size, compiled=True)


def keras_hub(variant, size):
    import keras_hub as hub
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    depths, hidden_sizes, decoder = ROWS[variant]
    encoder = hub.models.MiTBackbone(
        layerwise_depths=depths,
        num_layers=4,
        layerwise_num_heads=[1, 2, 5, 8],
        layerwise_sr_ratios=[8, 4, 2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        image_shape=(size, size, 3),
        hidden_dims=hidden_sizes,
    )
    backbone = hub.models.SegFormerBackbone(image_encoder=encoder, projection_filters=decoder)
    model = hub.models.SegFormerImageSegmenter(backbone=backbone, num_classes=LABELS)
    x = tf.constant(pictures(size))
    run = tf.function(lambda x: model(x, training=False))
    return lambda: run(x).numpy()


def main():
    peer, variant, size = sys.argv[1:]
    run = globals()[peer](variant, int(size))
    for _ in range(2):
        run()
    print("ready", flush=True)
    for line in sys.stdin:
        if not line.strip():
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
            continue
        start = time.perf_counter()
        run()
        print(1000 * (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
