"""Training: a data set -> a better model. `train` runs a recipe; its parts serve plain `model.fit` as well."""

from segformer_tf.data import Inspection, Split, inspect, read_split
from segformer_tf.models.metrics import MeanIoU, confusion, scores
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.datasets import training_data
from segformer_tf.training.evaluate import evaluate
from segformer_tf.training.fit import train
from segformer_tf.training.losses import SegmentationLoss, class_weights
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.recipes import RECIPES, load_recipe
from segformer_tf.training.report.sheets import draw_batch, side_by_side
from segformer_tf.training.scoring.protocols import Protocol
from segformer_tf.training.shards import write_shards
from segformer_tf.training.sources import open_split
from segformer_tf.training.workers import make_strategy

__all__ = [
    "RECIPES",
    "Augmentation",
    "Inspection",
    "MeanIoU",
    "Protocol",
    "Recipe",
    "SegmentationLoss",
    "Split",
    "class_weights",
    "confusion",
    "draw_batch",
    "evaluate",
    "inspect",
    "load_recipe",
    "make_strategy",
    "open_split",
    "read_split",
    "scores",
    "side_by_side",
    "train",
    "training_data",
    "write_shards",
]
