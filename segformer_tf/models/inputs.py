"""What calls and training steps are given: pictures, labels and options, alone or in mappings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from segformer_tf.bounds import smallest_side
from segformer_tf.config import SegformerConfig
from segformer_tf.models.kernels.plain import check_sides
from segformer_tf.models.private import in_stateless_scope
from segformer_tf.storage.keywords import check_keywords


def out_of_mapping(inputs: Mapping, given: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The arguments of a call whose pictures came in a mapping with others; those `given` beside it win.

    TypeError for a key that is not `known`. When Keras builds a model of a data set's first batch, which may have more
    columns, these are left out, as `fit` does.
    """
    pixels = _pixels_of(inputs)
    if not in_stateless_scope():
        check_keywords("The model", map(str, inputs), known)
    inside = {name: inputs[name] for name in known if name in inputs}
    return {**inside, **{name: value for name, value in given.items() if value is not None}, "pixel_values": pixels}


def _pixels_of(inputs: Mapping) -> Any:
    if "pixel_values" not in inputs:
        keys = ", ".join(map(str, inputs)) or "no keys"
        raise ValueError(f'The inputs have {keys}, expected "pixel_values": name the pictures so.')
    return inputs["pixel_values"]


def unnamed(value: Any) -> Any:
    """What Keras takes by the name of an output, without the name where it is that of the only one."""
    return value["logits"] if isinstance(value, Mapping) and set(value) == {"logits"} else value


def as_pair(data) -> tuple:
    """(x, y, sample_weight) of what `fit` hands on, with the labels of a dict moved to where Keras looks for them.

    Other columns of a dict are left out.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    x, y = (part[0] if isinstance(part, (list, tuple)) and len(part) == 1 else part for part in (x, y))
    if isinstance(x, Mapping):
        y = x.get("labels") if y is None else y
        x = _pixels_of(x)
    y, sample_weight = unnamed(y), unnamed(sample_weight)
    if isinstance(y, Mapping):  # as transformers' classes take them too
        if "labels" not in y:
            raise ValueError(
                f'The targets have {", ".join(map(str, y)) or "no keys"}, expected "labels": name them so.'
            )
        y = y["labels"]
    return x, y, sample_weight


def ranked(x) -> bool:
    """Whether the number of axes is known. Keras traces graphs without it where batches differ in theirs."""
    return getattr(x.shape, "rank", 0) is not None


def sizes_of(x) -> tuple:
    """The shape of `x`, whose rank is known, with scalar tensors for what a TensorFlow graph does not know of it."""
    return tuple(ops.shape(x) if None in tuple(x.shape) else x.shape)


def of_shape(x, shapes: Sequence[tuple], name: str, expected: str):
    """`x`, after a check that it has one of `shapes`; a size there is a number, a scalar tensor, or None for any.

    ValueError for another shape, in the words of `name` and `expected`. What a TensorFlow graph does not know of it is
    checked as it runs (InvalidArgumentError), unless XLA compiles it.
    """
    if ranked(x):
        found = tuple(x.shape)
        shapes = [shape for shape in shapes if len(shape) == len(found) and False not in map(_same, found, shape)]
        if not shapes:
            raise ValueError(f"{name} have shape {found}, {expected}")
        if any(all(map(_same, found, shape)) for shape in shapes):
            return x
    if keras.backend.backend() != "tensorflow" or isinstance(x, keras.KerasTensor):
        return x
    import tensorflow as tf

    sizes = tf.shape(x)
    fits = tf.reduce_any([_fits(sizes, shape) for shape in shapes])
    with tf.control_dependencies([tf.debugging.Assert(fits, [f"{name} have shape", sizes, expected], summarize=8)]):
        x = tf.identity(x)
    if len(shapes) == 1:
        x.set_shape([None, *(side if isinstance(side, int) else None for side in shapes[0][1:])])
    return x


def _same(size, side) -> bool | None:
    """Whether a size is the one expected; None where that is not known yet."""
    if side is None:
        return True
    return size == side if isinstance(size, int) and isinstance(side, int) else None


def _fits(sizes, shape: tuple):
    """Whether a tensor's sizes, (rank,) int32, are a shape; as a tensor."""
    import tensorflow as tf

    padded = tf.concat([sizes, tf.fill([len(shape)], -1)], 0)
    same = [padded[axis] == side for axis, side in enumerate(shape) if side is not None]
    return tf.reduce_all([tf.size(sizes) == len(shape), *same])


def check_pixels(pixel_values, config: SegformerConfig, data_format: str):
    """The pictures themselves; ValueError for those that the model cannot take, with their shape and the one expected.

    Rank and channels that a TensorFlow graph does not know it checks as it runs.
    """
    first = data_format == "channels_first"
    layout = "(batch, channels, height, width)" if first else "(batch, height, width, channels)"
    pixel_values = of_shape(pixel_values, [(None,) * 4], "pixel_values", f"expected {layout}: add or drop an axis.")
    shape, channels = tuple(pixel_values.shape), config.num_channels
    if shape[0] == 0:
        raise ValueError(f"pixel_values have shape {shape}, expected at least one picture: leave the call out.")
    made = (None, channels, None, None) if first else (None, None, None, channels)
    pixel_values = of_shape(
        pixel_values,
        [made],
        "pixel_values",
        f"expected {layout} with {channels} channels: "
        'transpose them, or make the model with data_format="channels_first" or "channels_last" as they lie.',
    )
    check_sides(shape[2:] if first else shape[1:3], smallest_side(config))
    return pixel_values


def check_logits(logits, made: tuple[int | None, ...]) -> None:
    """ValueError for logits that do not lie as those that a model makes, whose shape has None for what changes."""
    shape = tuple(logits.shape)
    if len(shape) == len(made) and all(None in pair or pair[0] == pair[1] for pair in zip(shape, made, strict=True)):
        return
    unknown = iter(("batch", "height", "width"))
    layout = ", ".join(next(unknown) if size is None else str(size) for size in made)
    raise ValueError(
        f"logits have shape {shape}, expected ({layout}) as the model returns them: hand on its own, or transpose them "
        "(docs/migrating.md)."
    )
