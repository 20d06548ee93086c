"""A model from pixels to its fields, composed functionally: the Mix Transformer one stage at a time, then a head.

Channels-first exists only here, at the network's two ends; inside, maps are channels-last.
"""

import copy
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from segformer_tf.bounds import smallest_side
from segformer_tf.config import SegformerConfig
from segformer_tf.models.layers import DecodeHead, EncoderLayer, OverlapPatchEmbeddings
from segformer_tf.models.primitives import LayerNorm, dense


class Stage:
    """One of the encoder's stages (section 3.1 of the paper): patches, encoder layers, norm.

    `(B, H, W, C) -> (B, ceil(H / stride), ceil(W / stride), hidden_sizes[index])`, and an attention map a layer if
    asked for.
    """

    def __init__(self, config: SegformerConfig, index: int, dtype=None):
        first = sum(config.depths[:index])
        last_block = max(sum(config.depths) - 1, 1)
        in_channels = config.hidden_sizes[index - 1] if index else config.num_channels
        channels = config.hidden_sizes[index]
        self.patch_embeddings = OverlapPatchEmbeddings(
            in_channels,
            channels,
            config.patch_sizes[index],
            config.strides[index],
            1 if index else smallest_side(config),
            name=f"patch_embeddings_{index}",
            dtype=dtype,
        )
        self.blocks = [
            EncoderLayer(
                channels,
                config.num_attention_heads[index],
                config.sr_ratios[index],
                config.mlp_ratios[index],
                activation=config.hidden_act,
                norm_eps=config.encoder_norm_eps,
                drop_path_rate=config.drop_path_rate * (first + i) / last_block,
                dropout_rate=config.hidden_dropout_prob,
                attention_dropout_rate=config.attention_probs_dropout_prob,
                merge=config.merged_blocks(index),
                initializer_range=config.initializer_range,
                name=f"block_{index}_{i}",
                dtype=dtype,
            )
            for i in range(config.depths[index])
        ]
        self.layer_norm = LayerNorm(epsilon=config.encoder_norm_eps, name=f"layer_norm_{index}", dtype=dtype)

    def __call__(self, x, attentions: bool = False, **mode: bool):
        found = []
        x = self.patch_embeddings(x, **mode)
        for block in self.blocks:
            if attentions:
                x, weights = block(x, output_attentions=True, **mode)
                found.append(weights)
            else:
                x = block(x, **mode)
        return self.layer_norm(x, **mode), found


class Network:
    """`pixel_values` to the fields of a model's output. Not a Keras layer: its layers lie flat in the model by name.

    The same call makes a Keras graph of a `keras.Input`, and runs on tensors; run so, a map is freed as soon as no
    later layer needs it, where an eager Keras functional model keeps all to the end.

    Args:
        head: From the stages' maps to logits; None: the network ends with the deepest map.
    """

    def __init__(self, config: SegformerConfig, data_format: str, dtype=None, head: Callable | None = None):
        self.config = config
        self.data_format = data_format
        self.stages = [Stage(config, i, dtype) for i in range(config.num_encoder_blocks)]
        self.head = head

    def __call__(
        self, pixel_values, hidden_states: bool = False, attentions: bool = False, training: bool | None = None
    ) -> dict[str, Any]:
        """The fields asked for, as a dictionary without those that were not."""
        mode = {} if training is None else {"training": training}  # Keras takes a None for the caller's word
        maps, weights = self.maps(pixel_values, attentions, **mode)
        fields = (
            {"last_hidden_state": self.last(maps[-1])}
            if self.head is None
            else {"logits": self._to_boundary(self.head(maps, **mode))}
        )
        if hidden_states:
            states = [self._to_boundary(map_) for map_ in maps[:-1]]
            fields["hidden_states"] = (*states, self.last(maps[-1]))
        if attentions:
            fields["attentions"] = tuple(weights)
        return fields

    def maps(self, pixel_values, attentions: bool = False, **mode) -> tuple[list[Any], list[Any]]:
        """The stages' maps (B, H_i, W_i, C_i), and the attention maps if asked for; `mode` has `training`, if told."""
        x = from_boundary(pixel_values, self.data_format)
        maps, weights = [], []
        for stage in self.stages:
            x, found = stage(x, attentions, **mode)
            maps.append(x)
            weights += found
        return maps, weights

    def without_head(self) -> "Network":
        """The encoder over the same layers."""
        encoder = copy.copy(self)
        encoder.head = None
        return encoder

    def last(self, x):
        """The deepest map at the boundary; as tokens (B, N, C) if the config says so."""
        if not self.config.reshape_last_stage:
            return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))
        return self._to_boundary(x)

    def _to_boundary(self, x):
        return to_boundary(x, self.data_format) if len(x.shape) == 4 else x


