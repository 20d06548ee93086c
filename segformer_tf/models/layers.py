"""The parts of the paper (Xie et al. 2021, section 3): overlapping patches, attention, Mix-FFN, the all-MLP head.

They say what is computed; how it is computed fastest stands in `kernels`. Maps stay (B, H, W, C); only the attention
kernel flattens them to tokens, and only inside.
"""

import functools

import keras
from keras import ops

from segformer_tf.models import kernels
from segformer_tf.models.primitives import REFERENCE_EPS, BatchNorm, Block, drop_path, register


@register
class OverlapPatchEmbeddings(Block):
    """Overlapping patches, each to a vector: `(B, H, W, C) -> (B, ceil(H/stride), ceil(W/stride), channels)`.

    Zeros pad patch_size // 2 on every side, so any size from `smallest` fits (section 3.1, overlapped
    patch merging).
    """

    def __init__(self, in_channels: int, channels: int, patch_size: int, stride: int, smallest: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.margin, self.smallest = patch_size // 2, smallest
        self.proj = self.conv("proj", in_channels, channels, patch_size, stride)
        self.layer_norm = self.norm("layer_norm", channels)

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return self.proj.compute_output_shape((batch, *(side and side + 2 * self.margin for side in sides), channels))

    def call(self, x, training=None):
        padded = ops.pad(kernels.at_least(x, self.smallest), ((0, 0), *2 * [(self.margin, self.margin)], (0, 0)))
        return self.layer_norm(self.proj(padded), training=training)


@register
class EfficientSelfAttention(Block):
    """Every position attends to a map reduced by `sr_ratio` a side: `(B, H, W, C) -> (B, H, W, C)`.

    With `output_attentions=True` also the attention map (B, heads, H * W, (H // sr_ratio) * (W // sr_ratio)).
    Section 3.1, efficient self-attention. `merge` are the sides of blocks: in each the queries are averaged, and
    the result is resized back; in each of the second size keys and values are. Above 1 both are approximations with a
    fraction of the scores, which the paper does not have.
    """

    def __init__(self, channels, num_heads, sr_ratio, attention_dropout=0.0, dropout_rate=0.0, merge=(1, 1), **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.sr_ratio, self.merge = num_heads, sr_ratio, merge
        self.query = self.dense("query", channels, channels)
        self.key = self.dense("key", channels, channels)
        self.value = self.dense("value", channels, channels)
        self.output_dense = self.dense("output", channels, channels)
        if sr_ratio > 1:
            self.sr = self.conv("sr", channels, channels, sr_ratio, sr_ratio)
            self.layer_norm = self.norm("layer_norm", channels)
        self.attention_dropout = self.drop("attention_dropout", attention_dropout)
        self.dropout = self.drop("dropout", dropout_rate)

    def project(self, x, norm, training):
        """(B, H, W, C) -> maps of queries (B, H, W, C), of keys and of values (B, H // sr_ratio, W // sr_ratio, C).

        Sides are divided by those of `merge` and rounded up; the mean of queries is the query of the mean.
        """
        x = norm(x, training=training) if norm else x
        reduced = self.layer_norm(self.sr(x), training=training) if self.sr_ratio > 1 else x
        reduced = kernels.merge(reduced, self.merge[1])
        return self.query(kernels.merge(x, self.merge[0])), self.key(reduced), self.value(reduced)

    def call(self, x, output_attentions: bool = False, training=None, norm=None):
        """`norm` is applied to `x` first."""
        project = functools.partial(self.project, norm=norm, training=training)
        parts = project, x, self.num_heads, self.attention_dropout
        mixed, weights = kernels.attention(*parts, training=training, with_weights=output_attentions)
        # Resized after the product, which is linear.
        mixed = self.dropout(kernels.spread(self.output_dense(mixed), x, self.merge[0]), training=training)
        return (mixed, weights) if output_attentions else mixed


@register
class MixFFN(Block):
    """Two dense layers with a 3x3 depthwise convolution between, which stands in for positional encoding.

    `(B, H, W, C) -> (B, H, W, C)`; section 3.1, Mix-FFN.
    """

    def __init__(self, channels: int, hidden: int, activation: str = "gelu", dropout_rate: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.dense1 = self.dense("dense1", channels, hidden)
        self.dwconv = self.depthwise("dwconv", hidden, 3)
        self.dense2 = self.dense("dense2", hidden, channels)
        self.dropout = self.drop("dropout", dropout_rate)

    def call(self, x, training=None, norm=None):
        """`norm` is applied to `x` first."""
        x = norm(x, training=training) if norm else x
        hidden = kernels.activation(self.activation, self.dwconv(self.dense1(x)), training)
        hidden = self.dropout(hidden, training=training)
        return self.dropout(self.dense2(hidden), training=training)


@register
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
        drop_path_rate: float = 0.0,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        merge: tuple[int, int] = (1, 1),
        **kwargs,
    ):
        super().__init__(**kwargs)
        inner = {"dropout_rate": dropout_rate, "initializer_range": self.initializer_range}
        attention = (channels, num_heads, sr_ratio, attention_dropout_rate)
        self.layer_norm_1 = self.norm("layer_norm_1", channels, norm_eps)
        self.attention = self.part("attention", channels, EfficientSelfAttention, *attention, merge=merge, **inner)
        self.layer_norm_2 = self.norm("layer_norm_2", channels, norm_eps)
        self.mlp = self.part("mlp", channels, MixFFN, channels, int(channels * mlp_ratio), activation, **inner)
        self.drop_path = self.part("drop_path", channels, drop_path, drop_path_rate)

    def call(self, x, output_attentions: bool = False, training=None):
        mixed = self.attention(x, output_attentions=output_attentions, training=training, norm=self.layer_norm_1)
        mixed, weights = mixed if output_attentions else (mixed, None)
        x = x + self.drop_path(mixed, training=training)
        feed_forward = functools.partial(self.mlp, norm=self.layer_norm_2)
        mixed = kernels.recomputed(feed_forward, x, training, draws=self.mlp.dropout.rate > 0)
        x = x + self.drop_path(mixed, training=training)
        return (x, weights) if output_attentions else x


@register
class DecodeHead(Block):
    """The maps of all stages to logits: list of `(B, H_i, W_i, sizes[i]) -> (B, H_0, W_0, num_labels)` float32.

    Each map through its `linear_c`, resized to the first map's size, concatenated deepest first, through `linear_fuse`
    (no bias), BatchNorm, ReLU, dropout, `classifier`. Section 3.2; the kernel `fuse` computes the same with less.
    """

    def __init__(self, channels: int, sizes: list[int], num_labels: int, dropout_rate: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.sizes = tuple(sizes)
        self.linear_c = [self.dense(f"linear_c_{i}", size, channels) for i, size in enumerate(sizes)]
        self.linear_fuse = self.dense("linear_fuse", channels * len(sizes), channels, use_bias=False)
        self.batch_norm = self.part("batch_norm", channels, BatchNorm, momentum=0.9, epsilon=REFERENCE_EPS)
        self.dropout = self.drop("dropout", dropout_rate)
        self.classifier = self.dense("classifier", channels, num_labels)

    def compute_output_spec(self, maps, training=None):
        return keras.KerasTensor((*maps[0].shape[:-1], self.classifier.units), "float32")

    def call(self, maps, training=None):
        if (found := tuple(map_.shape[-1] for map_ in maps)) != self.sizes:
            raise ValueError(
                f"The maps' last axes are {found}, expected {self.sizes}: the layer takes a map of each stage, "
                "channels last, so transpose channels-first ones, or call a TFSegformerDecodeHead."
            )
        x = kernels.fuse(maps, self.linear_c, self.linear_fuse, self.batch_norm, training)
        x = self.dropout(x, training=training)
        return ops.cast(self.classifier(x), "float32")
