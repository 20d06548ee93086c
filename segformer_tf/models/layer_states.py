"""What layers are beside their weights: frozen, quantized, with LoRA. Keras' configurations of models and blocks tell.

As in Keras' own files the weights are those that LoRA's products were added to, and the adapters start anew.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras

from segformer_tf.models import private


class Settable(keras.layers.Layer):
    """A layer whose `trainable`, when set, reaches all layers inside, on every backend.

    Keras on TensorFlow leaves out a value that the layer has already: one that learns and has frozen layers inside
    would keep them so.
    """

    def __setattr__(self, name: str, value) -> None:
        if name == "trainable":
            type(self).trainable.fset(self, value)  # pyright: ignore[reportOptionalCall]
        else:
            super().__setattr__(name, value)


class Adaptable(keras.layers.Layer):
    """A layer with Keras' LoRA, mended: its kernel stays frozen, and its adapters learn in a loaded model."""

    @property
    def trainable(self) -> bool:
        """Whether the layer learns; with LoRA the adapters and the bias do."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.layers.Layer.trainable.fset(self, value)  # pyright: ignore[reportOptionalCall]
        if getattr(self, "lora_enabled", False):
            private.kernel_beside_lora(self).trainable = False

    def load_own_variables(self, store) -> None:
        """As Keras', which makes both adapters 0: neither would have a gradient."""
        super().load_own_variables(store)
        if getattr(self, "lora_enabled", False):
            first: Any = self.lora_kernel_a  # pyright: ignore[reportAttributeAccessIssue]
            first.assign(keras.initializers.HeUniform()(first.shape, first.dtype))


def places(layer: keras.layers.Layer) -> dict[str, keras.layers.Layer]:
    """All layers inside, outer ones first, by their names from `layer` on; `layer.path` also has what is around."""
    found = {}
    for part in private.children_of(layer):
        found |= {part.name: part} | {f"{part.name}/{inner}": each for inner, each in places(part).items()}
    return found


def quantization_modes(layer: keras.layers.Layer) -> dict[str, str]:
    """The mode of each layer inside that `quantize` changed, by its place."""
    modes = {place: getattr(part, "quantization_mode", None) for place, part in places(layer).items()}
    return {place: str(mode) for place, mode in modes.items() if mode}


def adapted(layer: keras.layers.Layer) -> dict[str, list[float]]:
    """LoRA's rank and alpha of each layer inside that has it, by its place."""
    parts = places(layer).items()
    return {place: [part.lora_rank, part.lora_alpha] for place, part in parts if getattr(part, "lora_enabled", False)}


def frozen(layer: keras.layers.Layer) -> list[str]:
    """The places of the layers inside that do not learn."""
    return [place for place, part in places(layer).items() if not part.trainable]


def of(layer: keras.layers.Layer) -> dict[str, Any]:
    """What the layers inside are, as keys of a Keras configuration."""
    return {"quantized": quantization_modes(layer), "lora": adapted(layer), "frozen": frozen(layer)}


def taken(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration without what `of` adds to it, and that; a file of before may lack some."""
    states = {key: config[key] for key in ("quantized", "lora", "frozen") if config.get(key)}
    return {key: value for key, value in config.items() if key not in ("quantized", "lora", "frozen")}, states


def restore(
    layer: keras.layers.Layer,
    quantized: Mapping[str, str] = MappingProxyType({}),
    lora: Mapping[str, Sequence[float]] = MappingProxyType({}),
    frozen: Collection[str] = (),
) -> None:
    """Makes the layers inside what `of` told of others at the same places; the first two need them built."""
    for place, part in places(layer).items() if quantized or lora or frozen else ():
        if place in quantized:
            part.quantize(quantized[place])
        if place in lora:
            rank, alpha = lora[place]
            part.enable_lora(int(rank), lora_alpha=alpha)
        outer = place.rpartition("/")[0]
        if place in frozen or outer in frozen:  # a layer that is frozen may have some inside that learn
            part.trainable = place not in frozen
