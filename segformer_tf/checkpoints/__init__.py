"""Checkpoints: files <-> variables. Read from the Hub, a directory or a file; written under the Hub's tensor names."""

from segformer_tf.checkpoints.adapt import adapt_channels
from segformer_tf.checkpoints.conversion import convert
from segformer_tf.checkpoints.hub import bundled_names, bundled_path, find, load_config, pop_hub_arguments
from segformer_tf.checkpoints.live import from_torch_module
from segformer_tf.checkpoints.matching import match
from segformer_tf.checkpoints.publish import model_card, push_to_hub
from segformer_tf.checkpoints.store import Checkpoint, load, save, save_h5

__all__ = [
    "Checkpoint",
    "adapt_channels",
    "bundled_names",
    "bundled_path",
    "convert",
    "find",
    "from_torch_module",
    "load",
    "load_config",
    "match",
    "model_card",
    "pop_hub_arguments",
    "push_to_hub",
    "save",
    "save_h5",
]
