import csv
import dataclasses
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_data import picture_and_mask, tiny_network

from segformer_tf import (
    SegformerConfig,
    SegformerImageProcessor,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
)
from segformer_tf.training import RECIPES, Augmentation, MeanIoU, evaluate, read_split, train, training_data
from segformer_tf.training.fit import Keeper

RECIPE = dataclasses.replace(
    RECIPES["from-scratch"],
    steps=8,
    batch_size=2,
    learning_rate=1e-2,
    warmup_steps=2,
    evaluate_every=4,
    save_every=2,
    drop_path_rate=0.2,  # draws random numbers in the model as well
    dropout_rate=0.1,
    precision="float32",
    augmentation=Augmentation(crop=(32, 48)),
)


def weights(network):
    return [v.numpy() for v in network.weights]


def read_log(run):
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A run from beginning to end, its data and its model."""
    from small_data import CLASSES, write_split

    root = tmp_path_factory.mktemp("whole")
    write_split(root / "data", "train", 7)
    write_split(root / "data", "val", 3, 100)
    (root / "data/classes.json").write_text(str(CLASSES).replace("'", '"'))
    network = tiny_network()
    best = train(network, root / "data", root / "run", RECIPE, seed=3, tensorboard=True, verbose=0)
    return root, network, best


def test_a_run_leaves_its_best_and_last_model_log_and_report(whole_run):
    root, network, best = whole_run
    rows = read_log(root / "run")
    assert [row["step"] for row in rows] == ["4", "8"]
    assert best["score"] == max(float(row["mIoU"]) for row in rows)
    last = TFSegformerForSemanticSegmentation.from_pretrained(root / "run/last", data_format="channels_last")
    for found, expected in zip(weights(last), weights(network), strict=True):
        np.testing.assert_array_equal(found, expected)
    best_model = TFSegformerForSemanticSegmentation.from_pretrained(root / "run/best", data_format="channels_last")
    assert evaluate(best_model, read_split(root / "data", "val"))["mIoU"] == pytest.approx(best["mIoU"], abs=1e-9)
    assert not SegformerImageProcessor.from_pretrained(root / "run/best").do_resize
    report = (root / "run/report.md").read_text()
    for text in ("curves.svg", "| 1 | box |", "confusion.png", "worst_1.png", '"learning_rate": 0.01'):
        assert text in report
    for name in ("curves.svg", "confusion.png", "worst_1.png", "worst_3.png"):
        assert (root / "run" / name).stat().st_size > 200


def test_tensorboard_s_events_hold_scalars_and_pictures(whole_run):
    (file,) = (whole_run[0] / "run/tensorboard").iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(event.step)
    assert found["val_mIoU"] == [4, 8] and found["loss"] == [2, 4, 6, 8]
    assert found["picture 0/image/0"] == [4, 8] and "picture 2/image/0" in found


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from small_data import tiny_network
from test_fit import RECIPE
from segformer_tf.training import fit
step_made = fit.Keeper.on_train_batch_end
def killed(self, batch, logs=None):
    step_made(self, batch, logs)
    if self.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
fit.Keeper.on_train_batch_end = killed
fit.train(tiny_network(), sys.argv[2], sys.argv[3], RECIPE, seed=3, verbose=0)
"""


def test_a_killed_run_that_goes_on_ends_with_the_same_weights(whole_run, tmp_path):
    root, network, _ = whole_run
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(root / "data"), str(tmp_path / "run")]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    resumed = tiny_network()
    resumed.set_weights([np.zeros_like(w) for w in resumed.get_weights()])  # nothing may depend on what it is given
    train(resumed, root / "data", tmp_path / "run", RECIPE, seed=3, resume=True, verbose=0)
    for found, expected in zip(weights(resumed), weights(network), strict=True):
        np.testing.assert_array_equal(found, expected)
    for expected, found in zip(read_log(root / "run"), read_log(tmp_path / "run"), strict=True):
        assert {**found, "seconds": 0} == {**expected, "seconds": 0}


def test_a_finished_run_resumes_to_nothing(whole_run):
    root, _, best = whole_run
    again = tiny_network()
    assert train(again, root / "data", root / "run", RECIPE, seed=3, resume=True, verbose=0) == best


