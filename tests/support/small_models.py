"""Models of two stages and five classes: as they are made, and such that their answer depends on the picture."""

import numpy as np
from reference import SMALL

from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForSemanticSegmentation


def small_model(cls=TFSegformerForSemanticSegmentation, data_format="channels_last", **config):
    return cls(SegformerConfig(**{**SMALL, **config}), data_format=data_format)


def random_model(cls=TFSegformerForSemanticSegmentation, **config):
    """A model whose answer depends on the picture."""
    model, random = small_model(cls, **config), np.random.default_rng(1)
    model.set_weights([random.normal(0, 0.3, value.shape) ** 2 for value in model.get_weights()])
    return model


def model_of_several_classes(picture, *sizes):
    """`random_model`, with a head by which no class wins everywhere in `picture` resized to `sizes`.

    Maps would equal one another else, whatever is wrong.
    """
    model, random = random_model(), np.random.default_rng(2)
    head = model.decode_head.classifier
    head.kernel.assign(random.normal(0, 1, head.kernel.shape))
    pixels = [SegformerImageProcessor(size=size)(picture, return_tensors="np").pixel_values for size in sizes]
    logits = np.concatenate([np.asarray(model(values).logits).reshape(-1, 5) for values in pixels])
    head.kernel.assign(head.kernel / logits.std(0))
    head.bias.assign(head.bias / logits.std(0) - (logits / logits.std(0)).mean(0))
    return model
