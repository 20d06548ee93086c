"""Logits -> label maps at any size, without ever holding full-size logits of all classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from segformer_tf.images.arrays import to_array
from segformer_tf.images.bilinear import neighbours
from segformer_tf.images.merging import Merger
from segformer_tf.images.probabilities import class_scores
from segformer_tf.images.scaling import resolve_data_format
from segformer_tf.images.sizes import checked_side, whole_side
from segformer_tf.storage.keywords import spell_checked

if TYPE_CHECKING:
    import tensorflow as tf

BAND_VALUES = 2**20  # values (pixels times classes) that a band of the graph version may hold: 4 MB a copy
ROW_VALUES = 2**24  # and, of a very wide one, its only row: as little as it may take without many more steps


@spell_checked
def post_process_semantic_segmentation(
    outputs: Any,
    target_sizes: Any = None,
    return_segmentation_scores: bool = False,
    data_format: str | None = None,
) -> list[np.ndarray] | tuple[list[np.ndarray], list[np.ndarray]]:
    """Logits (B, h, w, C), or (B, C, h, w) in channels-first, -> a list of B label maps (H, W) int32.

    `outputs` is a model's output, a mapping with `logits`, or the logits. `target_sizes`: one (H, W) an image; without
    them the logits' own size. Resizing is bilinear with half-pixel centres; for one class a pixel is 1 where its
    sigmoid is over 0.5. Of two classes whose resized logits differ by less than a millionth of the largest logit, the
    metric's map (`models.predicted.predicted_labels`) may have the other one: it blends rows first, or four logits at
    once, which is faster there, and columns first is faster here. With `return_segmentation_scores` the result is
    (maps, scores), scores (H, W, C) float32 from softmax (or sigmoid), which takes 4 * C bytes a pixel. Raises
    ValueError for other shapes and sizes.
    """
    if isinstance(outputs, Mapping) and "logits" not in outputs:
        raise ValueError(f"outputs has {', '.join(map(str, outputs)) or 'no keys'}; expected logits.")
    logits = outputs["logits"] if isinstance(outputs, Mapping) else getattr(outputs, "logits", outputs)
    logits = to_array(logits).astype(np.float32, copy=False)
    if logits.ndim != 4 or 0 in logits.shape:
        raise ValueError(f"logits have shape {logits.shape}; expected (B, h, w, C), or (B, C, h, w) in channels-first.")
    if resolve_data_format(data_format) == "channels_first":
        logits = np.moveaxis(logits, 1, -1)
    sizes = _check_sizes(target_sizes, logits)
    maps = [_label_map(image, *size) for image, size in zip(logits, sizes, strict=True)]
    if not return_segmentation_scores:
        return maps
    return maps, [_scores(image, *size) for image, size in zip(logits, sizes, strict=True)]


def _check_sizes(target_sizes: Any, logits: np.ndarray) -> list[tuple[int, int]]:
    if target_sizes is None:
        return [logits.shape[1:3]] * len(logits)
    try:
        sizes = [to_array(size).reshape(-1) for size in target_sizes]
    except (TypeError, ValueError):
        sizes = [np.array("")]
    if any(size.dtype.kind not in "iuf" for size in sizes):
        raise ValueError(f"target_sizes is {target_sizes!r:.100}; expected one (height, width) an image.")
    if len(sizes) != len(logits):
        raise ValueError(f"target_sizes has {len(sizes)} sizes; expected {len(logits)}, one for each image.")
    for size in sizes:
        if len(size) != 2:
            raise ValueError(f"target_sizes has {tuple(size.tolist())}; expected (height, width) in whole pixels.")
    return [(whole_side("target_sizes", height), whole_side("target_sizes", width)) for height, width in sizes]


def _label_map(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, C) -> (height, width) int32."""
    merger = Merger((height, width))
    merger.add(logits)
    merger.finish()
    return merger.labels


