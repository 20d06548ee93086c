"""Checkpoints: files <-> variables. Read from the Hub, a directory or a file; written under the Hub's tensor names."""

from segformer_tf.checkpoints.checkpoint import Checkpoint, adapt_channels, from_torch_module, load, save, save_h5
from segformer_tf.checkpoints.matching import check_finite, match

__all__ = ["Checkpoint", "adapt_channels", "check_finite", "from_torch_module", "load", "match", "save", "save_h5"]
