"""A model's own ignore index: what is 255 on disk is left out alike, whatever the model calls it."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image
from small_data import tiny_network

from segformer_tf.training import RECIPES, Augmentation, train

RECIPE = dataclasses.replace(
    RECIPES["fine-tune"],
    steps=2,
    batch_size=2,
    warmup_steps=1,
    learning_rate=1e-2,
    loss={"cross_entropy": 1.0, "dice": 0.5},
    class_weight_power=0.5,
    augmentation=Augmentation(crop=(64, 96), scale=(0.5, 1.0)),  # larger than the pictures, so that masks are padded
)


@pytest.mark.long
def test_a_run_is_the_same_whatever_the_ignore_index_is(data, tmp_path):
    runs = {}
    for ignored in (255, 254):
        network = tiny_network(semantic_loss_ignore_index=ignored)
        train(network, data, tmp_path / str(ignored) / "run", RECIPE, verbose=0)
        runs[ignored] = tmp_path / str(ignored) / "run", network.get_weights()
    (usual, usual_weights), (other, other_weights) = runs.values()
    for found, expected in zip(other_weights, usual_weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    logs = [list(csv.DictReader((run / "log.csv").read_text().splitlines())) for run in (usual, other)]
    assert [{**row, "seconds": 0} for row in logs[0]] == [{**row, "seconds": 0} for row in logs[1]]
    # From the classes on, without the time: scores, BatchNorm's two scores, confusion, the examples' scores.
    texts = [(run / "report.md").read_text().partition("## Classes")[2] for run in (usual, other)]
    assert texts[0] == texts[1] and "BatchNorm: mIoU" in texts[0]
    pictures = sorted(usual.glob("picture_*.png"))
    assert pictures
    for picture in pictures:
        np.testing.assert_array_equal(np.asarray(Image.open(other / picture.name)), np.asarray(Image.open(picture)))
