"""The sum of cross-entropies of resized logits on TensorFlow's CPU, made for one band of rows after the other.

Resizing, softmax and their gradient are made together, so that the logits of full size never exist at once: 4 pictures
of 512 x 512 and 150 classes would take 0.6 GB, several times over.
"""

import tensorflow as tf

BAND_VALUES = 2**21  # full-size logits of one band: 8 MB


def cross_entropy_sum(ids, logits, weights):
    """(B, H, W), (B, h, w, C), (B, H, W) -> scalar: picture after picture, band after band.

    What exists beside the logits and their gradient is four bands.
    """
    logits = tf.cast(logits, tf.float32)

    @tf.custom_gradient
    def summed(logits):
        totals, gradients = tf.map_fn(
            lambda picture: _one_picture(*picture),
            (ids, logits, weights),
            fn_output_signature=(tf.float32, tf.TensorSpec(logits.shape[1:], tf.float32)),
            parallel_iterations=1,
        )
        return tf.reduce_sum(totals), lambda upstream: upstream * gradients

    return summed(logits)


def _one_picture(ids, logits, weights):
    """(H, W), (h, w, C), (H, W) -> the sum of weighted losses, and its gradient (h, w, C)."""
    (height, width), size, num_labels = tf.unstack(tf.shape(ids)), tf.shape(logits)[:2], logits.shape[-1]
    scale = tf.cast([height, width], tf.float32) / tf.cast(size, tf.float32)
    # Every band adds to the whole gradient, so a band is not much smaller than that.
    band = tf.maximum(BAND_VALUES, tf.size(logits)) // (width * num_labels)
    band = tf.clip_by_value(band, 1, height)
    # Rows of `logits` that one band can touch: those under it and a neighbour on either side.
    window = tf.minimum(tf.cast(tf.math.ceil(tf.cast(band, tf.float32) / scale[0]), tf.int32) + 2, size[0])

    def one_band(top, total, gradient):
        bottom = tf.minimum(top + band, height)
        first = tf.cast(tf.floor((tf.cast(top, tf.float32) + 0.5) / scale[0] - 0.5), tf.int32)
        first = tf.clip_by_value(first, 0, size[0] - window)
        rows = logits[tf.newaxis, first : first + window]
        place = {
            "scale": scale,
            "translation": tf.stack([tf.cast(first, tf.float32) * scale[0] - tf.cast(top, tf.float32), 0.0]),
            "kernel_type": "triangle",
            "antialias": False,
        }
        resized = tf.raw_ops.ScaleAndTranslate(images=rows, size=tf.stack([bottom - top, width]), **place)
        losses, back = _cross_entropy(
            tf.reshape(resized, (-1, num_labels)),
            tf.reshape(ids[top:bottom], (-1,)),
            tf.reshape(weights[top:bottom], (-1,)),
        )
        back = tf.raw_ops.ScaleAndTranslateGrad(grads=tf.reshape(back, tf.shape(resized)), original_image=rows, **place)
        gradient += tf.pad(back[0], ((first, size[0] - first - window), (0, 0), (0, 0)))
        return bottom, total + losses, gradient

    start = (tf.constant(0), tf.constant(0.0), tf.zeros_like(logits))
    return tf.while_loop(lambda top, *_: top < height, one_band, start, parallel_iterations=1)[1:]


def _cross_entropy(logits, ids, weights):
    """(N, C), (N,), (N,) -> the sum of weighted cross-entropies, and its gradient (N, C).

    Through oneDNN's softmax, in a third of the time of `sparse_softmax_cross_entropy_with_logits`. The logarithm of the
    sum comes from the largest share, which is never small.
    """
    num_labels = logits.shape[-1]
    shares = tf.nn.softmax(logits)
    log_sum = tf.reduce_max(logits, -1) - tf.math.log(tf.reduce_max(shares, -1))
    true = tf.gather(tf.reshape(logits, (-1,)), tf.range(tf.size(ids)) * num_labels + ids)
    gradient = (shares - tf.one_hot(ids, num_labels)) * weights[:, tf.newaxis]
    return tf.reduce_sum((log_sum - true) * weights), gradient
