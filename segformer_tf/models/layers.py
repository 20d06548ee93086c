"""The parts of the Mix Transformer: overlapping patches, attention over a reduced map, Mix-FFN.

Maps stay (B, H, W, C); only attention flattens them to tokens, and only inside.
"""

import functools

import keras
from keras import ops

from segformer_tf.models.elements import (
    ACTIVATION_FUNCTIONS,
    CHANNELS_LAST,
    REFERENCE_EPS,
    conv_initializer,
    dense,
    drop_path,
    fast_ops,
    gelu,
    in_bands,
    product_of_weights,
    product_plus,
    rectified,
    resize_bilinear,
    softmax,
)
from segformer_tf.models.norms import BatchNorm, LayerNorm


class Block(keras.layers.Layer):
    """A layer made of layers, all on the same channels and with the shape of its input unless a subclass says otherwise.

    Built by their shapes, not by tracing `call`: b5 is made in a fifth of the time.
    """

    def build(self, input_shape) -> None:
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build(input_shape)

    def compute_output_shape(self, input_shape):
        return input_shape


class OverlapPatchEmbeddings(Block):
    """Overlapping patches, each to a vector: `(B, H, W, C) -> (B, ceil(H/stride), ceil(W/stride), channels)`.

    Zeros pad patch_size // 2 on every side, so any size fits (section 3.1 of the paper, overlapped patch merging).
    """

    def __init__(self, channels: int, patch_size: int, stride: int, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.proj = keras.layers.Conv2D(
            channels,
            patch_size,
            strides=stride,
            data_format=CHANNELS_LAST,
            kernel_initializer=conv_initializer(patch_size**2 * channels),
            name="proj",
            dtype=self.dtype_policy,
        )
        self.layer_norm = LayerNorm(epsilon=REFERENCE_EPS, name="layer_norm", dtype=self.dtype_policy)

    def build(self, input_shape) -> None:
        self.proj.build(input_shape)
        self.layer_norm.build((None, None, None, self.proj.filters))

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        padded = [None if side is None else side + self.patch_size // 2 * 2 for side in sides]
        return self.proj.compute_output_shape((batch, *padded, channels))

    def call(self, x):
        sides = (self.patch_size // 2, self.patch_size // 2)
        return self.layer_norm(self.proj(ops.pad(x, ((0, 0), sides, sides, (0, 0)))))


class EfficientSelfAttention(Block):
    """Every position attends to a map reduced by `sr_ratio` a side: `(B, H, W, C) -> (B, H, W, C)`.

    With `output_attentions=True` also the attention map (B, heads, H * W, (H // sr_ratio) * (W // sr_ratio)).
    Section 3.1 of the paper, efficient self-attention.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        sr_ratio: int,
        initializer_range: float = 0.02,
        attention_dropout_rate: float = 0.0,
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_size = channels // num_heads
        self.sr_ratio = sr_ratio
        policy = self.dtype_policy
        self.query = dense(channels, initializer_range, name="query", dtype=policy)
        self.key = dense(channels, initializer_range, name="key", dtype=policy)
        self.value = dense(channels, initializer_range, name="value", dtype=policy)
        self.output_dense = dense(channels, initializer_range, name="output", dtype=policy)
        if sr_ratio > 1:
            self.sr = keras.layers.Conv2D(
                channels,
                sr_ratio,
                strides=sr_ratio,
                data_format=CHANNELS_LAST,
                kernel_initializer=conv_initializer(sr_ratio**2 * channels),
                name="sr",
                dtype=policy,
            )
            self.layer_norm = LayerNorm(epsilon=REFERENCE_EPS, name="layer_norm", dtype=policy)
        self.attention_dropout = keras.layers.Dropout(attention_dropout_rate, name="attention_dropout", dtype=policy)
        self.dropout = keras.layers.Dropout(dropout_rate, name="dropout", dtype=policy)

    def _split_heads(self, x):
        batch = ops.shape(x)[0]
        return ops.transpose(ops.reshape(x, (batch, -1, self.num_heads, self.head_size)), (0, 2, 1, 3))

    def _project(self, x, norm, training):
        """(B, H, W, C) -> query (B, heads, N, head_size), key and value (B, heads, M, head_size)."""
        x = x if norm is None else norm(x, training=training)
        reduced = self.layer_norm(self.sr(x), training=training) if self.sr_ratio > 1 else x
        # The keys are the smallest of the three products' operands: scaling them costs least.
        key = self.key(reduced) * self.head_size**-0.5
        return [self._split_heads(part) for part in (self.query(x), key, self.value(reduced))]

    def _attend(self, query, key, value, training):
        """(B, heads, N, d), (B, heads, M, d) twice -> (B, heads, N, d), and the weights (B, heads, N, M)."""
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = ops.cast(softmax(ops.cast(scores, "float32")), self.compute_dtype)
        return ops.matmul(self.attention_dropout(weights, training=training), value), weights

    def call(self, x, output_attentions: bool = False, training=None, norm=None):
        """`norm` is applied to `x` first."""
        project, weights = functools.partial(self._project, norm=norm, training=training), None
        if output_attentions or not fast_ops() or (training and self.attention_dropout.rate):
            mixed, weights = self._attend(*project(x), training)
        elif training:
            from segformer_tf.models import gradients

            mixed = gradients.attention(project, x)
        else:
            mixed = in_bands(self._attend, *project(x))
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), ops.shape(x))  # (B, H, W, C)
        mixed = self.dropout(self.output_dense(mixed), training=training)
        return (mixed, weights) if output_attentions else mixed


class MixFFN(Block):
    """Two dense layers with a 3x3 depthwise convolution between, which stands in for positional encoding.

    `(B, H, W, C) -> (B, H, W, C)`; section 3.1 of the paper, Mix-FFN.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        activation: str = "gelu",
        initializer_range: float = 0.02,
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.activation = ACTIVATION_FUNCTIONS[activation]
        self.dense1 = dense(hidden_channels, initializer_range, name="dense1", dtype=policy)
        self.dwconv = keras.layers.DepthwiseConv2D(
            3,
            padding="same",
            data_format=CHANNELS_LAST,
            depthwise_initializer=conv_initializer(9),
            name="dwconv",
            dtype=policy,
        )
        self.dense2 = dense(channels, initializer_range, name="dense2", dtype=policy)
        self.dropout = keras.layers.Dropout(dropout_rate, name="dropout", dtype=policy)

    def build(self, input_shape) -> None:
        hidden_shape = (*input_shape[:-1], self.dense1.units)
        self.dense1.build(input_shape)
        self.dwconv.build(hidden_shape)
        self.dense2.build(hidden_shape)

    def call(self, x, training=None):
        hidden = self.dwconv(self.dense1(x))
        if training and fast_ops() and self.activation is gelu:
            from segformer_tf.models import gradients

            hidden = gradients.gelu(hidden)
        else:
            hidden = self.activation(hidden)
        hidden = self.dropout(hidden, training=training)
        return self.dropout(self.dense2(hidden), training=training)


class EncoderLayer(Block):
    """Attention and Mix-FFN, each after a norm and beside a shortcut: `(B, H, W, C) -> (B, H, W, C)`.

    With `output_attentions=True` also the attention map, as `EfficientSelfAttention` gives it.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        sr_ratio: int,
        mlp_ratio: float,
        activation: str = "gelu",
        norm_eps: float = REFERENCE_EPS,
        initializer_range: float = 0.02,
        drop_path_rate: float = 0.0,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.layer_norm_1 = LayerNorm(epsilon=norm_eps, name="layer_norm_1", dtype=policy)
        self.attention = EfficientSelfAttention(
            channels,
            num_heads,
            sr_ratio,
            initializer_range,
            attention_dropout_rate,
            dropout_rate,
            name="attention",
            dtype=policy,
        )
        self.layer_norm_2 = LayerNorm(epsilon=norm_eps, name="layer_norm_2", dtype=policy)
        self.mlp = MixFFN(
            channels,
            int(channels * mlp_ratio),
            activation,
            initializer_range,
            dropout_rate,
            name="mlp",
            dtype=policy,
        )
        self.drop_path = drop_path(drop_path_rate, name="drop_path", dtype=policy)

    def _feed_forward(self, x, training):
        def run(x):
            return self.mlp(self.layer_norm_2(x, training=training), training=training)

        if not (training and fast_ops()) or self.mlp.dropout.rate:
            return run(x)
        from segformer_tf.models import gradients

        return gradients.made_again(run, x)

    def call(self, x, output_attentions: bool = False, training=None):
        mixed = self.attention(x, output_attentions=output_attentions, training=training, norm=self.layer_norm_1)
        mixed, weights = mixed if output_attentions else (mixed, None)
        x = x + self.drop_path(mixed, training=training)
        x = x + self.drop_path(self._feed_forward(x, training), training=training)
        return (x, weights) if output_attentions else x


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
