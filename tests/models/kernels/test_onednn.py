"""What oneDNN makes of its forms, seen in the graph that ran: in processes of their own, where oneDNN is on and off."""

import os
import subprocess
import sys

from reference import ROOT

SEEN = """
from segformer_tf.models import kernels
from segformer_tf.models.kernels import onednn
fused = "_MklLayerNorm" in onednn.ops_that_ran(kernels.onednn.layer_norm)
print("SEEN", fused, kernels.choose().__name__.split(".")[-1],
      *sorted(onednn.ops_that_ran(kernels.layer_norm)))
"""


def seen(on: str) -> list[str]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": on, "PYTHONPATH": str(ROOT)}
    environment["CUDA_VISIBLE_DEVICES"] = "-1"  # what a processor does, on a machine with a GPU too
    done = subprocess.run([sys.executable, "-c", SEEN], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(line for line in done.stdout.splitlines() if line.startswith("SEEN")).split()[1:]


def test_oneDNN_runs_the_layer_norm_as_one_op():
    """If this fails, LayerNorm is slow: TensorFlow's optimizer misses the form, or this TensorFlow has no oneDNN."""
    fused, table, *kinds = seen("1")
    assert fused == "True", (
        "no _MklLayerNorm ran with TF_ENABLE_ONEDNN_OPTS=1, on a processor or TensorFlow without oneDNN"
    )
    assert table == "onednn" and "_MklLayerNorm" in kinds and "FusedBatchNormV3" not in kinds


def test_without_oneDNN_the_form_is_not_taken():
    fused, table, *kinds = seen("0")
    assert fused == "False" and table == "tensorflow"
    assert "FusedBatchNormV3" not in kinds
