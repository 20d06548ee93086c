"""Every private name of Keras, TensorFlow and PyTorch that the package uses.

Tried on Keras 3.15.1, TensorFlow 2.21 and PyTorch 2.13.

A newer version may rename them without notice: this is the file to mend then. Private methods that are overridden must
stand in their class, and are listed here:

- `AdamW` (`models/adamw.py`): `_backend_update_step` and `_apply_weight_decay` of `keras.optimizers.AdamW`;
- `Mended` (`models/distribution.py`): `_maybe_symbolic_build` of `keras.Model`;
- `Grouped` (`training/optimizer.py`): `_update_model_variables_moving_average` of Keras' optimizers;
- `SegformerMuon` (there): `_should_use_adamw`, `_adamw_update_step`, `_backend_update_step`, `_apply_weight_decay` of
  `keras.optimizers.Muon`.
"""

from collections.abc import Callable
from typing import Any

import keras


def has_fed_metrics(model: keras.Model) -> bool:
    """Whether the metrics that it was compiled with, if any, were ever given something: before, they have no result."""
    return model._compile_metrics is None or model._compile_metrics.built


def has_compiled_loss(model: keras.Model) -> bool:
    """Whether `compile` was given a loss."""
    return model._compile_loss is not None


def forget_compiled(model: keras.Model) -> None:
    """Undoes `compile`'s losses and metrics, which Keras keeps where a second `compile` is given none."""
    model._compile_loss = model._compile_metrics = model.loss = None


def parts_of(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layer and all layers inside it."""
    return list(layer._flatten_layers())


def children_of(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that stand right inside the layer."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def state_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """What the layer holds, by name, but for Keras' note that it was called."""
    state = vars(layer).copy()  # another thread may call it, and so note something in it
    state.pop("_called", None)
    return state


def adds_to_arguments(get_config: Callable) -> Callable:
    """A decorator of a layer's `get_config`: its `super()` gives what Keras makes of the layer's arguments."""
    get_config._is_default = True
    return get_config


def kernel_beside_lora(layer: keras.layers.Layer) -> keras.Variable:
    """The kernel of a layer without LoRA's product, which `layer.kernel` adds."""
    return layer._kernel


def rate_of(optimizer: keras.optimizers.Optimizer):
    """The learning rate as it was given: a schedule stays one, where `optimizer.learning_rate` is its present value."""
    return optimizer._learning_rate


def key_of(optimizer: keras.optimizers.Optimizer, variable):
    """What the optimizer knows a variable by."""
    return optimizer._var_key(variable)


def moments_of(optimizer: keras.optimizers.AdamW, variable) -> tuple[keras.Variable, keras.Variable]:
    """Adam's momentum and velocity of a variable."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def muon_moments_of(optimizer: keras.optimizers.Muon, variable) -> tuple[keras.Variable, keras.Variable | None]:
    """A variable's momentum, and Adam's velocity where Adam moves it."""
    index = optimizer._get_variable_index(variable)
    return optimizer.momentums[index], optimizer.adam_velocities[index]


def averages_of(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The moving averages that `use_ema` keeps, in the order of the variables."""
    return optimizer._model_variables_moving_average


def batches_of(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """How many batches it was given; `optimizer.iterations` counts steps, of which an accumulation makes fewer."""
    return optimizer._iterations


def is_decayed(optimizer: keras.optimizers.Optimizer, variable) -> bool:
    """Whether weight decay applies to a variable."""
    return optimizer._use_weight_decay(variable)


def across_replicas(optimizer: keras.optimizers.Optimizer, run: Callable, *args) -> None:
    """`run(strategy, *args)`, once for all replicas of the strategy under which the optimizer was made."""
    import tensorflow as tf

    tf.__internal__.distribute.interim.maybe_merge_call(run, optimizer._distribution_strategy, *args)


def is_recorded() -> bool:
    """Whether a gradient tape of TensorFlow's watches what runs now."""
    from tensorflow.python.eager import record

    return record.could_possibly_record()


def in_stateless_scope() -> bool:
    """Whether variables stand for other values now, as in `stateless_call`."""
    from keras.src.backend.common import stateless_scope

    return stateless_scope.in_stateless_scope()


def training_around() -> bool | None:
    """The `training` of the Keras layer that is being called now, which those inside take too; None if none is."""
    from keras.src.backend.common import global_state

    return getattr(global_state.get_global_attribute("current_call_ctx"), "training", None)


def register_with_torch(cls: type) -> None:
    """Makes a class with `tree_flatten` and `tree_unflatten` a structure to Keras on PyTorch."""
    from torch.utils import _pytree

    def with_keys(output):
        values, keys = output.tree_flatten()
        return [(_pytree.MappingKey(key), value) for key, value in zip(keys, values, strict=True)], keys

    _pytree.register_pytree_node(
        cls,
        lambda output: output.tree_flatten(),
        lambda values, keys: cls.tree_unflatten(keys, values),
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        flatten_with_keys_fn=with_keys,
    )
