"""What calls and training steps are given: pictures, labels and options, alone or in mappings."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

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


def check_pixels(pixel_values, config: SegformerConfig, data_format: str) -> None:
    """ValueError for pictures that the model cannot take; names their shape and the one expected."""
    shape = tuple(pixel_values.shape)
    first = data_format == "channels_first"
    layout = "(batch, channels, height, width)" if first else "(batch, height, width, channels)"
    if len(shape) != 4:
        raise ValueError(f"pixel_values have shape {shape}, expected {layout}: add or drop an axis.")
    if shape[0] == 0:
        raise ValueError(f"pixel_values have shape {shape}, expected at least one picture: leave the call out.")
    if shape[1 if first else 3] not in (None, config.num_channels):
        raise ValueError(
            f"pixel_values have shape {shape}, expected {layout} with {config.num_channels} channels: "
            'transpose them, or make the model with data_format="channels_first" or "channels_last" as they lie.'
        )
    check_sides(shape[2:] if first else shape[1:3], smallest_side(config))


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
