"""A checkpoint's answers by NumPy alone, for those who ask once: TensorFlow takes seconds to load, one picture less.

The same numbers as the Keras model's up to float32's rounding (`models.layers` says what is computed and why), in
float32, inference only, several times slower a picture once TensorFlow is there.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from segformer_tf.config import SegformerConfig
from segformer_tf.images.bilinear import neighbours
from segformer_tf.pipelines.runtimes.description import Description
from segformer_tf.pipelines.runtimes.runtime import Runtime

BLOCK = 2**14  # values that are worked on at a time: they stay in the processor's cache
SCORES = 2**22  # attention scores at a time: a large picture's are gigabytes
REFERENCE_EPS = 1e-5
# erf(x) = 1 - (a polynomial in t = 1 / (1 + 0.3275911 x)) exp(-x^2), within 1.5e-7: Abramowitz and Stegun, 7.1.26.
ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class NumPy(Runtime):
    """A SegFormer's variables, by their path, as a runtime: (B, H, W, C) -> logits as the Keras model has them.

    ValueError for a model whose queries or keys are merged, which is not computed here.
    """

    backend = "numpy"

    def __init__(self, source: str, description: Description, variables: Mapping[str, np.ndarray]):
        super().__init__(source, description.channels_last())
        self.config = SegformerConfig.from_dict(description.config)
        for key in ("merge_queries", "merge_keys"):
            if merged := getattr(self.config, key):
                raise ValueError(
                    f"{source} has {key}={merged}, and NumPy computes attention exactly: choose another runtime."
                )
        self.variables = {path: np.asarray(array, np.float32) for path, array in variables.items()}
        self._root = _Part(self.variables)

    def _run(self, pixel_values: np.ndarray) -> np.ndarray:
        x, maps, root = np.asarray(pixel_values, np.float32), [], self._root
        for index in range(self.config.num_encoder_blocks):
            x = _stage(root, self.config, index, x)
            maps.append(x)
        if self.classifies:
            return root.dense("classifier", x.mean((1, 2)))
        return _decode_head(root.part("decode_head"), maps)


class _Part:
    """The variables whose paths begin alike, and what layers compute with them."""

    def __init__(self, variables: Mapping[str, np.ndarray], path: str = ""):
        self._variables, self._path = variables, path

    def part(self, name: str) -> "_Part":
        return _Part(self._variables, f"{self._path}{name}/")

    def variable(self, name: str) -> np.ndarray:
        return self._variables[self._path + name]

    def dense(self, name: str, x: np.ndarray) -> np.ndarray:
        """(..., C) -> (..., units)."""
        return _product(x, self.variable(f"{name}/kernel"), self.variable(f"{name}/bias"))

    def conv(self, name: str, x: np.ndarray, stride: int, margin: int = 0) -> np.ndarray:
        """(B, H, W, C) -> (B, h, w, channels): every patch as one row of a product."""
        kernel = self.variable(f"{name}/kernel")
        side, channels = kernel.shape[0], kernel.shape[-1]
        patches = np.lib.stride_tricks.sliding_window_view(_padded(x, margin), (side, side), axis=(1, 2))
        patches = patches[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)  # (B, h, w, side, side, C)
        rows = patches.reshape(*patches.shape[:3], -1)
        return _product(rows, kernel.reshape(-1, channels), self.variable(f"{name}/bias"))

    def norm(self, name: str, x: np.ndarray, epsilon: float = REFERENCE_EPS) -> np.ndarray:
        """Over the last axis."""
        centred = x - x.mean(-1, keepdims=True)
        variance = np.einsum("...c,...c->...", centred, centred)[..., None] / x.shape[-1]
        centred *= 1 / np.sqrt(variance + epsilon)
        centred *= self.variable(f"{name}/gamma")
        centred += self.variable(f"{name}/beta")
        return centred

    def depthwise(self, name: str, x: np.ndarray) -> np.ndarray:
        """3 x 3 on each channel by itself; written over `x` (B, H, W, C)."""
        kernel, bias = self.variable(f"{name}/kernel")[..., 0], self.variable(f"{name}/bias")
        padded = _padded(x, 1)
        height, width = x.shape[1:3]
        for rows in _blocks(height, x[0, 0].size):
            out, step = x[:, rows], np.empty_like(x[:, rows])
            out[...] = bias
            for down in range(3):
                for right in range(3):
                    shifted = padded[:, rows.start + down : rows.stop + down, right : right + width]
                    out += np.multiply(shifted, kernel[down, right], out=step)
        return x


def _stage(root: _Part, config: SegformerConfig, index: int, x: np.ndarray) -> np.ndarray:
    """(B, H, W, C) -> (B, ceil(H / stride), ceil(W / stride), hidden_sizes[index])."""
    patches, epsilon = root.part(f"patch_embeddings_{index}"), config.encoder_norm_eps
    x = patches.conv("proj", x, config.strides[index], config.patch_sizes[index] // 2)
    x = patches.norm("layer_norm", x)
    for number in range(config.depths[index]):
        layer = root.part(f"block_{index}_{number}")
        heads, ratio = config.num_attention_heads[index], config.sr_ratios[index]
        x = x + _attention(layer.part("attention"), layer.norm("layer_norm_1", x, epsilon), heads, ratio)
        mlp = layer.part("mlp")
        hidden = mlp.depthwise("dwconv", mlp.dense("dense1", layer.norm("layer_norm_2", x, epsilon)))
        x = x + mlp.dense("dense2", _activated(config.hidden_act, hidden))
    return root.norm(f"layer_norm_{index}", x, epsilon)


def _attention(part: _Part, x: np.ndarray, heads: int, ratio: int) -> np.ndarray:
    """(B, H, W, C) -> (B, H, W, C)."""
    reduced = part.norm("layer_norm", part.conv("sr", x, ratio)) if ratio > 1 else x
    size = x.shape[-1] // heads

    def split(name: str, map_: np.ndarray) -> np.ndarray:  # (B, heads, N, d)
        return part.dense(name, map_).reshape(len(x), -1, heads, size).transpose(0, 2, 1, 3)

    query, key, value = split("query", x), split("key", reduced), split("value", reduced)
    key = key.swapaxes(-1, -2) * np.float32(size**-0.5)
    mixed = np.empty_like(query)
    for some in _blocks(query.shape[2], len(x) * heads * key.shape[-1], SCORES):
        scores = query[:, :, some] @ key
        np.exp(scores - scores.max(-1, keepdims=True), out=scores)
        mixed[:, :, some] = scores @ value / scores.sum(-1, keepdims=True)
    return part.dense("output", mixed.transpose(0, 2, 1, 3).reshape(x.shape))


def _decode_head(head: _Part, maps: list[np.ndarray]) -> np.ndarray:
    """The maps of all stages -> (B, H_0, W_0, num_labels), by the algebra of `kernels.head.fold`."""
    rows = np.split(head.variable("linear_fuse/kernel"), len(maps))[::-1]  # the deepest stage's come first
    fused = 0
    for index, map_ in enumerate(maps):
        kernel, bias = (head.variable(f"linear_c_{index}/{leaf}") @ rows[index] for leaf in ("kernel", "bias"))
        fused = fused + _resized(_product(map_, kernel, bias), maps[0].shape[1:3])
    norm = head.part("batch_norm")
    scale = norm.variable("gamma") / np.sqrt(norm.variable("moving_variance") + np.float32(REFERENCE_EPS))
    fused = fused * scale + (norm.variable("beta") - norm.variable("moving_mean") * scale)
    return head.dense("classifier", np.maximum(fused, 0, out=fused))


def _product(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """All tokens as the rows of one matrix: NumPy multiplies a stack of small ones one by one."""
    made = x.reshape(-1, x.shape[-1]) @ kernel
    made += bias
    return made.reshape(*x.shape[:-1], -1)


def _padded(x: np.ndarray, margin: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0))) if margin else x


def _resized(x: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(B, h, w, C) -> (B, *size, C), bilinear."""
    for axis, count in zip((1, 2), size, strict=True):
        if x.shape[axis] != count:
            before, after, share = neighbours(slice(0, count), 0, count, x.shape[axis])
            share = np.expand_dims(share, tuple({0, 1, 2, 3} - {axis}))
            x = x.take(before, axis) * (1 - share) + x.take(after, axis) * share
    return x


def _blocks(count: int, each: int, room: int = BLOCK) -> Iterator[slice]:
    """`count` things of `each` values, in slices of at most `room` values, or of one thing."""
    step = max(room // each, 1)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _activated(name: str, x: np.ndarray) -> np.ndarray:
    """Written over `x`."""
    flat = x.reshape(-1)
    for some in _blocks(flat.size, 1):
        flat[some] = ACTIVATIONS[name](flat[some])
    return x


def _gelu(x: np.ndarray) -> np.ndarray:
    far = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * far)
    series = np.float32(ERF[0]) * t
    for factor in ERF[1:]:
        series += np.float32(factor)
        series *= t
    erf = np.copysign(1 - series * np.exp(-far * far), x)
    return np.float32(0.5) * x * (1 + erf)


def _gelu_by_tanh(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * x * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * x))


def _silu(x: np.ndarray) -> np.ndarray:
    return x * _sigmoid(x)


ACTIVATIONS: dict[str, Callable[[np.ndarray], Any]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_by_tanh,
    "gelu_pytorch_tanh": _gelu_by_tanh,
    "relu": lambda x: np.maximum(x, 0),
    "silu": _silu,
    "swish": _silu,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
}
