"""Logits to labels at full size: what metrics compare with the truth."""

from keras import ops

from segformer_tf.models import kernels


def predicted_labels(logits, size):
    """The class of each pixel once the logits are resized bilinearly: `(B, h, w, C), (H, W) -> (B, H, W)` int32.

    Of two classes whose resized logits differ by less than a millionth of the largest logit, it may be another one than
    `images.post_process_semantic_segmentation` and exported models choose, since they blend in another order.
    One channel: 1 where the logit is above 0. On TensorFlow in blocks of bounded memory; elsewhere at full size.
    """
    if logits.shape[-1] == 1:
        return likeliest(kernels.resize_bilinear(ops.cast(logits, "float32"), size))
    known = isinstance(size, (tuple, list)) and all(isinstance(side, int) for side in size)
    if known and tuple(logits.shape[1:3]) == tuple(size):
        return likeliest(logits)
    return kernels.labels(logits, size)


def likeliest(logits):
    """The class of each pixel: `(B, H, W, C) -> (B, H, W)` int32; of one channel 1 where the logit is above 0."""
    found = ops.argmax(logits, -1) if logits.shape[-1] > 1 else logits[..., 0] > 0
    return ops.cast(found, "int32")
