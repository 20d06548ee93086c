"""The all-MLP decode head (section 3.2 of the paper), in a folded form that gives the published numbers."""

import keras
from keras import ops

from segformer_tf.models.elements import (
    REFERENCE_EPS,
    dense,
    fast_ops,
    product_of_weights,
    product_plus,
    rectified,
    resize_bilinear,
)
from segformer_tf.models.layers import Block
from segformer_tf.models.norms import BatchNorm


class DecodeHead(Block):
    """The maps of all stages to logits: list of `(B, H_i, W_i, C_i) -> (B, H_0, W_0, num_labels)`.

    Published: each map through its `linear_c`, resized to the first map's size, concatenated deepest first, through
    `linear_fuse` (no bias), BatchNorm, ReLU, dropout, `classifier`. All of it is linear up to the BatchNorm, and bilinear
    resizing is linear and keeps constants. So each map is multiplied by `linear_c[i] @ (its rows of linear_fuse)` at its own
    size, then resized, then added: the same variables, gradients and numbers up to rounding, without the map of
    stages * decoder_hidden_size channels; 38.6 of b2's 62.4 GMAC become 1.5.
    """

    def __init__(
        self,
        channels: int,
        num_stages: int,
        num_labels: int,
        dropout_rate: float = 0.1,
        initializer_range: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.channels = channels
        self.linear_c = [
            dense(channels, initializer_range, name=f"linear_c_{i}", dtype=policy) for i in range(num_stages)
        ]
        self.linear_fuse = dense(channels, initializer_range, use_bias=False, name="linear_fuse", dtype=policy)
        self.batch_norm = BatchNorm(momentum=0.9, epsilon=REFERENCE_EPS, name="batch_norm", dtype=policy)
        self.dropout = keras.layers.Dropout(dropout_rate, name="dropout", dtype=policy)
        self.classifier = dense(num_labels, initializer_range, name="classifier", dtype=policy)

    def build(self, input_shape) -> None:
        for linear, shape in zip(self.linear_c, input_shape, strict=True):
            linear.build(shape)
        self.linear_fuse.build((None, self.channels * len(self.linear_c)))
        self.batch_norm.build((None, None, None, self.channels))
        self.classifier.build((None, self.channels))

    def compute_output_spec(self, maps, training=None):
        return keras.KerasTensor((*maps[0].shape[:-1], self.classifier.units), "float32")

    def call(self, maps, training=None):
        normalise = bool(training) and self.batch_norm.trainable
        if self._folds():
            x = self._fuse_folded(maps, fold_norm=not normalise, training=training)
        else:
            x = self._fuse_as_published(maps)
            normalise = True
        x = ops.relu(self.batch_norm(x, training=training)) if normalise else rectified(x)
        x = self.dropout(x, training=training)
        return ops.cast(self.classifier(x), "float32")

    def _folds(self) -> bool:
        """Whether every kernel is a plain matrix: an int8 one cannot be multiplied into another."""
        return all(layer.quantization_mode is None for layer in [*self.linear_c, self.linear_fuse])

    def _fuse_folded(self, maps, fold_norm: bool, training):
        """Linear, resize, concatenate, fuse as one product a stage; with `fold_norm`, BatchNorm's running scale too."""
        bias, *kernels = product_of_weights(lambda: self._fold(fold_norm))
        size = ops.shape(maps[0])[1:3]
        small = [ops.matmul(map_, kernel) for map_, kernel in zip(maps[1:], kernels[1:], strict=True)]
        if training and fast_ops():
            from segformer_tf.models import gradients

            return gradients.sum_of_resized(product_plus(maps[0], kernels[0], bias, []), small, size)
        deeper = [resize_bilinear(map_, size) for map_ in small]
        return product_plus(maps[0], kernels[0], bias, deeper)  # (B, H_0, W_0, channels)

    def _fold(self, fold_norm: bool) -> list:
        """The bias (channels,) and the kernel of each stage (C_i, channels)."""
        rows = ops.split(self.linear_fuse.kernel, len(self.linear_c), axis=0)[::-1]  # the deepest stage's come first
        pairs = list(zip(self.linear_c, rows, strict=True))
        kernels = [ops.matmul(linear.kernel, row) for linear, row in pairs]
        biases = [ops.matmul(ops.expand_dims(linear.bias, 0), row) for linear, row in pairs]
        bias = sum(biases[1:], biases[0])  # (1, channels)
        if fold_norm:
            norm = self.batch_norm
            scale = ops.cast(norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon), bias.dtype)
            kernels = [kernel * scale for kernel in kernels]
            bias = (bias - ops.cast(norm.moving_mean, bias.dtype)) * scale + ops.cast(norm.beta, bias.dtype)
        return [ops.reshape(bias, (self.channels,)), *kernels]

    def _fuse_as_published(self, maps):
        size = ops.shape(maps[0])[1:3]
        resized = [resize_bilinear(linear(map_), size) for linear, map_ in zip(self.linear_c, maps, strict=True)]
        return self.linear_fuse(ops.concatenate(resized[::-1], axis=-1))
