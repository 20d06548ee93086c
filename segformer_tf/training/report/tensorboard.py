"""Scalars and pictures of a run for TensorBoard, by `tf.summary`."""

import itertools
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from segformer_tf.pipelines.runtimes.description import class_names, class_palette
from segformer_tf.training.evaluate import predictions
from segformer_tf.training.keeper import Keeper
from segformer_tf.training.report.sheets import side_by_side

PICTURES = 4  # drawn at each evaluation
SCALAR_STEPS = 10  # between two values of the loss


class TensorBoard(keras.callbacks.Callback):
    """Writes the loss, the scores of every evaluation, and some pictures beside truth and prediction.

    Raises:
        ImportError: The package `tensorboard`, of the extra `[report]`, is not installed.
    """

    def __init__(self, directory: Path, keeper: Keeper):
        super().__init__()
        try:
            import tensorboard  # noqa: F401  (tf.summary is made of it)
        except ImportError:
            raise ImportError(
                "tensorboard is not installed, expected it for RUN/tensorboard: pip install 'segformer-tf[report]'."
            ) from None
        self.directory, self.keeper, self.written = directory, keeper, len(keeper.rows)

    def on_train_begin(self, logs=None):
        self.writer = tf.summary.create_file_writer(str(self.directory))

    def on_train_batch_end(self, batch, logs=None):
        step = self.keeper.step
        with self.writer.as_default(step):
            if logs and step % SCALAR_STEPS == 0:
                tf.summary.scalar("loss", float(logs["loss"]))
            for row in self.keeper.rows[self.written :]:
                for key, value in row.items():
                    if key not in ("step", "seconds", "score") and value is not None:
                        tf.summary.scalar(key, value, row["step"])
                self._write_pictures()
                self.written += 1

    def _write_pictures(self) -> None:
        model, source = self.keeper.evaluated, self.keeper.source
        if not hasattr(model, "decode_head"):
            return
        config, all_of_them = model.config, predictions(model, source, processor=self.keeper.processor)
        for number, found in enumerate(itertools.islice(all_of_them, PICTURES)):
            ignored, palette = config.semantic_loss_ignore_index, class_palette(config)
            drawn = side_by_side(found, class_names(config), ignored, palette=palette)
            tf.summary.image(f"picture {number}", np.asarray(drawn)[None])

    def on_train_end(self, logs=None):
        self.writer.close()
