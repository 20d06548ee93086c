"""Augmentation of a picture and its mask, in TensorFlow and without state: the same seed gives the same result."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from segformer_tf.bounds import SMALLEST_SIDE
from segformer_tf.data.splits import UNLABELLED
from segformer_tf.images.scaling import IMAGENET_MEAN, IMAGENET_STD
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training.distortion import distort, weather

CHEAP_AREA = 3  # up to so many times the crop's area the whole picture is resized, which is less work than a part of it
MOST_SCALED = 16  # beyond it nothing of a picture is left to see, in either direction
CROP_TRIES = 10  # of the authors' code: how often a crop with too much of one class is drawn again


@spell_checked
@dataclass(frozen=True)
class Augmentation:
    """What happens to a training picture, in the authors' order: resize, crop, flip, distort, normalise, pad.

    Args:
        crop: Height and width of the result.
        scale: Range of the random factor of the resizing, which keeps the aspect.
        fit_within: Long and short side that a picture is first fitted into, as (2048, 512) for ADE20K, if any.
        max_class_share: A crop with more of one class is drawn again, up to 10 times (`cat_max_ratio`); 1: never.
        class_crop_rate: Rate of crops that are laid over a pixel of a class drawn evenly from those in the picture.
        flip_rate: Rate of horizontal flips.
        photometric: Whether brightness, contrast, saturation and hue are distorted, each at rate 0.5.
        light_rate: Rate of pictures with other tones, white balance and a slope of brightness, as at another hour.
        blur_rate, noise_rate: Rates of pictures blurred by 0.4 to 1.6 pixels, and with Gaussian noise
            whose standard deviation is up to 16 grey levels.
        image_mean, image_std: Of the pixels / 255, a number a channel: what they are normalised with.
        cut_rate, paste_rate: Rates of crops that are laid over with a box of another crop of the batch, and with the
            pixels of half of its classes; for segmentation.
    """

    crop: tuple[int, int] = (512, 512)
    scale: tuple[float, float] = (0.5, 2.0)
    fit_within: tuple[int, int] | None = None
    max_class_share: float = 0.75
    class_crop_rate: float = 0.0
    flip_rate: float = 0.5
    photometric: bool = True
    light_rate: float = 0.0
    blur_rate: float = 0.0
    noise_rate: float = 0.0
    cut_rate: float = 0.0
    paste_rate: float = 0.0
    image_mean: tuple[float, ...] = IMAGENET_MEAN
    image_std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        crop, scale = self.crop, self.scale
        if len(crop) != 2 or min(crop) < SMALLEST_SIDE:
            raise ValueError(f"crop is {crop}, expected a height and a width of at least {SMALLEST_SIDE}: enlarge it.")
        if len(scale) != 2 or not 1 / MOST_SCALED <= scale[0] <= scale[1] <= MOST_SCALED:
            raise ValueError(
                f"scale is {scale}, expected two factors from 1/{MOST_SCALED} to {MOST_SCALED}, the smaller first: "
                "correct them."
            )
        if self.fit_within is not None and (len(self.fit_within) != 2 or min(self.fit_within) < SMALLEST_SIDE):
            raise ValueError(
                f"fit_within is {self.fit_within}, expected two sides of at least {SMALLEST_SIDE}: enlarge them."
            )
        for key in ("image_mean", "image_std"):
            if len(getattr(self, key)) != 3:
                raise ValueError(
                    f"{key} is {getattr(self, key)}, expected a number for each of 3 channels: correct it."
                )
        if min(self.image_std) <= 0:
            raise ValueError(f"image_std is {self.image_std}, expected numbers above 0: correct them.")
        for key in ("image_mean", "image_std"):
            if min(getattr(self, key)) < 0 or max(getattr(self, key)) > 1:
                raise ValueError(
                    f"{key} is {getattr(self, key)}, expected numbers up to 1, of pixels / 255: divide by 255."
                )
        rates = [key for key in self.__dataclass_fields__ if key.endswith("_rate")]
        for key in ("max_class_share", *rates):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key} is {getattr(self, key)}, expected a rate from 0 to 1: correct it.")


def augment(image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, how: Augmentation):
    """(H, W, 3) uint8 and (H, W) ids -> (*crop, 3) float32 normalised and (*crop) int32.

    Beside a picture smaller than the crop, the image is 0 after normalising and the mask unlabelled (255).

    Args:
        seed: Two whole numbers, another pair for every element and epoch.
    """
    seed = tf.convert_to_tensor(seed)
    draws = tf.unstack(tf.random.stateless_uniform((18,), seed))
    flip = draws[0] < how.flip_rate
    image, mask = (tf.cond(flip, lambda x=x: tf.reverse(x, [1]), lambda x=x: x) for x in (image, mask))
    size = tf.shape(image)[:2]
    resized = _resized_size(size, how.scale[0] + draws[1] * (how.scale[1] - how.scale[0]), how.fit_within)
    offset, mask = _crop(mask, resized, draws[2:5], seed, how)
    inside = tf.minimum(resized - offset, tf.constant(how.crop))  # what of the crop lies in the picture
    image = _part_of_resized(image, resized, offset, inside)
    image = _distorted(image, draws[5:], seed, how)
    below, right = tf.unstack(tf.constant(how.crop) - inside)
    image = tf.pad(normalize(image, how), ((0, below), (0, right), (0, 0)))
    return tf.ensure_shape(image, (*how.crop, 3)), tf.ensure_shape(mask, how.crop)


def augment_for_classes(image: tf.Tensor, target: tf.Tensor, seed: tf.Tensor, how: Augmentation):
    """(H, W, 3) uint8 and a class id -> a random part of the picture (*crop, 3) float32 normalised, and the id.

    The part has 1 / scale squared of the picture's area and an aspect of 3:4 to 4:3, as in Inception's training.
    """
    draws = tf.unstack(tf.random.stateless_uniform((18,), seed))
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    zoom = how.scale[0] + draws[1] * (how.scale[1] - how.scale[0])
    aspect = tf.exp((2.0 * draws[2] - 1.0) * tf.math.log(4.0 / 3.0))
    part = tf.minimum(size / zoom * tf.stack([tf.sqrt(aspect), tf.math.rsqrt(aspect)]), size)
    scale = tf.constant(how.crop, tf.float32) / part
    offset = tf.stack(draws[3:5]) * (size - part)
    image = tf.cond(draws[0] < how.flip_rate, lambda: tf.reverse(image, [1]), lambda: image)
    image = _scaled(image, how.crop, scale, -offset * scale)
    return normalize(_distorted(image, draws[5:], seed, how), how), target


def _distorted(image, draws, seed, how: Augmentation):
    if how.photometric:
        image = distort(image, draws)
    if how.light_rate or how.blur_rate or how.noise_rate:
        image = weather(image, seed + 2, how.light_rate, how.blur_rate, how.noise_rate)
    return image


def normalize(image: tf.Tensor, how: Augmentation) -> tf.Tensor:
    """Pixels in 0 to 255 -> what the model sees."""
    shape = tf.shape(image)
    # Whole rows: TensorFlow is slow where it has to repeat three values again and again.
    scale = tf.tile(tf.constant(1.0 / (255.0 * np.array(how.image_std)), tf.float32), shape[-2:-1])
    shift = tf.tile(tf.constant(np.divide(how.image_mean, how.image_std), tf.float32), shape[-2:-1])
    rows = tf.reshape(image, (-1, shape[-2] * shape[-1]))
    return tf.ensure_shape(tf.reshape(rows * scale - shift, shape), image.shape)


def _resized_size(size, factor, fit_within):
    if fit_within is not None:
        long, short = (tf.cast(reduce(size), tf.float32) for reduce in (tf.reduce_max, tf.reduce_min))
        factor *= tf.minimum(max(fit_within) / long, min(fit_within) / short)
    return tf.maximum(tf.cast(tf.cast(size, tf.float32) * factor + 0.5, tf.int32), 1)


def _crop(mask, resized, draws, seed, how: Augmentation):
    """Where the crop begins in the resized picture, over a class or where no class covers too much; its labels."""
    margin = tf.maximum(resized - tf.constant(how.crop), 0)
    tries = tf.random.stateless_uniform((CROP_TRIES + 1, 2), seed + 1)
    offsets = tf.cast(tries * tf.cast(margin + 1, tf.float32), tf.int32)

    def labels_at(offset):
        return _crop_labels(mask, resized, offset, how.crop)

    def anywhere():
        def too_uniform(i, labels):
            counts = tf.math.bincount(labels, minlength=UNLABELLED + 1)
            counts = tf.concat([counts[:UNLABELLED], counts[UNLABELLED + 1 :]], 0)
            share = tf.reduce_max(counts) / tf.maximum(tf.reduce_sum(counts), 1)
            return (i < CROP_TRIES) & ((share >= how.max_class_share) | (tf.math.count_nonzero(counts) < 2))

        found = tf.constant(0), labels_at(offsets[0])
        if how.max_class_share < 1:
            found = tf.while_loop(too_uniform, lambda i, _: (i + 1, labels_at(offsets[i + 1])), found)
        return offsets[found[0]], found[1]

    def over_class():
        present, _ = tf.unique(tf.reshape(mask, (-1,)))
        present = tf.boolean_mask(present, present != UNLABELLED)
        count = tf.shape(present)[0]
        places = tf.where(mask == present[tf.cast(draws[1] * tf.cast(count, tf.float32), tf.int32)])
        place = places[tf.cast(draws[2] * tf.cast(tf.shape(places)[0], tf.float32), tf.int32)]
        place = tf.cast(tf.cast(place, tf.float32) * _factors(mask, resized), tf.int32)
        window = tf.cast(tries[0] * tf.constant(how.crop, tf.float32), tf.int32)  # where in the crop the pixel lies
        offset = tf.clip_by_value(place - window, 0, margin)
        return offset, labels_at(offset)

    if how.class_crop_rate == 0:
        return anywhere()
    chosen = (draws[0] < how.class_crop_rate) & tf.reduce_any(mask != UNLABELLED)
    return tf.cond(chosen, over_class, anywhere)


def _factors(picture, resized):
    return tf.cast(resized, tf.float32) / tf.cast(tf.shape(picture)[:2], tf.float32)


def _part_of_resized(image, resized, offset, size):
    """`size` pixels from `offset` on of the picture resized bilinearly to `resized`, (*size, 3) float32.

    TensorFlow resizes a whole picture in a third of the time a pixel that it takes for a part of one.
    """
    pixels = tf.cast(image, tf.float32)

    def whole():
        return tf.slice(tf.image.resize(pixels, resized), tf.pad(offset, [(0, 1)]), tf.concat([size, [-1]], 0))

    def part():
        return _scaled(pixels, size, _factors(image, resized), -tf.cast(offset, tf.float32))

    areas = (tf.reduce_prod(tf.cast(side, tf.int64)) for side in (resized, size))  # 16 times a side is beyond int32
    return tf.cond(next(areas) <= CHEAP_AREA * next(areas), whole, part)


def _scaled(image, size, scale, translation):
    return tf.raw_ops.ScaleAndTranslate(
        images=tf.cast(image, tf.float32)[None],
        size=size,
        scale=scale,
        translation=translation,
        kernel_type="triangle",
        antialias=False,
    )[0]


def _crop_labels(mask, resized, offset, crop):
    """The crop of the mask resized to the nearest pixel, int32, unlabelled outside."""
    rows, columns = (
        tf.cast((tf.cast(tf.range(crop[axis]) + offset[axis], tf.float32) + 0.5) / factor, tf.int32)
        for axis, factor in enumerate(tf.unstack(_factors(mask, resized)))
    )
    size = tf.shape(mask)
    labels = tf.gather(mask, tf.minimum(rows, size[0] - 1))
    # Columns as rows of the transpose: a gather copies whole rows, but columns pixel by pixel.
    labels = tf.transpose(tf.gather(tf.transpose(labels), tf.minimum(columns, size[1] - 1)))
    return tf.where(_inside(resized, offset, crop)[..., 0], tf.cast(labels, tf.int32), UNLABELLED)


def _inside(resized, offset, crop):
    """(*crop, 1): whether the crop's pixel lies in the resized picture."""
    rows, columns = (tf.range(crop[axis]) + offset[axis] < resized[axis] for axis in (0, 1))
    return (rows[:, None] & columns)[..., None]
