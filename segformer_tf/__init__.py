"""SegFormer (Xie et al. 2021) as Keras 3 models on TensorFlow: load, use, train and serve.

Names are loaded when first used, so that importing the package does not load TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    "SegformerConfig": "config",
    "SegformerImageProcessor": "images.processor",
    "SegformerFeatureExtractor": "images.processor",
    "TFSegformerModel": "models.tasks",
    "TFSegformerDecodeHead": "models.tasks",
    "TFSegformerForImageClassification": "models.tasks",
    "TFSegformerForSemanticSegmentation": "models.tasks",
    "SegmentationPipeline": "pipelines.pipeline",
    "ImageClassificationPipeline": "pipelines.classification",
}
__all__ = [
    "ImageClassificationPipeline",
    "SegformerConfig",
    "SegformerFeatureExtractor",
    "SegformerImageProcessor",
    "SegmentationPipeline",
    "TFSegformerDecodeHead",
    "TFSegformerForImageClassification",
    "TFSegformerForSemanticSegmentation",
    "TFSegformerModel",
]
# transformers' PyTorch names, which need KERAS_BACKEND=torch.
_TORCH = (
    "SegformerModel",
    "SegformerDecodeHead",
    "SegformerForImageClassification",
    "SegformerForSemanticSegmentation",
)
_ROOMS |= dict.fromkeys(_TORCH, "models.torch_classes")

if TYPE_CHECKING:
    from segformer_tf.config import SegformerConfig
    from segformer_tf.images.processor import SegformerFeatureExtractor, SegformerImageProcessor
    from segformer_tf.models.tasks import (
        TFSegformerDecodeHead,
        TFSegformerForImageClassification,
        TFSegformerForSemanticSegmentation,
        TFSegformerModel,
    )
    from segformer_tf.models.torch_classes import (
        SegformerDecodeHead,
        SegformerForImageClassification,
        SegformerForSemanticSegmentation,
        SegformerModel,
    )
    from segformer_tf.pipelines.classification import ImageClassificationPipeline
    from segformer_tf.pipelines.pipeline import SegmentationPipeline


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its public names are {', '.join(_ROOMS)}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
