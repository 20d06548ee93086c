"""AdamW whose update is one operation a variable: the optimizer of `model.compile()` and of the recipes."""

import warnings
from typing import NamedTuple

import keras
from keras import ops

from segformer_tf.models import private

MOMENTS = ("momentum", "velocity")  # Keras' names for what Adam keeps of a variable


class Rates(NamedTuple):
    """What one step's updates share, as float32 scalars in the names that `ResourceApplyAdam` has for them."""

    lr: object
    beta1_power: object
    beta2_power: object
    beta1: object
    beta2: object
    epsilon: object


@keras.saving.register_keras_serializable(package="segformer_tf")
class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, same numbers up to rounding, with TensorFlow's own op for a variable's update.

    Keras writes forty ops a variable: four fifths of a training step's graph, which take a quarter of a gigabyte and
    most of the time of tracing. `amsgrad`, float64 and other backends go Keras' way;
    half-precision variables move as `half_step` says, except with `amsgrad`.
    """

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not self.amsgrad:
            rates = adam_rates(learning_rate, self.iterations, self.beta_1, self.beta_2, self.epsilon)
            learning_rate = rates or learning_rate
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        """Moves a variable; `learning_rate` is a scalar, or the `Rates` of the step."""
        rate = learning_rate.lr if isinstance(learning_rate, Rates) else learning_rate
        if is_half(variable) and not self.amsgrad:
            moments = private.moments_of(self, variable)
            half_step(self, gradient, variable, *moments, rate, (self.beta_1, self.beta_2, self.epsilon))
        elif isinstance(learning_rate, Rates) and variable.dtype == "float32":
            adam_step(gradient, variable, *private.moments_of(self, variable), learning_rate)
        else:
            super().update_step(gradient, variable, rate)

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        if is_half(reference_variable) and name in MOMENTS and not self.amsgrad:
            return float32_like(self, reference_variable, name)
        return super().add_variable_from_reference(reference_variable, name, initializer)

    def _apply_weight_decay(self, variables):
        """As Keras', with the product of both rates made once."""
        if self.weight_decay is None or keras.backend.backend() != "tensorflow":
            super()._apply_weight_decay(variables)
        else:
            decay(self, variables)


def decay(optimizer, variables) -> None:
    """Takes `learning_rate * weight_decay` of each variable that is decayed, on TensorFlow."""
    import tensorflow as tf

    share = tf.cast(optimizer.learning_rate, tf.float32) * optimizer.weight_decay

    def shrink_all(strategy, variables, share):
        for variable in variables:
            strategy.extended.update(variable, _shrink, args=(share,), group=False)

    chosen = [variable for variable in variables if private.is_decayed(optimizer, variable)]
    decayed = [variable.value if isinstance(variable, keras.Variable) else variable for variable in chosen]
    private.across_replicas(optimizer, shrink_all, decayed, share)


def _shrink(variable, share) -> None:
    import tensorflow as tf

    variable.assign_sub(variable * tf.cast(share, variable.dtype))


def adam_rates(learning_rate, iterations, beta_1: float, beta_2: float, epsilon: float) -> Rates | None:
    """What the updates of a step share; None where the backend has no op for an update."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    step = tf.cast(tf.convert_to_tensor(iterations), tf.float32) + 1.0
    betas = [tf.constant(beta, tf.float32) for beta in (beta_1, beta_2)]
    powers = [beta**step for beta in betas]
    return Rates(tf.cast(learning_rate, tf.float32), *powers, *betas, tf.constant(epsilon, tf.float32))


def adam_step(gradient, variable, momentum, velocity, rates: Rates) -> None:
    """Adam's update of a float32 variable, its momentum and its velocity, as one op of TensorFlow."""
    import tensorflow as tf

    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.value.handle,
        v=velocity.value.handle,
        grad=tf.cast(gradient, tf.float32),
        **rates._asdict(),
    )


def is_half(variable) -> bool:
    return keras.backend.standardize_dtype(variable.dtype) in ("bfloat16", "float16")


def warn_of_half(variables) -> None:
    """UserWarning where variables that are to learn are in half precision."""
    for variable in filter(is_half, variables):
        found = keras.backend.standardize_dtype(variable.dtype)
        warnings.warn(
            f"The weights are {found}, which take no small updates, expected float32 ones in training: make the model "
            f'with dtype="mixed_{found}".',
            UserWarning,
            stacklevel=3,
        )
        return


def float32_like(optimizer, variable, name: str) -> keras.Variable:
    """An optimizer's variable of another's shape: in half precision a moment would stop, or be 0, where it is small."""
    name = f"{variable.path.replace('/', '_')}_{name}"
    return optimizer.add_variable(variable.shape, dtype="float32", name=name)


def half_step(optimizer, gradient, variable, momentum, velocity, rate, settings: tuple[float, float, float]) -> None:
    """Adam's update of a half-precision variable, in float32 until it is added; `settings`: both betas and epsilon.

    In bfloat16 a `beta_2` of 0.999 is 1, its correction 0, and no step would be made.
    """
    beta_1, beta_2, epsilon = settings
    gradient, rate = ops.cast(gradient, "float32"), ops.cast(rate, "float32")
    step = ops.cast(optimizer.iterations + 1, "float32")
    rate = rate * ops.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    optimizer.assign_add(momentum, (gradient - momentum) * (1 - beta_1))
    optimizer.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - beta_2))
    move = momentum * rate / (ops.sqrt(velocity) + epsilon)
    optimizer.assign(variable, ops.cast(ops.cast(variable, "float32") - move, variable.dtype))