class MeanTokenClassifier:
    """The deepest map's mean token through one linear layer: the stages' maps to logits (B, num_labels) float32."""

    def __init__(self, config: SegformerConfig, dtype=None):
        self.classifier = dense(config.num_labels, config.initializer_range, name="classifier", dtype=dtype)

    def __call__(self, maps, **mode: bool):
        return ops.cast(self.classifier(ops.mean(maps[-1], axis=(1, 2)), **mode), "float32")


def decode_head(config: SegformerConfig, dtype=None) -> DecodeHead:
    """The head of a configuration: the stages' maps to logits (B, H / 4, W / 4, num_labels) float32."""
    return DecodeHead(
        config.decoder_hidden_size,
        config.hidden_sizes,
        config.num_labels,
        config.classifier_dropout_prob,
        initializer_range=config.initializer_range,
        name="decode_head",
        dtype=dtype,
    )


def as_maps(states: Sequence[Any], config: SegformerConfig, data_format: str) -> list[Any]:
    """An encoder's hidden states at the boundary, all as maps: tokens (B, N, C) take their size from the map before.

    ValueError for states that are not one a stage, and for tokens whose size cannot be told.
    """
    first, shapes = data_format == "channels_first", [tuple(state.shape) for state in states]
    layout = "(batch, channels, height, width)" if first else "(batch, height, width, channels)"
    ranks, sizes = [len(shape) for shape in shapes], config.hidden_sizes
    found = [shape[1 if first and len(shape) == 4 else -1] for shape in shapes]
    same = len(found) == len(sizes) and all(map(operator.contains, ((None, size) for size in sizes), found))
    if not same or {*ranks[:-1]} - {4} or ranks[-1] not in (3, 4):
        raise ValueError(
            f"The hidden states have shapes {shapes}, expected {layout} with {sizes} channels: give all "
            "that an encoder of this configuration and data format returns."
        )
    *before, last = states
    if ranks[-1] == 4:
        return [*before, last]
    patch, stride = config.patch_sizes[-1], config.strides[-1]
    above = (ops.shape(before[-1])[2:] if first else ops.shape(before[-1])[1:3]) if before else ()
    sides = [(side + patch // 2 * 2 - patch) // stride + 1 for side in above]
    known = all(isinstance(each, int) for each in (*sides, last.shape[1]))
    if not before or (known and math.prod(sides) != last.shape[1]):
        told = f"{sides[0]} x {sides[1]} as the map before it has" if before else "a map, for there is none before it"
        raise ValueError(
            f"The tokens of the last stage have shape {shapes[-1]}, expected {told}: make the encoder with "
            "reshape_last_stage=True."
        )
    return [*before, to_boundary(ops.reshape(last, (-1, *sides, sizes[-1])), data_format)]


def from_boundary(map_, data_format: str):
    """A map as users gave it -> (B, H, W, C)."""
    return ops.transpose(map_, (0, 2, 3, 1)) if data_format == "channels_first" else map_


def to_boundary(map_, data_format: str):
    """(B, H, W, C) -> a map as users want it."""
    return ops.transpose(map_, (0, 3, 1, 2)) if data_format == "channels_first" else map_
