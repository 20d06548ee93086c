"""Two replicas in one process learn and score what one device does, whatever share of a batch each has."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytest
from reference import ROOT

CODE = """
import contextlib, sys
import keras, numpy as np, tensorflow as tf
import segformer_tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
kind = getattr(segformer_tf, sys.argv[1])
config = segformer_tf.SegformerConfig(
    hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], depths=[1, 1, 1, 1], decoder_hidden_size=8,
    num_labels=3, drop_path_rate=0.0, classifier_dropout_prob=0.0,
)
rng = np.random.default_rng(0)
pictures = rng.normal(size=(COUNT, 32, 64, 3)).astype("float32")
labels = rng.integers(0, 3, pictures.shape[:3] if "Segmentation" in sys.argv[1] else COUNT).astype("int32")
for replicas in (1, 2):
    keras.utils.set_random_seed(0)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope() if replicas > 1 else contextlib.nullcontext():
        model = kind(config, data_format="channels_last")
        model.compile(keras.optimizers.SGD(0.1))
    history = model.fit(pictures, labels, batch_size=BATCH, shuffle=False, verbose=0).history
    scored = model.evaluate(pictures, labels, batch_size=BATCH, verbose=0)
    logits = model.predict(pictures, batch_size=BATCH, verbose=0)["logits"]
    weights = np.concatenate([weight.numpy().ravel() for weight in model.weights])
    print([*history["loss"], *scored, *logits.ravel().tolist()[::50], *weights.tolist()])
"""


@pytest.mark.parametrize(("count", "batch"), [(3, 2), (3, 3)])
@pytest.mark.parametrize("kind", ["TFSegformerForSemanticSegmentation", "TFSegformerForImageClassification"])
def test_replicas_with_unequal_shares_of_a_batch_and_with_none_change_nothing(kind, count, batch):
    code = CODE.replace("COUNT", str(count)).replace("BATCH", str(batch))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code, kind], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    one, two = (ast.literal_eval(line) for line in ran.stdout.splitlines() if line.startswith("["))
    np.testing.assert_allclose(two, one, atol=1e-6)