def _scores(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, C) -> (height, width, C) float32 probabilities."""
    top, bottom, row_weight = neighbours(slice(0, height), 0, height, logits.shape[0])
    left, right, column_weight = neighbours(slice(0, width), 0, width, logits.shape[1])
    wide = _blend(logits[:, left], logits[:, right], column_weight[:, np.newaxis])
    scores = np.empty((height, width, logits.shape[-1]), np.float32)
    for row in range(height):
        scores[row] = class_scores(_blend(wide[top[row]], wide[bottom[row]], row_weight[row]), None)
    return scores


def _blend(start: Any, end: Any, weight: Any) -> Any:
    return start + (end - start) * weight


@spell_checked
def label_map(logits: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    """Logits (B, h, w, C) and `size` (H, W) -> labels (B, H, W) int32, as TensorFlow ops for an exported model.

    The same maps as `post_process_semantic_segmentation`, computed in bands of rows of bounded memory.
    """
    import tensorflow as tf

    rows, columns = (checked_side("size", side) for side in (size[0], size[1]))
    logits = tf.cast(logits, tf.float32)
    if logits.shape[-1] in (None, 1):  # one class: compare it with a second whose logit is 0
        single = tf.cast(tf.shape(logits)[-1] == 1, tf.int32)
        logits = tf.pad(logits, tf.stack([[0, 0], [0, 0], [0, 0], [single, 0]]))
    shape = tf.shape(logits)
    batch, height, width = shape[0], tf.cast(rows, tf.int32), tf.cast(columns, tf.int32)
    coarse = tf.argmax(logits, -1, tf.int32)
    row_neighbours, column_neighbours = _tensor_neighbours(shape[1], height), _tensor_neighbours(shape[2], width)
    per_pixel = tf.maximum(tf.cast(batch, tf.int64) * tf.cast(shape[3], tf.int64), 1)  # 32 bits hold no such products
    step = _at_most(BAND_VALUES // (per_pixel * tf.cast(width, tf.int64)), height)
    wide = _at_most(ROW_VALUES // per_pixel, width)

    def band(start: tf.Tensor) -> tf.Tensor:
        top, bottom, row_weight = (values[start[0] : start[0] + step] for values in row_neighbours)
        left, right, column_weight = (values[start[1] : start[1] + wide] for values in column_neighbours)
        grid = [
            tf.gather(tf.gather(coarse, row, axis=1), column, axis=2)
            for row in (top, bottom)
            for column in (left, right)
        ]
        mixed = tf.where(
            (grid[0] != grid[1]) | (grid[0] != grid[2]) | (grid[0] != grid[3])
        )  # (N, 3) of image, row, column
        image, row, column = (tf.cast(index, tf.int32) for index in tf.unstack(mixed, axis=1))

        def corner(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:  # (N, C)
            return tf.gather_nd(logits, tf.stack([image, tf.gather(rows, row), tf.gather(columns, column)], 1))

        weight = tf.gather(column_weight, column)[:, tf.newaxis]
        above, below = (_blend(corner(side, left), corner(side, right), weight) for side in (top, bottom))
        values = _blend(above, below, tf.gather(row_weight, row)[:, tf.newaxis])
        labels = tf.tensor_scatter_nd_update(grid[0], mixed, tf.argmax(values, -1, tf.int32))  # (B, rows, columns)
        found = tf.shape(labels)
        return tf.pad(labels, tf.stack([[0, 0], [0, step - found[1]], [0, wide - found[2]]]))

    down, across = tf.range(0, height, step), tf.range(0, width, wide)
    starts = tf.reshape(tf.stack(tf.meshgrid(down, across, indexing="ij"), -1), (-1, 2))
    bands = tf.map_fn(band, starts, fn_output_signature=tf.int32, parallel_iterations=1)
    tall, long = tf.size(down) * step, tf.size(across) * wide
    bands = tf.reshape(bands, (tf.size(down), tf.size(across), batch, step, wide))
    labels = tf.reshape(tf.transpose(bands, (2, 0, 3, 1, 4)), (batch, tall, long))[:, :height, :width]
    return tf.ensure_shape(labels, (logits.shape[0], *(s if isinstance(s, int) else None for s in (rows, columns))))


def _at_most(count: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """int64 -> int32, from 1 to the side."""
    import tensorflow as tf

    return tf.cast(tf.clip_by_value(count, 1, tf.cast(side, tf.int64)), tf.int32)


def _tensor_neighbours(length: tf.Tensor, out: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    import tensorflow as tf

    scale = tf.cast(tf.cast(length, tf.float64) / tf.cast(out, tf.float64), tf.float32)
    position = tf.maximum((tf.cast(tf.range(out), tf.float32) + 0.5) * scale - 0.5, 0.0)
    before = tf.minimum(tf.cast(position, tf.int32), length - 1)
    return before, tf.minimum(before + 1, length - 1), position - tf.cast(before, tf.float32)
