"""The paper's optimizer: AdamW without decay of norms and biases, a faster head, warm-up, decay of the rate; Muon."""

import math
import re
from typing import Any

import keras
from keras import ops

from segformer_tf.checkpoints.layouts import HEADS
from segformer_tf.models import adamw, private
from segformer_tf.models.adamw import AdamW, Rates, adam_rates, adam_step, decay
from segformer_tf.models.distribution import clipped, replicas

# Biases that what follows takes out again: a head's before its BatchNorm, the last stage's norm's, which nothing but
# that head reads, and a key's, which adds the same to every score of a query before the softmax. Their gradient is
# rounding noise, of which Adam would make steps of full size.
BEFORE_BATCH_NORM, OF_KEYS = re.compile(r"decode_head/linear_c_\d+/bias"), re.compile(r"(?:^|/)key/bias$")
OF_STAGES = re.compile(r"layer_norm_\d+/beta")
TOGETHER_VALUES = 2**21  # of matrices that are made orthogonal together, copied for that: 8 MB


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


class Grouped(keras.optimizers.Optimizer):
    """An optimizer that knows a SegFormer's parts by the paths of its variables, once it is built.

    The head moves `head_multiplier` times as fast; norms and biases are not decayed; biases without an effect stay.
    """

    def __init__(self, *args, head_multiplier: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.head_multiplier = head_multiplier
        self._head = self._cancelled = frozenset()

    @property
    def ema_momentum(self):
        """Of this batch: less than the given one in the first steps, so that random weights are soon forgotten.

        1, which leaves the averages as they are, for the batches of an accumulation that make no step.
        """
        step = ops.cast(self.iterations, "float32")
        momentum = ops.minimum(self._ema_momentum, (step + 1.0) / (step + 10.0))
        batches = self.gradient_accumulation_steps or 1
        makes_step = ops.equal(ops.mod(private.batches_of(self) + 1, batches), 0)
        return ops.where(makes_step, momentum, 1.0)

    @ema_momentum.setter
    def ema_momentum(self, value: float) -> None:
        self._ema_momentum = value

    def build(self, variables) -> None:
        if not self.built:
            self._find_groups(variables)
        super().build(variables)

    def _find_groups(self, variables) -> None:
        self._head = self._keys(v for v in variables if v.path.startswith(HEADS))
        cancelled = [v for v in variables if OF_KEYS.search(v.path)]
        if any(v.path == "decode_head/batch_norm/gamma" for v in variables):  # a frozen norm cancels nothing
            cancelled += [v for v in variables if BEFORE_BATCH_NORM.match(v.path)]
            cancelled += [v for v in variables if OF_STAGES.match(v.path)][-1:]
        self._cancelled = self._keys(cancelled)
        self.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])

    def _keys(self, variables) -> frozenset:
        return frozenset(private.key_of(self, variable) for variable in variables)

    def update_step(self, gradient, variable, learning_rate):
        if (rate := self._rate(variable, learning_rate)) is not None:
            super().update_step(gradient, variable, rate)

    def _rate(self, variable, learning_rate):
        """The learning rate, or `Rates`, of a variable's group; None: it stays."""
        key = private.key_of(self, variable)
        if key in self._cancelled:
            return None
        if self.head_multiplier == 1.0 or key not in self._head:
            return learning_rate
        if isinstance(learning_rate, Rates):
            return learning_rate._replace(lr=learning_rate.lr * self.head_multiplier)
        return learning_rate * self.head_multiplier

    def _update_model_variables_moving_average(self, trainable_variables):
        """As Keras', with the step's momentum made once, not once a variable."""
        if keras.backend.backend() != "tensorflow" or replicas() > 1 or not self.use_ema:
            super()._update_model_variables_moving_average(trainable_variables)
            return
        kept = ops.cast(ops.not_equal(self.iterations, 0), "float32") * self.ema_momentum
        new = 1.0 - kept
        for variable, average in zip(trainable_variables, private.averages_of(self), strict=True):
            if average is not None:
                average.assign(average * ops.cast(kept, average.dtype) + variable * ops.cast(new, average.dtype))

    def apply(self, grads, trainable_variables=None):
        """As Keras', with `global_clipnorm` of the whole gradient also where several devices have parts of it."""
        grads = list(grads)
        if self.global_clipnorm and replicas() > 1:
            grads = clipped(grads, self.global_clipnorm)
        return super().apply(grads, trainable_variables)

    def averages(self, variables) -> dict[str, "keras.Variable"]:
        """The moving averages of the variables by their paths; empty without `use_ema`."""
        if not self.use_ema:
            return {}
        return {v.path: average for v, average in zip(variables, private.averages_of(self), strict=True)}

    def get_config(self):
        return {
            **super().get_config(),
            "head_multiplier": self.head_multiplier,
            "ema_momentum": self._ema_momentum,
        }


@keras.saving.register_keras_serializable(package="segformer_tf")
class SegformerAdamW(Grouped, AdamW):
    """AdamW by the groups of the paper's code."""


