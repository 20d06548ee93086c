"""The paper's optimizer: AdamW without decay of norms and biases, a faster head, warm-up and decay of the rate; Muon."""

import math

import keras
from keras import ops

from segformer_tf.models.adamw import AdamW, Rates


@keras.saving.register_keras_serializable(package="segformer_tf")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly over `warmup_steps`; beside that falls to 0 over `steps`, as `(1 - step / steps) ** power`.

    With `power=None` it falls as half a cosine wave. All steps are optimizer steps; with gradient accumulation Keras
    counts batches, of which `accumulation_steps` make one.
    """

    def __init__(
        self,
        learning_rate: float,
        steps: int,
        power: float | None = 1.0,
        warmup_steps: int = 1500,
        accumulation_steps: int = 1,
    ):
        self.learning_rate = learning_rate
        self.steps = steps
        self.power = power
        self.warmup_steps = warmup_steps
        self.accumulation_steps = accumulation_steps

    def __call__(self, step):
        step = ops.cast(ops.floor_divide(step, self.accumulation_steps), "float32")
        left = ops.clip(1.0 - step / self.steps, 0.0, 1.0)
        fallen = 0.5 - 0.5 * ops.cos(math.pi * left) if self.power is None else left**self.power
        risen = ops.minimum((step + 1.0) / (self.warmup_steps + 1.0), 1.0)
        return self.learning_rate * risen * fallen

    def get_config(self):
        keys = ("learning_rate", "steps", "power", "warmup_steps", "accumulation_steps")
        return {key: getattr(self, key) for key in keys}


@keras.saving.register_keras_serializable(package="segformer_tf")
class SegformerAdamW(AdamW):
    """AdamW that moves the head `head_multiplier` times as fast, once `set_groups` has been told the model."""

    def __init__(self, *args, head_multiplier: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.head_multiplier = head_multiplier
        self._head = frozenset()

    @property
    def ema_momentum(self):
        """Less than the given one at first, so that random weights are soon forgotten."""
        step = ops.cast(self.iterations, "float32")
        return ops.minimum(self._ema_momentum, (step + 1.0) / (step + 10.0))

    @ema_momentum.setter
    def ema_momentum(self, value: float) -> None:
        self._ema_momentum = value

    def set_groups(self, model: keras.Model) -> None:
        """Finds the head by its variables' paths; takes norms, biases and all else of one axis out of the decay."""
        variables = model.trainable_variables
        self._head = frozenset(self._var_key(v) for v in variables if v.path.startswith(("decode_head", "classifier")))
        self.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])

    def update_step(self, gradient, variable, learning_rate):
        if self.head_multiplier != 1.0 and self._var_key(variable) in self._head:
            if isinstance(learning_rate, Rates):
                learning_rate = learning_rate._replace(lr=learning_rate.lr * self.head_multiplier)
            else:
                learning_rate = learning_rate * self.head_multiplier
        super().update_step(gradient, variable, learning_rate)

    def averages(self, variables) -> dict[str, "keras.Variable"]:
        """The moving averages of the variables by their paths; empty without `use_ema`."""
        if not self.use_ema:
            return {}
        return {v.path: average for v, average in zip(variables, self._model_variables_moving_average, strict=True)}

    def get_config(self):
        return {
            **super().get_config(),
            "head_multiplier": self.head_multiplier,
            "ema_momentum": self._ema_momentum,
        }


@keras.saving.register_keras_serializable(package="segformer_tf")
class SegformerMuon(SegformerAdamW):
    """Muon (Jordan et al. 2024) for the kernels of dense layers and convolutions, AdamW for all else.

    A kernel moves along its momentum's nearest orthogonal matrix, so that all its directions learn equally fast; its
    update has the size of AdamW's (Liu et al. 2025, arXiv:2502.16982), so that one rate serves both. From random
    weights a rate near 1e-2 serves. `keras.optimizers.Muon` leaves convolutions to AdamW.
    """

    MOMENTUM = 0.95
    NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the quintic iteration, of which five are made
    UPDATE_SIZE = 0.2  # root mean square of AdamW's updates

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._matrices = frozenset()

    def set_groups(self, model: keras.Model) -> None:
        """As AdamW's; the last layer and depthwise kernels, which are not matrices, stay with AdamW."""
        super().set_groups(model)
        self._matrices = frozenset(self._var_key(v) for v in model.trainable_variables if _is_matrix(v))

    def update_step(self, gradient, variable, learning_rate):
        key = self._var_key(variable)
        if key not in self._matrices:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self._momentums[self._get_variable_index(variable)]
        self.assign(momentum, self.MOMENTUM * momentum + gradient)
        update = orthogonalized(ops.reshape(gradient + self.MOMENTUM * momentum, (-1, variable.shape[-1])))
        rate = learning_rate.lr if isinstance(learning_rate, Rates) else learning_rate
        rate = ops.cast(rate, variable.dtype) * (self.head_multiplier if key in self._head else 1.0)
        rate = rate * self.UPDATE_SIZE * math.sqrt(max(update.shape))
        self.assign_sub(variable, rate * ops.reshape(update, variable.shape))


def _is_matrix(variable) -> bool:
    """Whether a kernel mixes channels, and is not the last layer's."""
    last = variable.path.startswith(("decode_head/classifier", "classifier"))
    return len(variable.shape) >= 2 and "dwconv" not in variable.path and not last


def orthogonalized(matrix):
    """(m, n) -> about the nearest matrix whose singular values are all 1 (Newton-Schulz; they end in 0.7 to 1.2)."""
    a, b, c = SegformerMuon.NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if tall else matrix
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(5):
        square = x @ ops.transpose(x)
        x = a * x + (b * square + c * square @ square) @ x
    return ops.transpose(x) if tall else x


OPTIMIZERS = {"adamw": SegformerAdamW, "muon": SegformerMuon}
