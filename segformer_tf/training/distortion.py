"""The authors' photometric distortion; light, blur and noise of other days and cameras. Without state."""

import tensorflow as tf

GAMMA = 2.5  # the picture's tones are raised to a power of 1/2.5 to 2.5
GAIN = 1.25  # of each colour, from 1/1.25 to 1.25: another white balance
SLOPE = 0.7  # of the logarithm of the brightness from edge to edge, across and down
SIGMA = (0.4, 1.6)  # of the blur, in pixels
NOISE = 16.0  # largest standard deviation, in grey levels


def distort(image: tf.Tensor, draws) -> tf.Tensor:
    """Photometric distortion of (H, W, 3) in 0 to 255: brightness, then contrast before or after saturation and hue.

    Args:
        draws: At least nine random numbers from 0 to 1.
    """

    def contrast(x):
        return _maybe(draws[4], lambda: tf.floor(tf.clip_by_value(x * (0.5 + draws[5]), 0.0, 255.0)), x)

    image = _maybe(draws[0], lambda: tf.floor(tf.clip_by_value(image + 64.0 * draws[1] - 32.0, 0.0, 255.0)), image)
    contrast_first = draws[2] < 0.5
    image = tf.cond(contrast_first, lambda: contrast(image), lambda: image)
    saturation, turn = (
        0.5 + draws[8],
        tf.floor(draws[3] * 36.0 - 18.0) / 180.0,
    )  # turns by -36 to 34 degrees, in steps of 2
    image = _maybe(draws[6], lambda: tf.raw_ops.AdjustSaturation(images=image, scale=saturation), image)
    image = _maybe(draws[7], lambda: tf.raw_ops.AdjustHue(images=image, delta=turn), image)
    return tf.cond(contrast_first, lambda: image, lambda: contrast(image))


def _maybe(draw, change, otherwise):
    return tf.cond(draw < 0.5, change, lambda: otherwise)


def weather(image: tf.Tensor, seed: tf.Tensor, light_rate: float, blur_rate: float, noise_rate: float) -> tf.Tensor:
    """(H, W, 3) in 0 to 255 -> the same with other light, blurred and noisy, each at its rate; still in 0 to 255.

    Args:
        seed: Two whole numbers.
    """
    draws = tf.random.stateless_uniform((12,), seed)
    for draw, rate, change in (
        (draws[0], light_rate, lambda x: relit(x, draws[3:9])),
        (draws[1], blur_rate, lambda x: blurred(x, SIGMA[0] + draws[9] * (SIGMA[1] - SIGMA[0]))),
        (draws[2], noise_rate, lambda x: x + draws[10] * NOISE * tf.random.stateless_normal(tf.shape(x), seed + 1)),
    ):
        if rate > 0:
            image = tf.cond(draw < rate, lambda x=image, change=change: change(x), lambda x=image: x)
    return tf.clip_by_value(image, 0.0, 255.0)


def relit(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Other tones, white balance and a slope of brightness, as between noon and dusk; `draws`: six from 0 to 1."""
    power = tf.pow(GAMMA, 2.0 * draws[0] - 1.0)
    gains = tf.pow(GAIN, 2.0 * draws[1:4] - 1.0)
    across, down = (SLOPE * (2.0 * draws[i] - 1.0) for i in (4, 5))
    rows, columns = (tf.linspace(-0.5, 0.5, tf.shape(image)[axis]) for axis in (0, 1))
    slope = tf.exp(down * rows[:, None] + across * columns[None, :])[..., None]  # (H, W, 1)
    tones = 255.0 * tf.pow(tf.clip_by_value(image, 0.0, 255.0) / 255.0, power)
    return tones * gains * slope


def blurred(image: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Gaussian blur over 11 x 11 pixels, the edge mirrored."""
    taps = tf.exp(-tf.square(tf.range(-5.0, 6.0) / sigma) / 2.0)
    taps = tf.tile((taps / tf.reduce_sum(taps))[:, None], (1, 3))  # (11, 3)
    rows, columns = (_mirrored(tf.shape(image)[axis]) for axis in (0, 1))
    padded = tf.gather(tf.gather(image, rows), columns, axis=1)[None]
    down = tf.nn.depthwise_conv2d(padded, taps[:, None, :, None], (1, 1, 1, 1), "VALID")
    return tf.nn.depthwise_conv2d(down, taps[None, :, :, None], (1, 1, 1, 1), "VALID")[0]


def _mirrored(length: tf.Tensor) -> tf.Tensor:
    """(length + 10,): numbers of the pixels of a side and of five beyond each end, mirrored as often as is needed."""
    place = tf.math.floormod(tf.range(-5, length + 5), 2 * length)
    return tf.minimum(place, 2 * length - 1 - place)
