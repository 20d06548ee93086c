"""Losses for segmentation that know the ignore index, class weights, and sums of losses, as one Keras loss.

A classifier's, where its classes have weights, is beside them.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import keras
from keras import ops

from segformer_tf.models import kernels
from segformer_tf.models.distribution import gathered, scaled, share_of_mean, total
from segformer_tf.models.losses import by_pixel, check_label_shape, check_range, full_size_logits, whole_ids
from segformer_tf.storage.keywords import spell_checked

FOCAL_GAMMA = 2.0  # of Lin et al. 2017
OHEM_PROBABILITY, OHEM_SHARE = 0.7, 1 / 16  # pixels less sure than this count; at least this share of them
DICE_SMOOTHING = 1.0
BOUNDARY_PIXELS = 3  # at the masks' own size
LARGEST_ID = 2.0**24  # float32 holds whole numbers up to it


@spell_checked
def class_weights(counts: Sequence[int], power: float = 0.5) -> list[float]:
    """Weight of each class from its pixels (or pictures): (median / count) ** power, 1 for a class that never occurs.

    Power 1 is median frequency balancing (Eigen and Fergus 2015); smaller ones lie between that and none.
    """
    present = sorted(count for count in counts if count > 0)
    median = present[len(present) // 2] if present else 1
    return [float((median / count) ** power) if count else 1.0 for count in counts]


@keras.saving.register_keras_serializable(package="segformer_tf")
@spell_checked
class SegmentationLoss(keras.losses.Loss):
    """A sum of losses over the pixels that are not ignored: labels (B, H, W) and logits (B, h, w, C) to a scalar.

    Logits are resized to the labels' size, cross-entropy in bands of rows to save memory; Dice and Lovász are taken at
    the logits' own size, on the labels nearest to it. A sample weight of a picture (B,) or pixel (B, H, W) counts as a
    class's does.

    Args:
        parts: Share of each of `LOSSES`; alone and with share 1, each is the loss of its name.
        weights: Weight of each class in the cross-entropy (also at boundaries), focal loss and OHEM.

    Raises:
        ValueError: No such loss, a label that is neither a class nor `ignore_index`, logits of one channel, or
            labels or `weights` that do not fit the logits.
    """

    resizes_logits = True  # so that the models hand it their logits as they are

    def __init__(
        self,
        parts: Mapping[str, float] | None = None,
        weights: Sequence[float] | None = None,
        ignore_index: int = 255,
        name: str = "segmentation_loss",
    ):
        super().__init__(name=name, reduction="sum")
        self.parts = dict(parts or {"cross_entropy": 1.0})
        self.weights = None if weights is None else [float(weight) for weight in weights]
        self.ignore_index = ignore_index
        for part in self.parts.keys() - LOSSES.keys():
            raise ValueError(f"the loss {part!r} is unknown, expected some of {', '.join(LOSSES)}: choose from these.")

    def __call__(self, y_true, y_pred, sample_weight=None):
        return scaled(self.call(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred), sample_weight))

    def call(self, y_true, y_pred, sample_weight=None):
        channels = y_pred.shape[-1]
        if channels == 1:
            raise ValueError(
                "logits have 1 channel, expected one for each class: take the model's own loss, or num_labels=2."
            )
        if self.weights is not None and len(self.weights) != channels:
            raise ValueError(f"weights has {len(self.weights)} numbers, expected {channels}: one for each class.")
        labels = whole_ids(check_label_shape(y_true, y_pred))
        valid = ops.not_equal(labels, self.ignore_index)
        ids = check_range(ops.where(valid, labels, 0), channels, self.ignore_index)
        valid = ops.cast(valid, "float32")
        weights = valid
        if self.weights is not None:
            weights = valid * ops.take(ops.convert_to_tensor(self.weights, "float32"), ids)
        if sample_weight is not None:
            weights = weights * by_pixel(sample_weight, labels)
        return sum(share * LOSSES[part](ids, y_pred, valid, weights) for part, share in self.parts.items())

    def get_config(self):
        return {
            "parts": self.parts,
            "weights": self.weights,
            "ignore_index": self.ignore_index,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="segformer_tf")
@spell_checked
class WeightedClasses(keras.losses.Loss):
    """A classifier's cross-entropy, each picture weighed by its class; labels and logits (B, C) to a scalar.

    Labels are class ids (B,), or the classes' shares of a picture (B, C), as MixUp makes them.

    Args:
        weights: Of each class.
    """

    resizes_logits = True  # which have no size

    def __init__(self, weights: Sequence[float], name: str = "weighted_classes"):
        super().__init__(name=name, reduction="sum")
        self.weights = [float(weight) for weight in weights]

    def __call__(self, y_true, y_pred, sample_weight=None):
        return scaled(self.call(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred), sample_weight))

    def call(self, y_true, y_pred, sample_weight=None):
        shares = ops.cast(y_true, "float32") if len(y_true.shape) == 2 else ops.one_hot(y_true, len(self.weights))
        shares = shares * ops.convert_to_tensor(self.weights, "float32")
        if sample_weight is not None:
            shares = shares * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        return share_of_mean(-ops.sum(shares * ops.log_softmax(y_pred)), ops.sum(shares), 1e-6)

    def get_config(self):
        return {"weights": self.weights, "name": self.name}


# Each takes ids (B, H, W) with 0 where a pixel is ignored, logits (B, h, w, C), and two (B, H, W): 1 where a pixel is
# not ignored, and that times the weight of its class.


def _cross_entropy(ids, logits, valid, weights):
    del valid
    return share_of_mean(kernels.cross_entropy_sum(ids, logits, weights), ops.sum(weights), 1e-6)


def _focal(ids, logits, valid, weights):
    """Cross-entropy times (1 - probability of the truth) ** 2: sure pixels count little."""
    del valid
    losses = _pixel_losses(ids, logits)
    return _mean(losses * (1.0 - ops.exp(-losses)) ** FOCAL_GAMMA, weights)


def _ohem(ids, logits, valid, weights):
    """Cross-entropy of the hard pixels alone: those below a probability, or the hardest share if these are fewer."""
    losses = _pixel_losses(ids, logits)
    ranked = ops.sort(ops.reshape(gathered(ops.where(valid > 0, losses, -1.0)), (-1,)))  # ignored pixels first
    kept = ops.maximum(ops.cast(total(ops.sum(valid)) * OHEM_SHARE, "int32"), 1)
    hardest = ops.take(ranked, ops.shape(ranked)[0] - kept)
    threshold = ops.stop_gradient(ops.minimum(-math.log(OHEM_PROBABILITY), hardest))
    return _mean(losses, weights * ops.cast(losses >= threshold, "float32"))


def _dice(ids, logits, valid, weights):
    """1 - Dice of the softmax, a mean over the classes that the batch's masks have (Milletari et al. 2016)."""
    del weights  # every class counts alike
    ids, valid = (_nearest(map_, ops.shape(logits)[1:3]) for map_ in (ids, valid))
    valid = ops.expand_dims(valid, -1)
    shares = ops.softmax(logits) * valid
    truth = ops.one_hot(ids, logits.shape[-1], dtype="float32") * valid
    hits, predicted, true = (total(ops.sum(x, axis=(0, 1, 2))) for x in (shares * truth, shares, truth))
    dice = (2.0 * hits + DICE_SMOOTHING) / (predicted + true + DICE_SMOOTHING)
    present = ops.cast(true > 0, "float32")
    return ops.sum((1.0 - dice) * present) / ops.maximum(ops.sum(present), 1e-6)


