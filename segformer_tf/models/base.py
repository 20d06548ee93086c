"""What the models share: one functional graph, a call with labels and optional outputs, training steps, saving."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from segformer_tf.config import SegformerConfig
from segformer_tf.models.adamw import AdamW, warn_of_half
from segformer_tf.models.checkpointed import Pretrained
from segformer_tf.models.compiled import fields_of
from segformer_tf.models.distribution import Mended, scaled
from segformer_tf.models.inputs import as_pair, check_logits, check_pixels, out_of_mapping, unnamed
from segformer_tf.models.kernels import final_weights, for_xla, kept_labels, portable_ops
from segformer_tf.models.layer_states import Settable
from segformer_tf.models.metrics import MeanIoU
from segformer_tf.models.network import Network, from_boundary
from segformer_tf.models.outputs import CallWithOptions, ModelOutput, alone
from segformer_tf.models.predicted import likeliest
from segformer_tf.models.private import forget_compiled, has_compiled_loss, has_fed_metrics, training_around
from segformer_tf.models.settings import as_config, checked
from segformer_tf.storage.keywords import check_keywords, keywords_of, spell_checked


class SegformerBase(Pretrained, Settable, Mended):
    """A Keras functional model over the layers of a `Network`; subclasses add a head and a loss.

    The graph that Keras sees (`inputs`, `outputs`, `summary()`, saving) gives the field that the task is about; hidden
    states and attention maps come from the same layers when a call asks for them.
    """

    output_class: type[ModelOutput] = ModelOutput

    def __init__(self, config: SegformerConfig, data_format: str | None = None, *, name=None, dtype=None, **kwargs):
        config, (data_format, policy) = as_config(config), checked(data_format, dtype, kwargs)
        network = Network(config, data_format, policy, self._make_head(config, policy))
        shape = (
            (config.num_channels, None, None) if data_format == "channels_first" else (None, None, config.num_channels)
        )
        inputs = keras.Input(shape, name="pixel_values", dtype="float32")
        super().__init__(inputs=inputs, outputs=network(inputs), name=name or type(self).__name__.lower(), **kwargs)
        self._describe(network, config, data_format, policy)

    def _describe(self, network: Network, config: SegformerConfig, data_format: str, policy) -> None:
        self.dtype_policy = policy
        self.config = config
        self.data_format = data_format
        self.network = network

    def _make_head(self, config: SegformerConfig, dtype) -> Callable | None:
        """What makes logits of the stages' maps; None for the encoder alone."""
        del config, dtype
        return None

    def call(
        self,
        pixel_values,
        labels=None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool | None = None,
    ):
        if isinstance(pixel_values, Mapping):  # which the `call` of a subclass may hand on
            given = {"labels": labels, "output_attentions": output_attentions}
            given |= {"output_hidden_states": output_hidden_states, "return_dict": return_dict, "training": training}
            return SegformerBase.call(self, **out_of_mapping(pixel_values, given, keywords_of(SegformerBase.call)))
        if isinstance(pixel_values, (list, tuple)) and len(pixel_values) == 1 and np.ndim(pixel_values[0]) == 4:
            pixel_values = pixel_values[0]
        pixel_values = ops.cast(ops.convert_to_tensor(pixel_values), "float32")
        pixel_values = check_pixels(pixel_values, self.config, self.data_format)
        fields = fields_of(
            self,
            pixel_values,
            training_around() if training is None else training,  # a subclass's `call` may hand none on
            hidden_states=_default(output_hidden_states, self.config.output_hidden_states),
            attentions=_default(output_attentions, self.config.output_attentions),
        )
        if labels is not None:
            fields["loss"] = self.hf_compute_loss(labels=labels, logits=fields.get("logits"))
        output = self.output_class(fields)
        return output if _default(return_dict, self.config.return_dict) else output.to_tuple()

    def __call__(self, *args, **kwargs):
        """As Keras'; the first argument may be a mapping of the call's arguments by name.

        In a Keras graph a call with more fields than the model's own graph has is a layer of its own.
        """
        known = keywords_of(self.call)
        if known[:1] == ("pixel_values",) and isinstance(args[0] if args else kwargs.get("pixel_values"), Mapping):
            given = {**inspect.signature(self.call).bind_partial(*args).arguments, **kwargs}
            kwargs = out_of_mapping(given.pop("pixel_values"), given, known)
            args = (kwargs.pop("pixel_values"),)
        # Keras would make tensors of NumPy's True and False, which no layer's `if` takes inside a graph.
        kwargs = {name: bool(value) if isinstance(value, np.bool_) else value for name, value in kwargs.items()}
        if not any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten((args, kwargs))):
            return super().__call__(*args, **kwargs)
        taken = {name: value for name, value in kwargs.items() if name != "training" or name in known}
        options = inspect.signature(self.call).bind(*args, **taken).arguments
        fields = self.compute_output_spec(**options)
        if len(keras.tree.flatten(fields)) == len(self.outputs):
            return super().__call__(*args, **kwargs)
        pixel_values, labels = (options.pop(name, None) for name in ("pixel_values", "labels"))
        return CallWithOptions(self, options)(pixel_values, labels=labels)

    def compute_output_spec(self, *args, **kwargs):
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    @property
    def input_spec(self):
        """None: `call` checks what it is given itself, and says what it expected."""
        return None

    @input_spec.setter
    def input_spec(self, value) -> None:
        del value

    def export(self, filepath, format: str = "tf_saved_model", **kwargs) -> None:
        """As `keras.Model.export`, with weights multiplied beforehand where a product has no other factor.

        Formats other than a SavedModel are made of ops that every converter reads, and have one output.
        """
        contexts = [] if format == "tf_saved_model" else [portable_ops(), alone(self.config)]
        with contextlib.ExitStack() as stack:
            for context in [*contexts, final_weights()]:
                stack.enter_context(context)
            super().export(filepath, format=format, **kwargs)

    # Training

    @spell_checked
    def hf_compute_loss(self, labels, logits):
        """The loss of labels and logits as the model returns them; scalar float32.

        ValueError for logits that lie in another layout than the model's.
        """
        if logits is None:
            raise ValueError(f"{type(self).__name__} has no loss: labels are for the models with a task.")
        check_logits(logits, self.outputs[0].shape)
        return self._task_loss(ops.convert_to_tensor(labels), self._channels_last(logits), None)

    def _task_loss(self, labels, logits, sample_weight):
        """The loss of channels-last logits; `sample_weight` is None, or what `fit` was given."""
        raise NotImplementedError

    def _for_loss(self, labels, logits):
        """The float32 logits that a custom Keras loss or metric is given beside the labels."""
        return logits

    def _default_metrics(self) -> list:
        return []

    def _channels_last(self, map_):
        return from_boundary(map_, self.data_format) if len(map_.shape) == 4 else map_

    def compile(self, optimizer=None, loss=None, metrics=None, **kwargs) -> None:
        """As `keras.Model.compile`; without arguments AdamW at 6e-5, the model's own loss, and its metric.

        A loss or metric given here sees the labels and the float32 logits, channels-last, at the labels' size; a loss
        whose attribute `resizes_logits` is true sees the logits as the model makes them, which saves memory.
        """
        check_keywords("compile", kwargs, keywords_of(keras.Model.compile))
        loss, metrics, kwargs = unnamed(loss), unnamed(metrics), {key: unnamed(value) for key, value in kwargs.items()}
        optimizer = optimizer or AdamW(6e-5, weight_decay=0.01)
        if loss is None and metrics is None:
            metrics = self._default_metrics()
        forget_compiled(self)
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)
        given = keras.tree.flatten([metrics, kwargs.get("weighted_metrics")])
        self._small_logits = all(metric is None or isinstance(metric, MeanIoU) for metric in given)
        self._compares_labels = any(given) and all(metric is None or type(metric) is MeanIoU for metric in given)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a model read from a `.keras` file as it was when saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        x, y, sample_weight = as_pair((x, y, sample_weight))  # Keras builds a loss and metrics by batches as they come
        logits = self._channels_last(_logits(y_pred))
        if has_compiled_loss(self):
            resized = logits if getattr(self.loss, "resizes_logits", False) else self._for_loss(y, logits)
            return super().compute_loss(x, y, resized, sample_weight, training)
        if y is None:
            raise ValueError(
                'There are no labels to learn from: pass pairs, or a dict with "pixel_values" and "labels".'
            )
        return scaled(sum(self.losses, self._task_loss(y, logits, sample_weight)))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        x, y, sample_weight = as_pair((x, y, sample_weight))
        if y is not None:
            y_pred = self._channels_last(_logits(y_pred))
            found = kept_labels.kept(y_pred, y)
            if found is not None:
                y_pred = found
            elif not self._small_logits or self.jit_compile:  # XLA takes no blocks of unknown number
                y_pred = self._for_loss(y, y_pred)
                if self._small_logits and len(y_pred.shape) == 4:
                    y_pred = likeliest(y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """As Keras'; nothing where a `train_step` of one's own leaves the metric out that a plain `compile()` adds."""
        return super().get_metrics_result() if has_fed_metrics(self) else {}

    def make_train_function(self, force: bool = False) -> None:
        """As Keras', with the optimizer's variables made beforehand: made inside, they cost a second tracing."""
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        warn_of_half(self.trainable_variables if force or self.train_function is None else ())
        self._make_for_compiler("train_function", super().make_train_function, force)

    def make_test_function(self, force: bool = False) -> None:
        self._make_for_compiler("test_function", super().make_test_function, force)

    def make_predict_function(self, force: bool = False) -> None:
        self._make_for_compiler("predict_function", super().make_predict_function, force)

    def _make_for_compiler(self, name: str, make: Callable, force: bool) -> None:
        """For subclasses with steps of their own. The steps below tell too: strategies run them in other threads."""
        before = getattr(self, name)
        make(force)
        run = getattr(self, name)
        if run is not before and self.jit_compile:

            def told(*args):
                with for_xla():
                    return run(*args)

            setattr(self, name, told)

    def _compiled_by(self) -> contextlib.AbstractContextManager[None]:
        return for_xla() if self.jit_compile else contextlib.nullcontext()

    def train_step(self, *args):
        with self._compiled_by(), kept_labels.one_step(wanted=self._compares_labels):
            return self.with_axis(super().train_step(*args[:-1], as_pair(args[-1])))

    def test_step(self, *args):
        with self._compiled_by(), kept_labels.one_step(wanted=self._compares_labels):
            return self.with_axis(super().test_step(*args[:-1], as_pair(args[-1])))

    def predict_step(self, *args):
        with self._compiled_by():
            return super().predict_step(*args[:-1], as_pair(args[-1]))


def _default(value, otherwise):
    return otherwise if value is None else value


def _logits(y_pred):
    if isinstance(y_pred, Mapping):
        return y_pred["logits"]
    return y_pred[0] if isinstance(y_pred, (tuple, list)) else y_pred