def test_a_changed_recipe_on_resume_is_told_and_loses_nothing(whole_run):
    root = whole_run[0]
    state = (root / "run/last/training_state.npz").read_bytes()
    changed = dataclasses.replace(RECIPE, learning_rate=0.5)
    with pytest.raises(ValueError, match=r"the recipe of .*run was changed \(learning_rate 0.01 to 0.5\)"):
        train(tiny_network(), root / "data", root / "run", changed, seed=3, resume=True, verbose=0)
    assert (root / "run/last/training_state.npz").read_bytes() == state


def test_another_seed_on_resume_is_told(whole_run):
    root = whole_run[0]
    with pytest.raises(ValueError, match=r"\(seed 3 to 4\)"):
        train(tiny_network(), root / "data", root / "run", RECIPE, seed=4, resume=True, verbose=0)


def test_a_run_that_exists_is_not_overwritten(whole_run):
    root = whole_run[0]
    with pytest.raises(FileExistsError, match="has a run already, expected none: go on with --resume"):
        train(tiny_network(), root / "data", root / "run", RECIPE, verbose=0)


def test_another_model_on_resume_is_told(whole_run):
    root = whole_run[0]
    other = tiny_network(mlp_ratios=[3, 3])
    with pytest.raises(ValueError, match="is the state of another model"):
        train(other, root / "data", root / "run", RECIPE, seed=3, resume=True, verbose=0)


def test_a_loss_that_is_no_number_stops_the_run_and_saves_nothing(network, tmp_path):
    about = {"step": 4, "seconds": 0.0, "rows": []}
    keeper = Keeper(tmp_path, network, None, RECIPE, 8, 4, about, SegformerImageProcessor())
    with pytest.raises(ValueError, match=r"the loss is nan at step 4, .*: lower the learning rate; .*last holds"):
        keeper.on_epoch_end(0, {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_own_datasets_mixed_precision_accumulation_and_patience_work_together(tmp_path):
    pairs = [picture_and_mask(i) for i in range(4)]
    source = tf.data.Dataset.from_tensor_slices(tuple(np.stack(x) for x in zip(*pairs, strict=True)))
    recipe = dataclasses.replace(
        RECIPE,
        steps=50,
        learning_rate=1e-12,  # so that no score is better than the first
        accumulation_steps=2,
        ema_momentum=None,
        precision="mixed_bfloat16",
        loss={"cross_entropy": 1.0},
        class_weight_power=0.0,
        evaluate_every=2,
        patience=2,
    )
    network = tiny_network()
    best = train(network, source, tmp_path / "run", recipe, validation=source.take(2), verbose=0)
    assert best["step"] == 2
    assert [row["step"] for row in read_log(tmp_path / "run")] == ["2", "4", "6"]
    with pytest.raises(ValueError, match="expected a split to validate on"):
        train(network, source, tmp_path / "run2", recipe, verbose=0)


def test_a_classifier_trains_with_mixing_and_saves_a_processor_of_its_size(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for i, name in enumerate(("dark", "light")):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for k in range(4):
                pixels = rng.integers(0, 90, (40, 44, 3)) + 150 * i
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"data/{split}/{name}/{k}.png")
    config = SegformerConfig.from_dict(tiny_network().config.to_dict(), id2label={0: "dark", 1: "light"})
    classifier = TFSegformerForImageClassification(config, data_format="channels_last")
    recipe = dataclasses.replace(
        RECIPES["classifier"],
        epochs=4,
        batch_size=4,
        learning_rate=2e-2,
        warmup_steps=1,
        drop_path_rate=0.0,
        rand_augment=False,
        augmentation=Augmentation((32, 32), (1.0, 2.0), photometric=False),
    )
    best = train(classifier, tmp_path / "data", tmp_path / "run", recipe, verbose=0)
    assert best["accuracy"] == 1.0
    assert SegformerImageProcessor.from_pretrained(tmp_path / "run/best").size == {"height": 32, "width": 32}


def test_plain_fit_takes_the_room_s_data_and_metric(data, network):
    network.compile(keras.optimizers.Adam(1e-2), metrics=[MeanIoU(3)], jit_compile=False)
    batches = training_data(read_split(data), RECIPE.augmentation, 2)
    history = network.fit(batches, steps_per_epoch=3, epochs=2, shuffle=False, verbose=0).history
    assert all(math.isfinite(value) for value in history["loss"]) and history["mIoU"][-1] > 0
