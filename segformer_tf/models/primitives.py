"""Keras' layers that the paper's parts are made of, each computed by a kernel, and `Block`, which joins them."""

import functools
import math
from typing import Any

import keras
from keras import ops

from segformer_tf.models import distribution, kernels, layer_states, private

REFERENCE_EPS = 1e-5  # of every norm in transformers' SegFormer
CHANNELS_LAST = "channels_last"  # inside the model, whatever the boundary says

register = keras.saving.register_keras_serializable(package="segformer_tf")  # for models made of a model's layers


@register
class Dense(layer_states.Adaptable, keras.layers.Dense):
    """`keras.layers.Dense`; with LoRA or a quantized kernel as Keras computes it."""

    def call(self, inputs, training=None):
        if self.quantization_mode or self.lora_enabled or not self.use_bias:
            return kernels.by_token(functools.partial(super().call, training=training), inputs)
        product = kernels.dense(inputs, self.kernel, self.bias)
        return product if self.activation in (None, keras.activations.linear) else self.activation(product)

    def quantize(self, mode=None, type_check: bool = True, **kwargs):
        """As Keras' own, which leaves subclasses out unless told not to check."""
        return super().quantize(mode, type_check=False, **kwargs)


@register
class Conv2D(layer_states.Adaptable, keras.layers.Conv2D):
    """`keras.layers.Conv2D`, without padding; also of no pictures, as a replica's share of the last batch may be."""

    def call(self, inputs):
        if distribution.replicas() == 1:
            return super().call(inputs)
        sizes: Any = ops.shape(inputs)
        lengths = zip(sizes[1:3], self.kernel_size, self.strides, strict=True)
        made = (sizes[0], *((side - size) // stride + 1 for side, size, stride in lengths), self.filters)
        return distribution.of_share(super().call, inputs, made)


@register
class LayerNorm(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis."""

    def call(self, inputs, training=None):
        return kernels.layer_norm(inputs, self.gamma, self.beta, self.epsilon, training)


@register
class BatchNorm(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis; its running variance is unbiased, as in PyTorch.

    Under `tf.distribute` its statistics are the global batch's.
    """

    def call(self, inputs, training=None):
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        total = distribution.total if distribution.replicas() > 1 else None
        normal, mean, variance = kernels.batch_norm(inputs, self.gamma, self.beta, self.epsilon, total)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(
                moving * self.momentum + ops.cast(ops.stop_gradient(new), moving.dtype) * (1.0 - self.momentum)
            )
        return normal


def dense(units: int, initializer_range: float, use_bias: bool = True, **kwargs) -> Dense:
    """A dense layer initialised as the paper's code does: truncated normal, bias 0."""
    kernel = keras.initializers.TruncatedNormal(stddev=initializer_range)
    return Dense(units, use_bias=use_bias, kernel_initializer=kernel, **kwargs)


def conv_initializer(fan_out: int) -> keras.initializers.Initializer:
    """The paper's code draws convolution kernels with variance 2 / (outputs that one input reaches)."""
    return keras.initializers.RandomNormal(stddev=math.sqrt(2.0 / fan_out))


def drop_path(rate: float, **kwargs) -> keras.layers.Dropout:
    """Stochastic depth: leaves out the whole branch for some pictures of the batch (Huang et al. 2016)."""
    return keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), **kwargs)


class Block(layer_states.Settable):
    """A layer made of parts under the checkpoint's names; has the shape of its input unless a subclass says otherwise.

    Every part is made with the number of channels of its input, so that all are built without tracing `call`: b5 is
    made in a fifth of the time.
    """

    def __new__(cls, *args, dtype=None, **kwargs):
        """Keras makes `get_config` of the arguments seen here, if all are plain; the dtype policy it adds is not."""
        del dtype
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, initializer_range: float = 0.02, **kwargs):
        super().__init__(**kwargs)
        self.initializer_range = initializer_range
        self._builds: list[functools.partial] = []

    def part(self, name: str, in_channels: int, make, *args, **kwargs) -> Any:
        """`make(*args, **kwargs)`: a layer on maps (B, H, W, in_channels), in this one's dtype policy."""
        layer = make(*args, name=name, dtype=self.dtype_policy, **kwargs)
        self._builds.append(functools.partial(layer.build, (None, None, None, in_channels)))
        return layer

    def dense(self, name: str, in_channels: int, units: int, **kwargs) -> Dense:
        """(..., in_channels) -> (..., units)."""
        return self.part(name, in_channels, dense, units, self.initializer_range, **kwargs)

    def conv(self, name: str, in_channels: int, channels: int, size: int, stride: int) -> Conv2D:
        """`size` x `size`, without padding."""
        start = {"kernel_initializer": conv_initializer(size**2 * channels), "data_format": CHANNELS_LAST}
        return self.part(name, in_channels, Conv2D, channels, size, stride, **start)

    def depthwise(self, name: str, channels: int, size: int) -> keras.layers.DepthwiseConv2D:
        """`size` x `size` on each channel by itself, padded with zeros to the size of its input."""
        start = {"depthwise_initializer": conv_initializer(size**2), "data_format": CHANNELS_LAST}
        return self.part(name, channels, keras.layers.DepthwiseConv2D, size, padding="same", **start)

    def norm(self, name: str, channels: int, epsilon: float = REFERENCE_EPS) -> LayerNorm:
        """Over the channels of each token."""
        return self.part(name, channels, LayerNorm, epsilon=epsilon)

    def drop(self, name: str, rate: float) -> keras.layers.Dropout:
        """Dropout of single values."""
        return self.part(name, 1, keras.layers.Dropout, rate)

    def build(self, input_shape) -> None:
        del input_shape
        for build in self._builds:
            build()

    def compute_output_shape(self, input_shape):
        return input_shape

    @private.adds_to_arguments
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **layer_states.of(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        config, states = layer_states.taken(config)
        layer: Any = super().from_config(config)
        if states.keys() - {"frozen"}:
            layer.build(None)
        layer_states.restore(layer, **states)
        return layer
