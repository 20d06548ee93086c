"""What the parts are made of: activations, dense products, resizing, initial values; fast paths live here."""

import contextlib
import math
from collections.abc import Callable, Iterator

import keras
from keras import ops

REFERENCE_EPS = 1e-5
BAND_SCORES = 2**24  # attention scores that exist at one time in inference: 64 MB in float32
CHANNELS_LAST = "channels_last"  # inside the model, whatever the boundary says

_tracing: set[str] = set()  # how graphs are being traced just now


@contextlib.contextmanager
def _traced(how: str) -> Iterator[None]:
    before = set(_tracing)
    _tracing.add(how)
    try:
        yield
    finally:
        _tracing.clear()
        _tracing.update(before)


def portable_ops() -> contextlib.AbstractContextManager[None]:
    """Graphs traced inside are made of ops that every converter reads, also where TensorFlow has faster ones."""
    return _traced("portable")


def final_weights() -> contextlib.AbstractContextManager[None]:
    """Graphs traced inside are for inference with the weights as they are: products of weights are made now, once."""
    return _traced("final")


def as_tokens(run: Callable, x):
    """`run(x)`, in portable graphs on rows of tokens: `(B, H, W, C) -> (B, 1, N, C) -> (B, H, W, C')`.

    OpenVINO would turn what works on maps channels-first, to meet the convolutions, and copy maps forth and back for it; it does
    not look through a reshape. It saves two fifths of b0's and b2's time there (of one picture, known shapes; measured once, by hand).
    """
    if not portable() or len(x.shape) != 4:
        return run(x)
    shape = ops.shape(x)
    result = run(ops.reshape(x, (shape[0], 1, -1, shape[3])))
    return ops.reshape(result, (*shape[:3], result.shape[-1]))


def portable() -> bool:
    """Whether the graph that is being traced is for converters."""
    return "portable" in _tracing


def fast_ops() -> bool:
    """Whether the backend is TensorFlow, and its own ops are allowed."""
    return keras.backend.backend() == "tensorflow" and not portable()


def product_of_weights(make: Callable):
    """The tensors of `make()`: as ops of the graph being traced, or inside `final_weights()` as constants.

    The products of b2's head take 3 % of its time, and depend on nothing but the weights.
    """
    if "final" not in _tracing or keras.backend.backend() != "tensorflow":
        return make()
    import tensorflow as tf

    with tf.init_scope():
        values = [tensor.numpy() for tensor in make()]
    return [tf.constant(value) for value in values]


def gelu(x):
    """Exact GELU through `erf`, an op that ONNX has (`tf.nn.gelu` writes `Erfc`, which it has not)."""
    return as_tokens(lambda x: 0.5 * x * (1.0 + ops.erf(x * (1.0 / math.sqrt(2.0)))), x)


def softmax(scores):
    """Over the last axis; where a small picture leaves one token to attend to, without Keras' warning about it."""
    return ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores)


def in_bands(attend: Callable, query, key, value):
    """The first of what `attend(query, key, value, training=False)` gives, for one band of queries after the other, where all scores would be many.

    (B, heads, N, d) and (B, heads, M, d) twice -> (B, heads, N, d). At 1024x1024 the first stage's scores take 268 MB,
    and the softmax as much again; at 2048x2048 sixteen times that.
    """
    import tensorflow as tf

    batch, heads, queries, size = (tf.shape(query)[axis] for axis in range(4))
    rows = tf.maximum(BAND_SCORES // tf.maximum(batch * heads * tf.shape(key)[2], 1), 1)
    bands = -(-queries // rows)

    def whole():
        return attend(query, key, value, False)[0]

    def banded():
        def band(i, done):
            part = attend(query[:, :, i * rows : (i + 1) * rows], key, value, False)[0]
            return i + 1, done.write(i, tf.transpose(part, (2, 0, 1, 3)))  # (rows, B, heads, d)

        parts = tf.TensorArray(query.dtype, bands, infer_shape=False, element_shape=(None, None, *query.shape[1::2]))
        loop = tf.while_loop(lambda i, _: i < bands, band, (0, parts), parallel_iterations=1)
        return tf.reshape(tf.transpose(loop[1].concat(), (1, 2, 0, 3)), (batch, heads, queries, size))

    scores = _static_scores(query, key)
    if scores is not None:
        return banded() if scores > BAND_SCORES else whole()
    return tf.cond(bands > 1, banded, whole)


def _static_scores(query, key) -> int | None:
    """How many scores there are, if the shapes tell."""
    sides = (*query.shape[:3], key.shape[2])
    return None if None in sides else math.prod(sides)


ACTIVATION_FUNCTIONS: dict[str, Callable] = {
    "gelu": gelu,
    "gelu_new": lambda x: ops.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: ops.gelu(x, approximate=True),
    "relu": ops.relu,
    "silu": ops.silu,
    "swish": ops.silu,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
}


def conv_initializer(fan_out: int) -> keras.initializers.Initializer:
    """The paper's code draws convolution kernels with variance 2 / (outputs that one input reaches)."""
    return keras.initializers.RandomNormal(stddev=math.sqrt(2.0 / fan_out))


def drop_path(rate: float, **kwargs) -> keras.layers.Dropout:
    """Stochastic depth: leaves out the whole branch for some pictures of the batch (Huang et al. 2016)."""
    return keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), **kwargs)