@keras.saving.register_keras_serializable(package="segformer_tf")
class SegformerMuon(Grouped, keras.optimizers.Muon):
    """Muon (Jordan et al. 2024) for the kernels of dense layers and convolutions, AdamW for all else.

    A kernel moves along its momentum's nearest orthogonal matrix, so that all its directions learn equally fast; its
    update has the size of AdamW's (Liu et al. 2025, arXiv:2502.16982), so that one rate serves both. From random
    weights a rate near 1e-2 serves. Keras' Muon leaves convolutions to AdamW; here they are matrices of
    (height * width * channels) rows. One `weight_decay` serves both.
    """

    def __init__(self, *args, weight_decay: float = 0.004, **kwargs):
        kwargs = {"adam_weight_decay": weight_decay, "adam_lr_ratio": 1, **kwargs}
        super().__init__(*args, weight_decay=weight_decay, **kwargs)
        self._matrices = frozenset()

    def _find_groups(self, variables) -> None:
        """As AdamW's; the last layer and depthwise kernels, which are not matrices, stay with AdamW."""
        super()._find_groups(variables)
        self._matrices = self._keys(v for v in variables if _is_matrix(v))

    def _should_use_adamw(self, variable) -> bool:
        return private.key_of(self, variable) not in self._matrices

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """As Keras', up to rounding, in two fifths of the ops: on a GPU their number is what takes time.

        Matrices of one shape are made orthogonal together, and what all updates share is made once.
        """
        if keras.backend.backend() != "tensorflow" or replicas() > 1:
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        rates = adam_rates(learning_rate * self.adam_lr_ratio, self.iterations, *self._adam())
        matrices = []
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            momentum, velocity = private.muon_moments_of(self, variable)
            if variable.dtype != "float32":
                self.update_step(gradient, variable, learning_rate)
            elif velocity is None:
                if (rate := self._rate(variable, learning_rate)) is not None:
                    matrices.append((variable, self._momentum_matrix(gradient, momentum), rate))
            elif (own := self._rate(variable, rates)) is not None:
                adam_step(gradient, variable, momentum, velocity, own)
        self._move(matrices)

    def _momentum_matrix(self, gradient, momentum):
        """What is made orthogonal, as a matrix; moves the momentum on."""
        momentum.assign_add(gradient + momentum * (self.momentum - 1))
        direction: Any = gradient + self.momentum * momentum if self.nesterov else ops.convert_to_tensor(momentum)
        return ops.reshape(direction, (-1, direction.shape[-1]))

    def _move(self, matrices) -> None:
        """Moves kernels along their orthogonal directions; (variable, direction, rate) each."""
        by_shape = {}
        for member in matrices:
            by_shape.setdefault(tuple(member[1].shape), []).append(member)
        for shape, members in by_shape.items():
            at_once = max(TOGETHER_VALUES // math.prod(shape), 1)
            for first in range(0, len(members), at_once):
                some = members[first : first + at_once]
                directions = ops.stack([direction for _, direction, _ in some])  # (n, rows, columns)
                found = ops.unstack(super().zeropower_via_newtonschulz5(directions, self.ns_steps))
                for (variable, _, rate), direction in zip(some, found, strict=True):
                    variable.assign_sub(ops.reshape(self.lr_adjust(rate * direction), variable.shape))

    def _adam(self) -> tuple[float, float, float]:
        return self.adam_beta_1, self.adam_beta_2, self.epsilon

    def _apply_weight_decay(self, variables):
        """As Keras', with the product of both rates made once."""
        same = self.weight_decay == self.adam_weight_decay
        if self.weight_decay is None or not same or keras.backend.backend() != "tensorflow":
            super()._apply_weight_decay(variables)
        else:
            decay(self, variables)

    def _adamw_update_step(self, gradient, variable, learning_rate, m, v):
        if adamw.is_half(variable):
            adamw.half_step(self, gradient, variable, m, v, learning_rate, self._adam())
            return
        rates = adam_rates(learning_rate, self.iterations, *self._adam())
        if rates is None or variable.dtype != "float32":
            super()._adamw_update_step(gradient, variable, learning_rate, m, v)
        else:
            adam_step(gradient, variable, m, v, rates)

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        if adamw.is_half(reference_variable) and name in adamw.MOMENTS and self._should_use_adamw(reference_variable):
            return adamw.float32_like(self, reference_variable, name)
        return super().add_variable_from_reference(reference_variable, name, initializer)

    def zeropower_via_newtonschulz5(self, x, steps: int):
        matrix = ops.reshape(x, (-1, x.shape[-1]))
        return ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x):
        """Gives an orthogonal matrix the root mean square of AdamW's updates, 0.2."""
        return x * (0.2 * math.sqrt(max(math.prod(x.shape[:-1]), x.shape[-1])))


def _is_matrix(variable) -> bool:
    """Whether a kernel mixes channels, and is not the last layer's."""
    last = variable.path.startswith(("decode_head/classifier", "classifier"))
    return len(variable.shape) >= 2 and "dwconv" not in variable.path and not last


OPTIMIZERS = {"adamw": SegformerAdamW, "muon": SegformerMuon}
