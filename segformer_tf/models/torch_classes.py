"""transformers' PyTorch names: the same models with Keras running on PyTorch, trained in a plain torch loop.

They take and return torch tensors, channels-first unless told otherwise, and follow `model.train()` and `model.eval()`.
"""

from typing import TYPE_CHECKING

import keras

from segformer_tf.models import tasks

if keras.backend.backend() != "torch":
    raise ImportError(
        f"SegformerModel and its siblings are models on PyTorch, and Keras runs on {keras.backend.backend()}: set the "
        "environment variable KERAS_BACKEND=torch before Python starts, or use TFSegformerModel and its siblings."
    )


if TYPE_CHECKING:
    _Model = tasks.TFSegformerModel
else:
    _Model = object


class OnTorch(_Model):
    """What a `torch.nn.Module` does and a Keras model does not."""

    def __init__(self, config, data_format: str | None = None, **kwargs):
        super().__init__(config, data_format or "channels_first", **kwargs)

    @property
    def device(self):
        """The `torch.device` that the weights lie on, to which a program moves its pictures."""
        return next(self.parameters()).device

    def __call__(self, *args, training: bool | None = None, **kwargs):
        return super().__call__(*args, training=self.training if training is None else training, **kwargs)

    @classmethod
    def from_checkpoint(cls, *args, **of_keras):
        model, report = super().from_checkpoint(*args, **of_keras)
        return model.eval(), report

    @classmethod
    def from_config(cls, config, *args, **kwargs):
        """As the models'; in evaluation mode, as Keras loads a `.keras` file by it."""
        return super().from_config(config, *args, **kwargs).eval()

    def __reduce__(self):  # copies and pickles: Keras' have the weights and not the mode
        return _in_mode, (self.training, *super().__reduce__()[:2])


def _in_mode(training, make, arguments):
    return make(*arguments).train(training)


@tasks.register
class SegformerModel(OnTorch, tasks.TFSegformerModel):
    """The Mix Transformer encoder: `(B, C, H, W) -> last_hidden_state (B, hidden_sizes[-1], H / 32, W / 32)`."""


@tasks.register
class SegformerDecodeHead(OnTorch, tasks.TFSegformerDecodeHead):
    """The decode head by itself: list of maps `(B, hidden_sizes[i], H_i, W_i) -> logits (B, num_labels, H_0, W_0)`."""


@tasks.register
class SegformerForImageClassification(OnTorch, tasks.TFSegformerForImageClassification):
    """The encoder and a linear classifier on its mean token: `(B, C, H, W) -> logits (B, num_labels)`."""


@tasks.register
class SegformerForSemanticSegmentation(OnTorch, tasks.TFSegformerForSemanticSegmentation):
    """The encoder and the all-MLP decode head: `(B, C, H, W) -> logits (B, num_labels, H / 4, W / 4)`."""
