"""A checkpoint's head for the classes of another data set: a class keeps its row where it has one, by its name."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from segformer_tf.data.naming import ids_to_model, plain


def keep_classes(model: keras.Model, before: Mapping[int, str]) -> str:
    """Gives each class of `model.config` the head's row of the class of its name in `before`, or random values.

    `model` has the head that was trained for the classes `before`, as many as its own. Names that nobody gave
    (LABEL_0, ...) fit any. Returns what was changed, in a sentence; "" where nothing was.
    """
    names = model.config.id2label
    try:
        ids_to_model(before, names)
    except ValueError:
        pass  # they differ
    else:
        return ""
    rows = {plain(name): i for i, name in before.items()}
    kept = {i: rows[plain(name)] for i, name in names.items() if plain(name) in rows}
    head: Any = getattr(model, "decode_head", model)
    layer = head.classifier
    kernel, bias = (np.asarray(keras.ops.convert_to_numpy(variable)) for variable in (layer.kernel, layer.bias))
    new = [np.array(keras.ops.convert_to_numpy(layer.kernel_initializer(kernel.shape, layer.kernel.dtype))), 0 * bias]
    for values, own in zip(new, (kernel, bias), strict=True):
        values[..., list(kept)] = own[..., list(kept.values())]
    layer.set_weights(new)
    fresh = [name for i, name in names.items() if i not in kept]
    if not fresh:
        return "the model's classes are put into the order of the data set's, with what the head has learnt of them"
    told = f"the head starts at random for {', '.join(fresh)}"
    return f"{told}; of {len(kept)} of {len(names)} classes it keeps what it has learnt"