def resize_bilinear(x, size):
    """Bilinear with half-pixel centres and no antialiasing: `(B, H, W, C) -> (B, *size, C)`, in the dtype of `x`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # keras.ops.image.resize refuses a size that is known only when the graph runs

        return tf.cast(tf.image.resize(x, size), x.dtype)
    return ops.image.resize(x, size, interpolation="bilinear", data_format=CHANNELS_LAST)


def product_plus(x, kernel, bias, others):
    """`x @ kernel + bias + sum(others)` on maps, in one pass over the result instead of one for each summand.

    TensorFlow fuses a product of matrices with its bias and one summand; the others it adds in a single pass. Of b2's
    head, whose maps have 768 channels, it saves a fifth. `rectified` must follow, not `ops.relu`.
    """
    if not fast_ops():

        def plain(x):
            product = ops.matmul(x, kernel) + bias
            return sum((ops.reshape(other, ops.shape(product)) for other in others), product)

        return as_tokens(plain, x)
    import tensorflow as tf

    shape = (*ops.shape(x)[:-1], kernel.shape[-1])
    product = tf.nn.bias_add(tf.matmul(tf.reshape(x, (-1, x.shape[-1])), kernel), bias)
    if others:
        product = product + tf.reshape(tf.add_n(others), (-1, kernel.shape[-1]))
    return ops.reshape(product, shape)


def rectified(x):
    """ReLU, on TensorFlow as a maximum: its graph optimizer gives up where a product, its bias, a sum and `Relu` meet."""
    return ops.maximum(x, 0.0) if fast_ops() else ops.relu(x)


class Dense(keras.layers.Dense):
    """A `Dense` layer whose product TensorFlow sees as one matrix product with its bias, so that oneDNN fuses the two.

    Keras' own goes through `tensordot` on maps, which hides the bias. LoRA and quantized kernels take Keras' way.
    """

    @property
    def plain(self) -> bool:
        """Whether it is its kernel, its bias, and nothing else."""
        return self.quantization_mode is None and not self.lora_enabled and self.use_bias

    def call(self, inputs, training=None):
        if not (fast_ops() and self.plain):
            plain = super().call
            return as_tokens(lambda x: plain(x, training=training), inputs)
        import tensorflow as tf

        rows = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), self.kernel)
        return ops.reshape(tf.nn.bias_add(rows, self.bias), (*ops.shape(inputs)[:-1], self.units))

    def quantize(self, mode=None, type_check: bool = True, **kwargs):
        """As Keras' own, which leaves subclasses out unless told not to check."""
        return super().quantize(mode, type_check=False, **kwargs)


def dense(units: int, initializer_range: float, use_bias: bool = True, **kwargs) -> Dense:
    """A dense layer initialised as the paper's code does: truncated normal, bias 0."""
    kernel = keras.initializers.TruncatedNormal(stddev=initializer_range)
    return Dense(units, use_bias=use_bias, kernel_initializer=kernel, **kwargs)
