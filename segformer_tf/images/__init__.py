"""Picture -> pixel_values, logits -> label map -> picture. TensorFlow is loaded only by the functions that use it."""

from segformer_tf.images.classes import class_table
from segformer_tf.images.drawing import colorize, label_image, overlay
from segformer_tf.images.opening import open_image
from segformer_tf.images.palettes import palette_for
from segformer_tf.images.postprocess import label_map, post_process_semantic_segmentation
from segformer_tf.images.processor import BatchFeature, SegformerFeatureExtractor, SegformerImageProcessor
from segformer_tf.images.resize import resize

__all__ = [
    "BatchFeature",
    "SegformerFeatureExtractor",
    "SegformerImageProcessor",
    "class_table",
    "colorize",
    "label_image",
    "label_map",
    "open_image",
    "overlay",
    "palette_for",
    "post_process_semantic_segmentation",
    "resize",
]
