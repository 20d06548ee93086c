"""The sum of cross-entropies of resized logits on TensorFlow's CPU, made for one band of rows after the other.

Resizing, softmax and their gradient are made together, so that the logits of full size never exist at once: 4 pictures
of 512 x 512 and 150 classes would take 0.6 GB, several times over.
"""

import tensorflow as tf

from segformer_tf.models.kernels import plain, tensorflow

BAND_VALUES = 2**21  # full-size logits of one band: 8 MB


def cross_entropy_sum(ids, logits, weights, with_classes: bool = False):
    """(B, H, W), (B, h, w, C), (B, H, W) -> scalar, and if wanted the likeliest classes (B, H, W), otherwise None.

    Picture after picture, band after band: what exists beside the logits and their gradient is four bands. The classes
    take a fifth of the time; a metric that finds them itself takes half of it.
    """
    logits = tf.cast(logits, tf.float32)

    @tf.custom_gradient
    def summed(logits):
        totals, gradients, likeliest = tf.map_fn(
            lambda picture: _one_picture(*picture, with_classes),
            (ids, *map(tf.stop_gradient, (logits, weights))),  # what runs here has no derivative; the gradient is made
            fn_output_signature=(
                tf.float32,
                tf.TensorSpec(logits.shape[1:], tf.float32),
                tf.TensorSpec(ids.shape[1:] if with_classes else (0,), tf.int32),
            ),
            parallel_iterations=1,
        )
        return (tf.reduce_sum(totals), likeliest), lambda upstream, _: upstream * gradient_of(logits, gradients)

    def gradient_of(logits, made):
        """`made`, the gradient, whose own derivatives come from the plain form: with logits of full size."""

        @tf.custom_gradient
        def gradient(logits):
            def second(upstream):
                with tf.GradientTape() as outer:
                    outer.watch(logits)
                    with tf.GradientTape() as inner:
                        inner.watch(logits)
                        loss = plain.cross_entropy_sum(ids, logits, weights, tensorflow.resize_bilinear)
                    first = inner.gradient(loss, logits)
                return outer.gradient(first, logits, upstream)

            return made, second

        return gradient(logits)

    loss, likeliest = summed(logits)
    return loss, likeliest if with_classes else None


def _one_picture(ids, logits, weights, with_classes):
    """(H, W), (h, w, C), (H, W) -> the sum of weighted losses, its gradient (h, w, C), the likeliest classes.

    These are (H, W), or (0,) where they are not wanted.
    """
    (height, width), size, num_labels = tf.unstack(tf.shape(ids)), tf.shape(logits)[:2], logits.shape[-1]
    scale = tf.cast([height, width], tf.float32) / tf.cast(size, tf.float32)
    # Every band adds to the whole gradient, so a band is not much smaller than that.
    band = tf.maximum(BAND_VALUES, tf.size(logits)) // (width * num_labels)
    band = tf.clip_by_value(band, 1, height)
    # Rows of `logits` that one band can touch: those under it and a neighbour on either side.
    window = tf.minimum(tf.cast(tf.math.ceil(tf.cast(band, tf.float32) / scale[0]), tf.int32) + 2, size[0])

    def one_band(number, total, gradient, likeliest):
        top = number * band
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
        losses, back, classes = _cross_entropy(
            tf.reshape(resized, (-1, num_labels)),
            tf.reshape(ids[top:bottom], (-1,)),
            tf.reshape(weights[top:bottom], (-1,)),
            with_classes,
        )
        back = tf.raw_ops.ScaleAndTranslateGrad(grads=tf.reshape(back, tf.shape(resized)), original_image=rows, **place)
        gradient += tf.pad(back[0], ((first, size[0] - first - window), (0, 0), (0, 0)))
        return number + 1, total + losses, gradient, likeliest.write(number, classes)

    bands = -(-height // band)
    likeliest = tf.TensorArray(tf.int32, bands, infer_shape=False, element_shape=(None,))
    start = (tf.constant(0), tf.constant(0.0), tf.zeros_like(logits), likeliest)
    _, total, gradient, likeliest = tf.while_loop(
        lambda number, *_: number < bands, one_band, start, parallel_iterations=1
    )
    return total, gradient, tf.reshape(likeliest.concat(), tf.shape(ids) if with_classes else (0,))


def _cross_entropy(logits, ids, weights, with_classes):
    """(N, C), (N,), (N,) -> the sum of weighted cross-entropies, its gradient (N, C), the likeliest classes.

    Through oneDNN's softmax, in a third of the time of `sparse_softmax_cross_entropy_with_logits`. The logarithm of the
    sum comes from the largest share, which is never small.
    """
    num_labels = logits.shape[-1]
    starts = tf.range(tf.size(ids)) * num_labels

    def values_of(classes, map_):
        return tf.gather(tf.reshape(map_, (-1,)), starts + classes)

    shares = tf.nn.softmax(logits)
    if with_classes:
        largest, likeliest = (found[:, 0] for found in tf.math.top_k(logits, 1))
        share = values_of(likeliest, shares)
    else:
        largest, likeliest = tf.reduce_max(logits, -1), tf.zeros((0,), tf.int32)
        share = tf.reduce_max(shares, -1)
    losses = largest - tf.math.log(share) - values_of(ids, logits)
    gradient = (shares - tf.one_hot(ids, num_labels)) * weights[:, tf.newaxis]
    return tf.reduce_sum(losses * weights), gradient, likeliest
