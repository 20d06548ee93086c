"""A checkpoint's head for the classes of another data set: a class keeps its row where it has one, by its name."""

from collections.abc import Mapping

import keras
import numpy as np

from segformer_tf.checkpoints import Checkpoint
from segformer_tf.data.naming import ids_to_model, made_up
from segformer_tf.images.classes import find_class
from segformer_tf.models.settings import as_config


def for_classes(checkpoint: Checkpoint, names: Mapping[int, str], masks: bool) -> tuple[Checkpoint, str]:
    """A checkpoint whose head has, for each class of `names`, the row of the class of its name, or random values.

    Returns it with a sentence that says what was changed; "" where nothing was, which is so for classes that nobody
    named (LABEL_0, ...), and of another number also where no name is the same and between one logit and several: a
    model of them then has a new head.

    Args:
        masks: The head is a segmentation model's, not a classifier's.
    """
    config, path = as_config(checkpoint.config), "decode_head/classifier" if masks else "classifier"
    before, variables = config.id2label, checkpoint.variables
    head = {key: variables[key] for key in (f"{path}/kernel", f"{path}/bias") if key in variables}
    kept = {i: row for i, name in names.items() if (row := find_class(name, before)) is not None}
    if made_up([before[i] for i in sorted(before)]) or {array.shape[-1] for array in head.values()} != {len(before)}:
        return checkpoint, ""
    if len(names) == len(before):
        if _same(before, names):
            return checkpoint, ""
    elif not kept or 1 in (len(names), len(before)):
        return checkpoint, ""
    start = keras.initializers.TruncatedNormal(stddev=config.initializer_range)
    for key, own in head.items():
        shape = (*own.shape[:-1], len(names))
        new = np.array(keras.ops.convert_to_numpy(start(shape)) if key.endswith("kernel") else np.zeros(shape))
        new[..., list(kept)] = own[..., list(kept.values())]
        head[key] = new.astype(own.dtype)
    return checkpoint._replace(variables={**variables, **head}), _told(before, names, kept)


def _same(before: Mapping[int, str], names: Mapping[int, str]) -> bool:
    try:
        ids_to_model(before, names)
    except ValueError:
        return False
    return True


def _told(before: Mapping[int, str], names: Mapping[int, str], kept: Mapping[int, int]) -> str:
    if fresh := [name for i, name in names.items() if i not in kept]:
        told = f"the head starts at random for {', '.join(fresh)}"
        return f"{told}; of {len(kept)} of {len(names)} classes it keeps what it has learnt"
    if len(names) < len(before):
        return f"of its {len(before)} classes the head keeps the {len(names)} of the data set, with what it has learnt"
    return "the model's classes are put into the order of the data set's, with what the head has learnt of them"
