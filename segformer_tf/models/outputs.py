"""What a model returns: fields by attribute, by key, or as a tuple, in transformers' order."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import optree

from segformer_tf.models.layer_states import Settable
from segformer_tf.models.private import register_with_torch

# Arguments of a call that gives a dictionary of what the task is about, whatever a configuration says.
ALONE = {"return_dict": True, "output_hidden_states": False, "output_attentions": False}


@contextlib.contextmanager
def alone(config: Any) -> Iterator[None]:
    """Calls inside that do not say what they return do as with `ALONE`: for files of one output."""
    before = {name: getattr(config, name) for name in ALONE}
    vars(config).update(ALONE)
    try:
        yield
    finally:
        vars(config).update(before)


class ModelOutput(dict):
    """A dictionary of the fields that are not None, in the order of `fields`.

    A field is read as an attribute (None if absent), by key, or by its position among those present; iteration and
    `len` see those present, as in transformers' output classes.
    """

    fields: tuple[str, ...] = ()

    def __init__(self, *pairs, **values):
        given = dict(*pairs, **values)
        unknown = set(given) - set(self.fields)
        if unknown:
            raise KeyError(f"{type(self).__name__} has no field {sorted(unknown)}, expected some of {self.fields}.")
        super().__init__({key: given[key] for key in self.fields if given.get(key) is not None})

    def __init_subclass__(cls):
        optree.register_pytree_node_class(cls, namespace="keras")
        if keras.backend.backend() == "jax":
            import jax

            jax.tree_util.register_pytree_node_class(cls)
        elif keras.backend.backend() == "torch":
            register_with_torch(cls)

    def __getattr__(self, name: str):
        if name in type(self).fields:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; its fields are {self.fields}.")

    def __getitem__(self, key):
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __setitem__(self, key, value):
        """Sets a field, in its place among the others; None takes it out."""
        given = {**self, key: value}
        self.clear()
        order = (*self.fields, *(other for other in given if other not in self.fields))
        self.update({name: given[name] for name in order if given.get(name) is not None})

    def __setattr__(self, name: str, value):
        if name in type(self).fields:
            self[name] = value
        else:
            super().__setattr__(name, value)

    def to_tuple(self) -> tuple:
        """The fields that are not None, in order."""
        return tuple(self.values())

    def tree_flatten(self):
        return tuple(self.values()), tuple(self)

    @classmethod
    def tree_unflatten(cls, keys, values):
        output = cls()
        dict.update(output, zip(keys, values, strict=True))
        return output


class EncoderOutput(ModelOutput):
    """`last_hidden_state`: the deepest map; `hidden_states`: one map a stage; `attentions`: one a block."""

    fields = ("last_hidden_state", "hidden_states", "attentions")


class TaskOutput(ModelOutput):
    """`loss` (scalar, if labels were given), `logits`, and the encoder's `hidden_states` and `attentions`."""

    fields = ("loss", "logits", "hidden_states", "attentions")


@keras.saving.register_keras_serializable(package="segformer_tf")
class CallWithOptions(Settable):
    """A model called with options that give more fields than its graph has, as one operation of another Keras graph.

    Keras takes the number of an operation's outputs from its first call, and a model's first call is its own graph.
    """

    def __init__(self, model: keras.Model, options: dict[str, Any], **kwargs):
        super().__init__(dtype=model.dtype_policy, autocast=False, **kwargs)
        self.model = model
        self.options = dict(options)

    def call(self, pixel_values, labels=None):
        return self.model(pixel_values, labels=labels, **self.options)

    def get_config(self):
        model = keras.saving.serialize_keras_object(self.model)
        return {"model": model, "options": dict(self.options), "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        return cls(**{**config, "model": model})
