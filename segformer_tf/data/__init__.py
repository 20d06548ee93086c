"""Data sets on disk -> splits, and what is in them: layouts, masks, inspection. Nothing here loads TensorFlow."""

from segformer_tf.data.inspection import Inspection, inspect
from segformer_tf.data.layouts import LAYOUTS, layout_of, read_split
from segformer_tf.data.splits import UNLABELLED, Coding, DataError, Split

__all__ = [
    "LAYOUTS",
    "UNLABELLED",
    "Coding",
    "DataError",
    "Inspection",
    "Split",
    "inspect",
    "layout_of",
    "read_split",
]