def _lovasz(ids, logits, valid, weights):
    """1 - IoU of the softmax by its Lovász extension (Berman et al. 2018), a mean over the classes that masks have."""
    del weights  # every class counts alike
    ids, valid = (_nearest(map_, ops.shape(logits)[1:3]) for map_ in (ids, valid))
    valid = ops.expand_dims(valid, -1)
    truth = ops.one_hot(ids, logits.shape[-1], dtype="float32") * valid
    errors = ops.abs(truth - ops.softmax(logits)) * valid  # an ignored pixel is no error
    errors, truth = (ops.reshape(gathered(x), (-1, logits.shape[-1])) for x in (errors, truth))
    order = ops.stop_gradient(ops.argsort(-errors, axis=0))
    errors, ranked = ops.take_along_axis(errors, order, axis=0), ops.take_along_axis(truth, order, axis=0)
    found = ops.sum(truth, axis=0)
    union = found + ops.cumsum(1.0 - ranked, axis=0)
    lost = 1.0 - (found - ops.cumsum(ranked, axis=0)) / union  # 1 - IoU if the worst pixels so far were all wrong
    steps = ops.concatenate([lost[:1], lost[1:] - lost[:-1]], axis=0)
    present = ops.cast(found > 0, "float32")
    return ops.sum(ops.sum(errors * steps, axis=0) * present) / ops.maximum(ops.sum(present), 1e-6)


def _boundary(ids, logits, valid, weights):
    """Cross-entropy of the pixels that have another class within `BOUNDARY_PIXELS`, in a square around them."""
    side = 2 * BOUNDARY_PIXELS + 1

    def largest(map_):
        map_ = ops.expand_dims(ops.where(valid > 0, ops.cast(map_, "float32"), -LARGEST_ID), -1)
        return ops.max_pool(map_, side, 1, "same")[..., 0]

    near = weights * ops.cast(largest(ids) > -largest(-ids), "float32")
    return share_of_mean(kernels.cross_entropy_sum(ids, logits, near), ops.sum(near), 1e-6)


LOSSES: dict[str, Callable] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "ohem": _ohem,
    "dice": _dice,
    "lovasz": _lovasz,
    "boundary": _boundary,
}


def _pixel_losses(ids, logits):
    return ops.sparse_categorical_crossentropy(ids, full_size_logits(logits, ids), from_logits=True)


def _mean(losses, weights):
    return share_of_mean(ops.sum(losses * weights), ops.sum(weights), 1e-6)


def _nearest(map_, size):
    """(B, H, W) -> (B, *size), the value at the centre of each new pixel."""
    for axis in (1, 2):
        length, new = ops.shape(map_)[axis], size[axis - 1]
        map_ = ops.take(map_, (2 * ops.arange(new) + 1) * length // (2 * new), axis=axis)
    return map_
