"""The public models: the encoder alone, with a classifier, with the decode head; and the decode head by itself."""

import contextvars
import functools
import inspect

import keras

from segformer_tf.config import SegformerConfig
from segformer_tf.models import losses
from segformer_tf.models.base import SegformerBase
from segformer_tf.models.checkpointed import Pretrained
from segformer_tf.models.inputs import as_pair, ranked
from segformer_tf.models.layer_states import Settable
from segformer_tf.models.metrics import LabelAccuracy, MeanIoU
from segformer_tf.models.network import MeanTokenClassifier, as_maps, decode_head, from_boundary, to_boundary
from segformer_tf.models.outputs import EncoderOutput, TaskOutput
from segformer_tf.models.settings import as_config, checked
from segformer_tf.storage.keywords import also_called, spell_checked

_weighed = contextvars.ContextVar("weighed", default=False)  # the step has put the classes' weights to the pixels'

register = keras.saving.register_keras_serializable(package="segformer_tf")


@register
class TFSegformerModel(SegformerBase):
    """The Mix Transformer encoder: `(B, H, W, C) -> last_hidden_state (B, H / 32, W / 32, hidden_sizes[-1])`.

    Sides round up stage by stage; channels-first maps with `data_format="channels_first"`. With
    `reshape_last_stage=False` in the config the deepest map comes as tokens (B, N, hidden_sizes[-1]).
    """

    output_class = EncoderOutput

    @property
    def base_model(self):
        """The encoder alone: this model."""
        return self

    segformer = base_model


@register
class EncoderOf(TFSegformerModel):
    """The encoder of a model with a head, over that model's own layers; read from a file it is one by itself."""

    def __init__(self, whole: SegformerBase):
        network, config = whole.network.without_head(), whole.config
        deepest = whole.get_layer(f"layer_norm_{config.num_encoder_blocks - 1}").output
        outputs = {"last_hidden_state": network.last(deepest)}
        super(SegformerBase, self).__init__(inputs=whole.inputs[0], outputs=outputs, name=self.base_model_prefix)
        self._describe(network, config, whole.data_format, whole.dtype_policy)

    @property
    def trainable(self) -> bool:
        """Whether any layer learns: they are the whole model's too, and are set there as well."""
        return any(layer.trainable for layer in self.layers if layer.weights)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    @classmethod
    def from_config(cls, config, custom_objects=None, **kwargs):
        return TFSegformerModel.from_config(config, custom_objects, **kwargs)


class WithHead(SegformerBase):
    """A model whose encoder can be called, frozen and saved by itself."""

    output_class = TaskOutput

    @property
    def base_model(self) -> TFSegformerModel:
        """The encoder over this model's own layers, without the head; freezing it freezes the layers here.

        Made at the first access, and the same from then on.
        """
        if "_encoder" not in vars(self):
            vars(self)["_encoder"] = EncoderOf(self)  # not by setattr: Keras would count its layers twice
        return vars(self)["_encoder"]

    segformer = base_model

    @spell_checked
    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        return super().fit(**self._arguments(super().fit, args, kwargs))

    @spell_checked
    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args, **kwargs):
        return super().train_on_batch(**self._arguments(super().train_on_batch, args, kwargs))

    def _arguments(self, method, args, kwargs) -> dict:
        """What `fit` was given, by name; ValueError for a class weight of no class."""
        arguments = inspect.signature(method).bind(*args, **kwargs).arguments
        classes = max(self.config.num_labels, 2)
        if unknown := sorted(set(arguments.get("class_weight") or ()) - set(range(classes))):
            raise ValueError(f"class_weight has the class {unknown[0]}, expected 0 to {classes - 1}: leave it out.")
        return arguments


@register
class TFSegformerForImageClassification(WithHead):
    """The encoder and a linear classifier on its mean token: `(B, H, W, C) -> logits (B, num_labels)`."""

    @property
    def classifier(self) -> keras.layers.Layer:
        """The linear layer that gives the logits."""
        return self.get_layer("classifier")

    def _make_head(self, config: SegformerConfig, dtype):
        return MeanTokenClassifier(config, dtype)

    def _task_loss(self, labels, logits, sample_weight):
        return losses.classification_loss(labels, logits, self.config.problem_type, sample_weight)

    def _arguments(self, method, args, kwargs) -> dict:
        """ValueError also for class weights where a picture has not one class: Keras takes the first for it."""
        arguments, config = super()._arguments(method, args, kwargs), self.config
        if not arguments.get("class_weight"):
            return arguments
        x = arguments.get("x")
        _, labels, _ = as_pair(getattr(x, "element_spec", (x, arguments.get("y"))))
        known = hasattr(labels, "shape") and ranked(labels)
        problem = losses.problem_of(labels, config.num_labels, config.problem_type) if known else config.problem_type
        if problem in ("regression", "multi_label_classification"):
            raise ValueError(
                f"class_weight is given for {problem}, expected none: weigh the pictures by sample_weight instead."
            )
        return arguments

    def _default_metrics(self) -> list:
        problem = self.config.problem_type
        one = self.config.num_labels == 1 and problem != "multi_label_classification"
        return [] if one or problem == "regression" else [LabelAccuracy(problem)]


