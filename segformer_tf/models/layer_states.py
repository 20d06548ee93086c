"""What layers are beside their weights: frozen, or quantized. Keras' configurations of models and blocks keep it."""

from collections.abc import Collection, Mapping

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


def frozen(layer: keras.layers.Layer) -> list[str]:
    """The places of the layers inside that do not learn."""
    return [place for place, part in places(layer).items() if not part.trainable]


def restore(layer: keras.layers.Layer, quantized: Mapping[str, str], frozen: Collection[str]) -> None:
    """Makes the layers inside what `quantization_modes` and `frozen` told of others at the same places."""
    for place, part in places(layer).items() if quantized or frozen else ():
        if place in quantized:
            part.quantize(quantized[place])
        outer = place.rpartition("/")[0]
        if place in frozen or outer in frozen:  # a layer that is frozen may have some inside that learn
            part.trainable = place not in frozen
