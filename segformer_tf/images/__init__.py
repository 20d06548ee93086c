"""Picture -> pixel_values, logits -> label map -> picture. TensorFlow is loaded only by the functions that use it."""

from .decode import open_image
from .feature_extractor import SegformerFeatureExtractor
from .palettes import palette_for
from .postprocess import label_map, post_process_semantic_segmentation
from .processor import BatchFeature, SegformerImageProcessor
from .resize import resize
from .visualize import class_table, colorize, label_image, overlay

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
