"""What programs written for transformers call on a model besides loading, calling, training and saving it."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from segformer_tf.config import SegformerConfig
from segformer_tf.storage.keywords import check_keywords, keywords_of, spell_checked


def _of_keras(name: str) -> Callable[..., Any]:
    """Keras' method, which here names the nearest of a misspelt keyword."""
    own = getattr(keras.Model, name)
    known = keywords_of(own)

    @functools.wraps(own)
    def method(self, *args: Any, **keywords: Any) -> Any:
        public = (each for each in keywords if not each.startswith("_"))  # `fit` gives `evaluate` a private one
        check_keywords(name, public, known)
        _check_some(name, args[0] if args else keywords.get("x"))
        return getattr(super(TransformersInterface, self), name)(*args, **keywords)

    return method


def _check_some(name: str, pixel_values: Any) -> None:
    """ValueError for arrays of no pictures, of which Keras makes no answer or an error of its own."""
    if isinstance(pixel_values, (list, tuple)) and len(pixel_values) == 1:
        pixel_values = pixel_values[0]
    if isinstance(pixel_values, Mapping):
        pixel_values = pixel_values.get("pixel_values")
    shape = getattr(pixel_values, "shape", ())
    if getattr(shape, "rank", 0) is not None and tuple(shape)[:1] == (0,):
        raise ValueError(
            f"{name} got pixel_values of shape {tuple(shape)}, expected at least one picture: leave the call out."
        )


if TYPE_CHECKING:
    _Model = keras.Model  # whose methods these are
else:
    _Model = object


class TransformersInterface(_Model):
    """The names of transformers' `TFPreTrainedModel` that have a meaning for a SegFormer."""

    config_class = SegformerConfig
    base_model_prefix = "segformer"
    main_input_name = "pixel_values"

    fit, evaluate, predict = map(_of_keras, ("fit", "evaluate", "predict"))
    train_on_batch, test_on_batch = map(_of_keras, ("train_on_batch", "test_on_batch"))
    predict_on_batch = _of_keras("predict_on_batch")

    def __dir__(self):
        # Keras saves whatever `dir` lists and holds weights: these models made of the same layers it must not see.
        hidden = ("base_model", "segformer", "_encoder", "decode_head", "classifier")
        return [name for name in super().__dir__() if name not in hidden]

    @property
    def framework(self) -> str:
        """The library that the model computes with, as transformers abbreviates it: "tf", "pt" or "jax"."""
        backend = keras.backend.backend()
        return {"tensorflow": "tf", "torch": "pt"}.get(backend, backend)

    @property
    def input_signature(self) -> dict[str, Any]:
        """`{"pixel_values": tf.TensorSpec}` of any batch and size."""
        import tensorflow as tf

        return {"pixel_values": tf.TensorSpec(self.inputs[0].shape, tf.float32, name="pixel_values")}

    @property
    def dummy_inputs(self) -> dict[str, Any]:
        """One picture of 512 x 512 ones, as the model takes it."""
        batch, *rest = self.inputs[0].shape
        return {"pixel_values": keras.ops.ones((batch or 1, *(512 if side is None else side for side in rest)))}

    @spell_checked
    def num_parameters(self: Any, only_trainable: bool = False) -> int:
        """How many numbers the weights hold, BatchNorm's running statistics included unless `only_trainable`."""
        return sum(math.prod(weight.shape) for weight in (self.trainable_weights if only_trainable else self.weights))

    def serving(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What a server answers: the model's fields by name for a dictionary with `pixel_values`."""
        return self.serving_output(self(inputs, training=False, return_dict=True))

    def serving_output(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """The fields as a plain dictionary, whose keys a SavedModel keeps as the names of its outputs."""
        return dict(output)

    @spell_checked
    def prepare_tf_dataset(
        self,
        dataset: Sequence[Mapping[str, Any]],
        batch_size: int = 8,
        shuffle: bool = True,
        *,
        collate_fn: Callable[..., Mapping[str, Any]] | None = None,
        collate_fn_args: Mapping[str, Any] | None = None,
        drop_remainder: bool | None = None,
        prefetch: bool = True,
    ):
        """Examples with `pixel_values` and `labels`, as a `datasets.Dataset` holds them -> tf.data pairs for `fit`.

        Args:
            dataset: Anything with a length whose items are dictionaries of arrays.
            collate_fn: Makes a batch of a list of examples; the default stacks each field.
            drop_remainder: Leave out a last batch that is not full; None: only when shuffling, as transformers does.

        Raises:
            ValueError: No examples, or too few for one batch.
        """
        import tensorflow as tf

        collate, arguments = collate_fn or _stack, dict(collate_fn_args or {})
        count = len(dataset)
        if count == 0:
            raise ValueError("dataset is empty, expected at least one example: look at where it is read.")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected a number above 0: correct it.")
        full_only = shuffle if drop_remainder is None else drop_remainder
        if full_only and count < batch_size:
            raise ValueError(
                f"dataset has {count} examples, expected at least batch_size = {batch_size} of them where only full "
                "batches are taken: lower batch_size, or pass drop_remainder=False."
            )
        ends = (
            range(batch_size, count + 1, batch_size) if full_only else range(batch_size, count + batch_size, batch_size)
        )

        def batches():
            order = np.random.permutation(count) if shuffle else np.arange(count)
            for end in ends:
                examples = [dataset[int(i)] for i in order[end - batch_size : end]]
                yield _as_pair(collate(examples, **arguments))

        signature = keras.tree.map_structure(
            lambda array: tf.TensorSpec((None,) * array.ndim, array.dtype), _as_pair(collate([dataset[0]], **arguments))
        )
        data = tf.data.Dataset.from_generator(batches, output_signature=signature)
        data = data.apply(tf.data.experimental.assert_cardinality(len(ends)))
        return data.prefetch(tf.data.AUTOTUNE) if prefetch else data


def _stack(examples: list[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    return {key: np.stack([np.asarray(example[key]) for example in examples]) for key in examples[0]}


def _as_pair(batch: Mapping[str, Any]):
    """(features, labels), or the features alone where there are no labels."""
    features = {"pixel_values": np.asarray(batch["pixel_values"], "float32")}
    return (features, np.asarray(batch["labels"])) if "labels" in batch else features
