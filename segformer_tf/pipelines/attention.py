"""What a model looks at: the attention of any stage, layer and head over a picture."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.images import views
from segformer_tf.pipelines.sources import shown
from segformer_tf.storage.keywords import spell_checked


@spell_checked
def attention_map(
    pipeline: Any,
    picture: Any,
    stage: int = 3,
    layer: int = -1,
    head: int | None = None,
    point: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """How much the pixels at `point` (x, y) look at every other place, (h, w) float32 that sums to 1, and the pixels
    (H, W, 3) uint8 of the picture.

    Args:
        pipeline: Of a Keras model; exported files and NumPy do not tell their attention.
        stage: 0 to 3. Earlier stages see more detail; their maps are smaller than their features by `sr_ratios`.
        layer: Of the stage; -1 is its last.
        head: None: the mean of all heads.
        point: None: the mean over all places, what is looked at most.

    Raises ValueError for what the model does not have, or a point outside the picture.
    """
    if pipeline.model is None:
        raise ValueError(
            f"{pipeline.name} is computed by {pipeline.backend} without a Keras model, which does not tell its "
            "attention: load the checkpoint."
        )
    config = pipeline.config
    _check("stage", stage, len(config.depths))
    _check("layer", layer, config.depths[stage], from_last=True)
    _check("head", head or 0, config.num_attention_heads[stage])
    pixels = pipeline.processor.pixels(picture, strict=True)
    settings = {"return_tensors": "np", "input_data_format": "channels_last", "data_format": pipeline.model.data_format}
    values = pipeline.processor(pixels, **settings).pixel_values
    found = pipeline.model(values, output_attentions=True, return_dict=True, training=False)["attentions"]
    weights = np.asarray(found[sum(config.depths[:stage]) + layer % config.depths[stage]])[0]
    size = values.shape[1:3] if pipeline.model.data_format == "channels_last" else values.shape[2:4]
    for stride in config.strides[: stage + 1]:
        size = tuple(-(-side // stride) for side in size)
    weights = weights.mean(0) if head is None else weights[head]
    if point is None:
        row = weights.mean(0)
    else:
        x, y = _place(point)
        if not (0 <= x < pixels.shape[1] and 0 <= y < pixels.shape[0]):
            raise ValueError(f"point is {tuple(point)}; expected (x, y) inside {pixels.shape[1]} x {pixels.shape[0]}.")
        down, across = y * size[0] // pixels.shape[0], x * size[1] // pixels.shape[1]
        block = config.merged_blocks(stage)[0]
        row = weights[down // block * -(-size[1] // block) + across // block]
    ratio, block = config.sr_ratios[stage], config.merged_blocks(stage)[1]
    return row.reshape(*(-(-(side // ratio) // block) for side in size)).astype(np.float32), shown(pixels)


def _check(name: str, value: Any, count: int, from_last: bool = False) -> None:
    """Raises ValueError unless it is one of so many numbers from 0, or `from_last` of those from -1 down."""
    if not isinstance(value, Integral):
        raise ValueError(f"{name} is {value!r}; expected a whole number.")
    if not (-count if from_last else 0) <= int(value) < count:
        last = f", or -{count} to -1, from the last" if from_last else ""
        raise ValueError(f"{name} is {value}; expected 0 to {count - 1}{last}.")


def _place(point: Any) -> tuple[int, int]:
    """(x, y). Raises ValueError unless it is two whole numbers."""
    values = tuple(point) if isinstance(point, Iterable) else ()
    if len(values) != 2 or not all(isinstance(value, Integral) for value in values):
        raise ValueError(f"point is {point!r}; expected (x, y), two whole numbers.")
    return int(values[0]), int(values[1])


def draw_attention(pipeline: Any, picture: Any, point: Sequence[int] | None = None, **which: Any) -> Image.Image:
    """`attention_map` as colours over the grey picture, with a ring around the point."""
    weights, pixels = attention_map(pipeline, picture, point=point, **which)
    height, width = pixels.shape[:2]
    spread = np.asarray(Image.fromarray(weights).resize((width, height), Image.Resampling.BILINEAR))
    spread = spread / weights.mean()
    said = ", ".join(f"{name} {value}" for name, value in {"stage": 3, **which}.items())
    drawn = views.heat(pixels, spread, f"attention, {said} (1: even)", span=(0.0, float(spread.max())))
    return drawn if point is None else views.ring(drawn, point)
