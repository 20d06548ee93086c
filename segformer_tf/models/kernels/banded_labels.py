"""The likeliest classes of resized logits on TensorFlow, made for one block after the other.

The logits of full size never exist at once.
"""

import tensorflow as tf

from segformer_tf.models.kernels import tensorflow

BLOCK_VALUES = 2**20  # blended logits that exist at one time: 4 MB
GPU_BLOCKS = 64  # so many times more on a GPU, which has the memory and waits between two blocks


def labels(logits, size):
    """(B, h, w, C), (H, W) -> (B, H, W) int32."""
    logits, size = tf.cast(logits, tf.float32), tf.stack(size)
    scale = size // tf.shape(logits)[1:3]
    even = tf.reduce_all(scale * tf.shape(logits)[1:3] == size) & (scale[0] == scale[1]) & (scale[0] % 2 == 0)
    return tf.cond(even, lambda: _by_cells(logits, scale[0]), lambda: _by_rows(logits, size))


def _block_values() -> int:
    return BLOCK_VALUES * (GPU_BLOCKS if tensorflow.on_gpu() else 1)


def _first_of_largest(values):
    """(..., C) -> (...) int32. On a processor `top_k` takes half to three quarters of `argmax`'s time."""
    if tensorflow.on_gpu():
        return tf.argmax(values, -1, tf.int32)
    return tf.math.top_k(values, 1).indices[..., 0]


def _by_cells(logits, scale):
    """Enlarged by an even number: `scale * scale` pixels lie between the same four logits, a cell.

    Where those four agree on the class, so does every blend of them. Only the other cells are blended: a tenth of them
    for a trained model.
    """
    batch, height, width, classes = tf.unstack(tf.shape(logits))
    sides = [tf.clip_by_value(tf.stack([tf.range(n + 1) - 1, tf.range(n + 1)]), 0, n - 1) for n in (height, width)]
    coarse = _first_of_largest(logits)
    corners = [
        tf.gather(tf.gather(coarse, rows, axis=1), columns, axis=2)
        for rows in tf.unstack(sides[0])
        for columns in tf.unstack(sides[1])
    ]
    mixed = tf.where(tf.reduce_any(tf.stack(corners[1:]) != corners[0], 0))  # (N, 3): picture, row, column of cells
    mixed = tf.cast(mixed, tf.int32)
    after = (tf.range(scale, dtype=tf.float32) + 0.5) / tf.cast(scale, tf.float32)
    along = tf.stack([1.0 - after, after], -1)  # (scale, 2)
    weights = tf.reshape(tf.einsum("ya,xb->yxab", along, along), (1, scale * scale, 4))
    rows = tf.reshape(logits, (-1, classes))
    at_once = tf.maximum(_block_values() // (scale * scale * classes), 1)
    blocks = tf.maximum(-(-tf.shape(mixed)[0] // at_once), 1)

    def blend(block, labels):
        picture, row, column = tf.unstack(mixed[block * at_once : (block + 1) * at_once], axis=1)
        above, left = tf.gather(sides[0], row, axis=1), tf.gather(sides[1], column, axis=1)
        places = (picture * height + above[:, tf.newaxis]) * width + left  # (2, 2, n)
        values = tf.gather(rows, tf.transpose(tf.reshape(places, (4, -1))))  # (n, 4, classes)
        return block + 1, labels.write(block, _first_of_largest(tf.matmul(weights, values)))

    labels = tf.TensorArray(tf.int32, blocks, infer_shape=False, element_shape=(None, None))
    labels = tf.while_loop(lambda block, _: block < blocks, blend, (0, labels), parallel_iterations=1)[1].concat()
    cells = tf.repeat(corners[0][..., tf.newaxis], scale * scale, axis=-1)
    cells = tf.reshape(tf.tensor_scatter_nd_update(cells, mixed, labels), (batch, height + 1, width + 1, scale, scale))
    maps = tf.reshape(tf.transpose(cells, (0, 1, 3, 2, 4)), (batch, (height + 1) * scale, (width + 1) * scale))
    edge = scale // 2
    return maps[:, edge:-edge, edge:-edge]


def _by_rows(logits, size):
    """Any size: band after band of rows."""
    batch, _, _, classes = tf.unstack(tf.shape(logits))
    (above, below, down), (left, right, across) = (
        _neighbours(tf.shape(logits)[axis], size[axis - 1]) for axis in (1, 2)
    )
    at_once = tf.maximum(_block_values() // (batch * size[1] * classes), 1)
    bands = -(-size[0] // at_once)
    across = across[:, tf.newaxis]

    def band(number, labels):
        part = slice(number * at_once, (number + 1) * at_once)
        upper, lower = tf.gather(logits, above[part], axis=1), tf.gather(logits, below[part], axis=1)
        rows = upper + (lower - upper) * down[part][:, tf.newaxis, tf.newaxis]
        start, end = tf.gather(rows, left, axis=2), tf.gather(rows, right, axis=2)
        found = _first_of_largest(start + (end - start) * across)
        return number + 1, labels.write(number, tf.transpose(found, (1, 0, 2)))

    labels = tf.TensorArray(tf.int32, bands, infer_shape=False, element_shape=(None, None, None))
    labels = tf.while_loop(lambda number, _: number < bands, band, (0, labels), parallel_iterations=1)[1].concat()
    return tf.transpose(labels, (1, 0, 2))


def _neighbours(length, new):
    """Of each new sample: the old one before it, the one after it, and the weight of the latter; half-pixel centres."""
    place = (tf.range(new, dtype=tf.float32) + 0.5) * (tf.cast(length, tf.float32) / tf.cast(new, tf.float32)) - 0.5
    place = tf.clip_by_value(place, 0.0, tf.cast(length - 1, tf.float32))
    before = tf.cast(place, tf.int32)
    return before, tf.minimum(before + 1, length - 1), place - tf.cast(before, tf.float32)