@register
class TFSegformerForSemanticSegmentation(WithHead):
    """The encoder and the all-MLP decode head: `(B, H, W, C) -> logits (B, H / 4, W / 4, num_labels)`.

    Channels-first models give (B, num_labels, H / 4, W / 4). Labels are (B, H, W) class ids.
    """

    _class_weights: tuple[float, ...] | None = None  # one a class, while `fit` trains with them

    @property
    def decode_head(self) -> keras.layers.Layer:
        """The layer that makes logits of the encoder's maps."""
        return self.get_layer("decode_head")

    def _make_head(self, config: SegformerConfig, dtype):
        return decode_head(config, dtype)

    @spell_checked
    def hf_compute_loss(self, logits, labels):
        """The loss of logits and labels as the model returns them, in transformers' order; scalar float32."""
        return super().hf_compute_loss(labels=labels, logits=logits)

    def _task_loss(self, labels, logits, sample_weight):
        return losses.segmentation_loss(labels, logits, self.config.semantic_loss_ignore_index, sample_weight)

    def _for_loss(self, labels, logits):
        return losses.full_size_logits(logits, labels)

    # Keras takes one class weight a picture from the labels' last axis; here every pixel has its class's.

    def _arguments(self, method, args, kwargs) -> dict:
        """Without `class_weight`, which the training step or its loss then gives to the pixels."""
        arguments = super()._arguments(method, args, kwargs)
        given, classes = arguments.pop("class_weight", None), max(self.config.num_labels, 2)
        weights = tuple(float(given.get(i, 1.0)) for i in range(classes)) if given else None
        if weights != self._class_weights:
            self._class_weights = weights
            self.train_function = None  # the one that Keras keeps has the earlier weights in it
        return arguments

    def train_step(self, *args):
        *first, data = args
        x, y, sample_weight = as_pair(data)
        token = _weighed.set(True)
        try:
            return super().train_step(*first, (x, y, self._with_class_weights(y, sample_weight)))
        finally:
            _weighed.reset(token)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As Keras'; in a `train_step` of one's own it weighs the classes as `fit` was told."""
        if training and not _weighed.get():
            _, y, _ = as_pair((x, y))
            sample_weight = self._with_class_weights(y, sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def _with_class_weights(self, labels, sample_weight):
        if self._class_weights is None or labels is None:
            return sample_weight
        return losses.pixel_weights(labels, self._class_weights, self.config.semantic_loss_ignore_index, sample_weight)

    def _default_metrics(self) -> list:
        return [MeanIoU(self.config.num_labels, self.config.semantic_loss_ignore_index, name="mean_iou")]


@register
class TFSegformerDecodeHead(Pretrained, Settable, keras.Model):
    """The decode head by itself: list of maps `(B, H_i, W_i, hidden_sizes[i]) -> logits (B, H_0, W_0, num_labels)`.

    Takes what a `TFSegformerModel` of the same data format gives as `hidden_states`, the deepest also as tokens. Its
    checkpoints are segmentation ones; the encoder's tensors in them are left out.
    """

    checkpoint_part = "decode_head/"

    @classmethod
    @also_called(pretrained_model_name_or_path="name_or_path")
    def from_pretrained(cls, name_or_path, **kwargs):
        """As the models'; ValueError for `merge_queries` and `merge_keys`."""
        for key in ("merge_queries", "merge_keys"):
            if kwargs.get(key):
                raise ValueError(
                    f"{key} is {kwargs[key]}, and a {cls.__name__} has no attention: give it to a model with an "
                    "encoder."
                )
        return super().from_pretrained(name_or_path, **kwargs)

    def __init__(self, config: SegformerConfig, data_format: str | None = None, *, name=None, dtype=None, **kwargs):
        config, (data_format, policy) = as_config(config), checked(data_format, dtype, kwargs)
        first = data_format == "channels_first"
        inputs = [
            keras.Input((size, None, None) if first else (None, None, size), name=f"hidden_state_{i}")
            for i, size in enumerate(config.hidden_sizes)
        ]
        logits = decode_head(config, policy)([from_boundary(map_, data_format) for map_ in inputs])
        outputs = to_boundary(logits, data_format)
        super().__init__(inputs=inputs, outputs=outputs, name=name or "tfsegformerdecodehead", **kwargs)
        self.dtype_policy = policy
        self.input_spec = None  # the deepest may be tokens
        self.config = config
        self.data_format = data_format

    def call(self, encoder_hidden_states, training: bool | None = None):
        states = keras.tree.flatten(encoder_hidden_states)
        return super().call(as_maps(states, self.config, self.data_format), training=training)

    def compute_output_spec(self, encoder_hidden_states, training: bool | None = None):
        *before, last = keras.tree.flatten(encoder_hidden_states)
        last = keras.KerasTensor(self.inputs[-1].shape, last.dtype) if len(last.shape) == 3 else last
        return super().compute_output_spec([*before, last])
