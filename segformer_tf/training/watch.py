"""What a person looks at: a batch with its masks as a picture, image beside truth beside prediction, TensorBoard."""

import itertools
import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from segformer_tf.images import colorize, palette_for
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.datasets import Source
from segformer_tf.training.evaluate import Prediction, predictions

PICTURES = 4  # drawn for TensorBoard at each evaluation


@spell_checked
def draw_batch(pixel_values, labels, classes, how: Augmentation | None = None, columns: int = 2) -> Image.Image:
    """A batch as the network sees it, each picture beside its mask: (B, h, w, 3) normalised and (B, h, w) ids.

    Args:
        classes: `id2label`, names, or a number of classes, which choose the masks' colours.
        how: Of which mean and standard deviation are undone.
    """
    how = how or Augmentation()
    pixels = (np.asarray(pixel_values) * how.image_std + how.image_mean) * 255
    pixels = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    palette = palette_for(classes)
    pairs = [[image, colorize(ids, palette)] for image, ids in zip(pixels, np.asarray(labels), strict=True)]
    return _grid([np.concatenate(pair, axis=1) for pair in pairs], columns)


@spell_checked
def side_by_side(found: Prediction, classes, ignore_index: int = 255) -> Image.Image:
    """Picture, truth and prediction in a row; the prediction is black where the truth is not labelled."""
    palette = palette_for(classes)
    predicted = np.where(found.labels == ignore_index, ignore_index, found.predicted)
    columns = [found.image, colorize(found.labels, palette), colorize(predicted, palette)]
    return _grid([np.concatenate(columns, axis=1)], 1)


def _grid(pictures: list[np.ndarray], columns: int) -> Image.Image:
    rows = math.ceil(len(pictures) / columns)
    height, width = pictures[0].shape[:2]
    grid = np.zeros((rows * height, min(columns, len(pictures)) * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return Image.fromarray(grid)


class TensorBoard(keras.callbacks.Callback):
    """Writes the logs of every interval as scalars and, after an evaluation, some pictures beside truth and prediction.

    By TensorFlow's own event writer, so that the package `tensorboard` is needed only to look at them.
    """

    def __init__(self, directory: Path, model: keras.Model, source: Source, start: int = 0):
        super().__init__()
        self.directory, self.evaluated, self.source, self.step = directory, model, source, start

    def on_train_begin(self, logs=None):
        self.writer = tf.raw_ops.SummaryWriter()
        tf.raw_ops.CreateSummaryFileWriter(
            writer=self.writer, logdir=str(self.directory), max_queue=100, flush_millis=10_000, filename_suffix=""
        )

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1

    def on_epoch_end(self, epoch, logs=None):
        scalars = {**(logs or {}), "learning_rate": self.model.optimizer.learning_rate}
        for name, value in scalars.items():
            value = tf.cast(value, tf.float32)
            tf.raw_ops.WriteScalarSummary(writer=self.writer, step=self.step, tag=name, value=value)
        if "val_mIoU" in scalars:
            classes = self.evaluated.config.id2label
            for number, found in enumerate(itertools.islice(predictions(self.evaluated, self.source), PICTURES)):
                picture = np.asarray(side_by_side(found, classes))[None]
                self._write_picture(f"picture {number}", tf.constant(picture))
        tf.raw_ops.FlushSummaryWriter(writer=self.writer)

    def _write_picture(self, name: str, picture: tf.Tensor) -> None:
        red = tf.constant([255, 0, 0, 255], tf.uint8)  # for values that are no numbers, which uint8 has not
        tf.raw_ops.WriteImageSummary(writer=self.writer, step=self.step, tag=name, tensor=picture, bad_color=red)

    def on_train_end(self, logs=None):
        tf.raw_ops.CloseSummaryWriter(writer=self.writer)
