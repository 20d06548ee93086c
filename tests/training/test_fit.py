import csv
import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_data import CLASSES, own_dataset, picture_and_mask, tiny_network

from segformer_tf import (
    SegformerConfig,
    SegformerImageProcessor,
    SegmentationPipeline,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
)
from segformer_tf.data.pictures import ids_of
from segformer_tf.data.splits import Split
from segformer_tf.images import palette_for
from segformer_tf.models.private import parts_of, rate_of
from segformer_tf.training import (
    RECIPES,
    Augmentation,
    MeanIoU,
    evaluate,
    inspect,
    read_split,
    state,
    train,
    training_data,
)
from segformer_tf.training.console import Console
from segformer_tf.training.fit import _inspected
from segformer_tf.training.keeper import Keeper, Tools
from segformer_tf.training.learner import check_kind, left_out, make_loss, suited
from segformer_tf.training.losses import WeightedClasses
from segformer_tf.training.plan import Plan, expected_memory, make_plan, tell_start
from segformer_tf.training.scoring.calibration import write_temperature
from segformer_tf.training.workers import Workers

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


def saved_step(run):
    with np.load(run / "last" / state.STATE) as arrays:
        return json.loads(str(arrays["about"]))["step"]


@pytest.fixture(scope="module")
def watched_run(tmp_path_factory):
    """A run from beginning to end: its data, model and score, the models it made, and what its class was before."""
    from small_data import CLASSES, write_split

    root = tmp_path_factory.mktemp("whole")
    write_split(root / "data", "train", 7)
    write_split(root / "data", "val", 3, 100)
    (root / "data/classes.json").write_text(str(CLASSES).replace("'", '"'))
    network, made = tiny_network(), []
    kind, init = type(network), type(network).__init__

    def counted(self, *args, **keywords):
        made.append(self)
        init(self, *args, **keywords)

    before = dict(vars(kind))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "__init__", counted)
        best = train(network, root / "data", root / "run", RECIPE, seed=3, tensorboard=True, verbose=0)
    return root, network, best, made, before


@pytest.fixture(scope="module")
def whole_run(watched_run):
    return watched_run[:3]


def test_training_holds_one_model_beside_the_one_it_is_given(watched_run):
    _, network, _, made, before = watched_run
    assert len(made) == 1 and made[0].dtype_policy.name == "float32"
    assert "_task_loss" not in vars(made[0]) and dict(vars(type(network))) == before
    assert made[0].compiled and not network.compiled


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
    processor = SegformerImageProcessor.from_pretrained(root / "run/best")
    assert processor.do_resize and processor.size == {"height": 48, "width": 72}  # the validation pictures' own


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from small_data import tiny_network
from test_fit import RECIPE
from segformer_tf.training import fit
from segformer_tf.training.keeper import Keeper
step_made = Keeper.on_train_batch_end
def killed(self, batch, logs=None):
    step_made(self, batch, logs)
    if self.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
Keeper.on_train_batch_end = killed
fit.train(tiny_network(), sys.argv[2], sys.argv[3], RECIPE, seed=3, verbose=0)
"""


@pytest.mark.long
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
    again, report = tiny_network(), root / "run/report.html"
    before = report.stat().st_mtime_ns
    assert train(again, root / "data", root / "run", RECIPE, seed=3, resume=True, verbose=0) == best
    assert report.stat().st_mtime_ns == before
    report.unlink()  # as where a run was killed while it wrote it
    train(again, root / "data", root / "run", RECIPE, seed=3, resume=True, verbose=0)
    assert "mIoU" in report.read_text("utf-8")


def test_resuming_a_finished_run_keeps_what_was_fitted_to_its_weights(whole_run, tmp_path):
    root, *_ = whole_run
    shutil.copytree(root / "run", tmp_path / "run")
    for name in ("best", "last"):
        write_temperature(tmp_path / "run" / name / "config.json", 1.7)
    train(tiny_network(), root / "data", tmp_path / "run", RECIPE, seed=3, resume=True, verbose=0)
    for name in ("best", "last"):
        assert json.loads((tmp_path / "run" / name / "config.json").read_text())["calibration_temperature"] == 1.7


@pytest.mark.long
def test_a_finished_run_is_lengthened(whole_run, tmp_path):
    root, network, _ = whole_run
    shutil.copytree(root / "run", tmp_path / "run")
    longer = tiny_network()
    recipe = dataclasses.replace(RECIPE, steps=12)
    train(longer, root / "data", tmp_path / "run", recipe, seed=3, resume=True, verbose=0)
    assert [row["step"] for row in read_log(tmp_path / "run")] == ["4", "8", "12"]
    assert any(not np.array_equal(x, y) for x, y in zip(weights(longer), weights(network), strict=True))


def test_a_run_that_has_made_more_steps_than_are_asked_for_says_so(whole_run, tmp_path, capsys):
    root, *_ = whole_run
    shutil.copytree(root / "run", tmp_path / "run")
    train(tiny_network(), root / "data", tmp_path / "run", dataclasses.replace(RECIPE, steps=4), seed=3, resume=True)
    assert "had made 8 steps before, more than the 4 asked for" in " ".join(capsys.readouterr().err.split())
    assert [row["step"] for row in read_log(tmp_path / "run")] == ["4", "8"]


INTERRUPTED = (
    KILLED.replace("self.step == 5", "self.step == 4").replace(
        "fit.train(", "try:\n  with stoppable():\n    fit.train("
    )
    + """
except KeyboardInterrupt as stop:
    print(stop)
"""
)


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_ctrl_c_saves_at_any_step_and_the_run_goes_on_to_the_same_weights(whole_run, tmp_path, name):
    """SIGTERM too, as the command line has it."""
    root, network, _ = whole_run
    code = "from segformer_tf.cli.stopping import stoppable" + INTERRUPTED.replace("SIGKILL", name)
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(root / "data"), str(tmp_path / "run")]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    stopped = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert "stopped at step 5 of 8" in stopped.stdout, stopped.stderr[-2000:]
    assert "Best mIoU" in (tmp_path / "run/report.md").read_text()
    assert saved_step(tmp_path / "run") == 5
    resumed = tiny_network()
    train(resumed, root / "data", tmp_path / "run", RECIPE, seed=3, resume=True, verbose=0)
    for found, expected in zip(weights(resumed), weights(network), strict=True):
        np.testing.assert_array_equal(found, expected)
    for expected, found in zip(read_log(root / "run"), read_log(tmp_path / "run"), strict=True):
        assert float(found["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-6)


@pytest.mark.parametrize("answered", [True, False])
def test_sigterm_lets_the_step_end_where_python_answers_it(answered):
    keeper, asked = Keeper.__new__(Keeper), []
    keeper.workers, keeper.interrupted = Workers(), False

    def handler(number, frame):
        asked.append(number)
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGTERM, handler if answered else signal.SIG_DFL)
    try:
        with keeper.stoppable():
            if answered:
                signal.raise_signal(signal.SIGTERM)
                assert keeper.interrupted and asked == [signal.SIGTERM]
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGTERM)
            else:
                assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is (handler if answered else signal.SIG_DFL)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, usual)


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


def test_other_pictures_on_resume_are_told_and_nothing_is_written(whole_run, tmp_path):
    root = whole_run[0]
    shutil.copytree(root / "data", tmp_path / "data")
    for kind, suffix in (("images", "jpg"), ("annotations", "png")):
        (tmp_path / f"data/{kind}/train/p6.{suffix}").unlink()
    before = {file: (root / "run" / file).read_bytes() for file in ("recipe.json", "data.json")}
    longer = dataclasses.replace(RECIPE, steps=12)
    with pytest.raises(ValueError, match=r"the train pictures are not those that .*run was started with \(6, not 7\)"):
        train(tiny_network(), tmp_path / "data", root / "run", longer, seed=3, resume=True, verbose=0)
    shorter = dataclasses.replace(RECIPE, steps=3)  # nothing is to be done
    train(tiny_network(), root / "data", root / "run", shorter, seed=3, resume=True, verbose=0)
    assert before == {file: (root / "run" / file).read_bytes() for file in before}


def test_a_run_that_failed_before_its_first_checkpoint_is_started_again(data, network, tmp_path):
    fast = dataclasses.replace(RECIPE, steps=2, learning_rate=1e38, clip_norm=None, warmup_steps=0, ema_momentum=None)
    fast = dataclasses.replace(fast, evaluate_every=2, save_every=2, optimizer="adamw")
    with pytest.raises(state.NotFinite):
        train(network, data, tmp_path / "run", fast, verbose=0)
    right = dataclasses.replace(fast, steps=1, learning_rate=1e-4)
    assert train(tiny_network(), data, tmp_path / "run", right, verbose=0)["step"] == 1
    assert state.read_recipe(tmp_path / "run") == (right, 0)


def test_a_run_that_exists_is_not_overwritten(whole_run):
    root = whole_run[0]
    with pytest.raises(FileExistsError, match=r"has a run already, expected none: go on with resume=True"):
        train(tiny_network(), root / "data", root / "run", RECIPE, verbose=0)


def test_another_model_on_resume_is_told(whole_run):
    root = whole_run[0]
    other = tiny_network(mlp_ratios=[3, 3])
    with pytest.raises(ValueError, match="is the state of another model"):
        train(other, root / "data", root / "run", RECIPE, seed=3, resume=True, verbose=0)


def test_another_backend_of_keras_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"Keras runs on jax, expected tensorflow, .* the model's own fit\.$"):
        train(None, tmp_path, tmp_path / "run")


def test_a_loss_that_is_no_number_stops_the_run_and_saves_nothing(network, tmp_path):
    plan = Plan(RECIPE, 8, 4, 2, 7, 3, (48, 72))
    network.compile(RECIPE.make_optimizer(8))
    keeper = Keeper(tmp_path, network, None, plan, {**state.nothing(), "step": 3}, SegformerImageProcessor())
    keeper.set_model(network)
    with pytest.raises(
        ValueError,
        match=r"the loss is nan at step 4, expected a number: lower .*; no weights were saved",
    ):
        keeper.on_train_batch_end(0, {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / state.STATE).touch()
    with pytest.raises(ValueError, match=r"the loss is inf .*: lower the learning rate\.$"):
        keeper._check(float("inf"))
    (tmp_path / "last" / "config.json").touch()
    with pytest.raises(ValueError, match=r"; .*last has the weights of the last evaluation, which another run can"):
        keeper._check(float("inf"))


def test_a_run_that_is_stopped_saves_the_step_that_it_has_made(network, tmp_path):
    network.compile(RECIPE.make_optimizer(8))
    plan = Plan(RECIPE, 8, 4, 2, 7, 3, (48, 72))
    keeper = Keeper(tmp_path, network, None, plan, {**state.nothing(), "step": 4}, SegformerImageProcessor())
    keeper.set_model(network)
    keeper.interrupted = True
    keeper.on_train_batch_end(0, {"loss": 1.0})
    assert network.stop_training and saved_step(tmp_path) == 5


def test_layers_that_are_frozen_stay_as_they_are(data, network, tmp_path, capsys):
    network.get_layer("block_0_0").trainable = network.decode_head.batch_norm.trainable = False
    before = weights(network)
    train(network, data, tmp_path / "run", dataclasses.replace(RECIPE, steps=2, evaluate_every=2))
    changed = {w.path for old, w in zip(before, network.weights, strict=True) if not np.array_equal(old, w.numpy())}
    frozen = ("block_0_0/", "decode_head/batch_norm/")
    assert changed and not [path for path in changed if path.startswith(frozen)]
    assert any(path.startswith("patch_embeddings_0/") for path in changed)
    assert "some layers frozen" in capsys.readouterr().err


def test_a_model_that_no_copy_can_learn_for_is_refused_at_the_start(network, tmp_path):
    def refused(text, recipe=RECIPE):
        with pytest.raises(ValueError, match=text):
            train(network, tmp_path / "none", tmp_path / "run", recipe)

    network.decode_head.trainable = False
    refused("frozen beside the recipe's freeze, expected some", dataclasses.replace(RECIPE, freeze="encoder"))
    network.trainable = False
    refused("all layers of the model are frozen, expected some that learn")
    network.trainable = True
    network.decode_head.classifier.enable_lora(2)
    refused("has LoRA enabled, expected plain weights, .* the model's own fit, or save_pretrained")
    network = tiny_network()
    next(part for part in parts_of(network) if isinstance(part, keras.layers.Dense)).quantize("int8", type_check=False)
    refused(r"is quantized \(int8\), expected floats")


def test_a_crop_too_small_for_the_models_reduction_is_refused_before_the_run(data, network, tmp_path):
    config = SegformerConfig.from_dict(network.config.to_dict(), sr_ratios=[8] * len(network.config.depths))
    model = TFSegformerForSemanticSegmentation(config)
    with pytest.raises(ValueError, match=r"augmentation\.crop is \(32, 48\), expected at least \d+ a side"):
        train(model, data, tmp_path / "run", RECIPE, verbose=0)
    assert not (tmp_path / "run").exists()


def test_one_logit_is_not_trained_where_the_model_has_classes(data, network, tmp_path):
    with pytest.raises(ValueError, match=r"one_logit is True, expected False for a model of 3 classes: give --binary"):
        train(network, data, tmp_path / "run", dataclasses.replace(RECIPE, one_logit=True), verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_model_of_one_class_learns_by_its_own_loss_which_run_and_report_say(data, tmp_path, capsys):
    (data / "classes.json").write_text(json.dumps(["rest", "box"]))
    for mask in data.glob("annotations/*/*.png"):
        ids = np.asarray(Image.open(mask))
        Image.fromarray(np.where(ids == 2, 0, ids).astype(np.uint8)).save(mask)
    network, run = tiny_network(id2label={0: "LABEL_0"}), tmp_path / "run"
    recipe = dataclasses.replace(RECIPE, one_logit=True, steps=2, evaluate_every=2, class_weight_power=1.0)
    train(network, data, run, recipe, verbose=1)
    assert f"The recipe's loss {recipe.loss} and class_weight_power 1.0 are left out" in capsys.readouterr().err
    kept = json.loads((run / "recipe.json").read_text())
    assert (kept["loss"], kept["class_weight_power"]) == ({"cross_entropy": 1.0}, 0)
    assert network.config.id2label == {0: "box"}
    train(network, data, run, dataclasses.replace(recipe, steps=4), resume=True, verbose=0)


def test_a_classifier_learns_by_its_own_loss():
    pictures, recipe = Split("train", [Path("a.png")], [0]), RECIPES["from-scratch"]
    assert suited(recipe, SegformerConfig(num_labels=2), pictures).loss == {"cross_entropy": 1.0}
    assert suited(recipe, SegformerConfig(num_labels=2), own_dataset()) is recipe


def test_a_classifier_s_classes_are_weighed_by_their_pictures():
    pictures, config = Split("train", [Path("a.png")], [0]), SegformerConfig(num_labels=2)
    asked = dataclasses.replace(RECIPES["classify"], class_weight_power=1.0)
    recipe = suited(asked, config, pictures)
    assert left_out(asked, recipe) == "" and make_loss(recipe, pictures, [9, 3], config).weights == [1.0, 3.0]
    assert isinstance(
        make_loss(dataclasses.replace(recipe, mixup_alpha=0.8), pictures, [9, 3], config), WeightedClasses
    )
    assert make_loss(RECIPES["classify"], pictures, [9, 3], config) is None
    dice = dataclasses.replace(asked, loss={"dice": 1.0})
    assert left_out(dice, suited(dice, config, pictures)).startswith("The recipe's loss {'dice': 1.0} is left out: a")


def test_a_model_without_names_gets_the_data_sets(data, tmp_path):
    def named(names, run):
        network = tiny_network(id2label=names)
        train(network, data, run, dataclasses.replace(RECIPE, steps=2, evaluate_every=2), verbose=0)
        return json.loads((run / "best/config.json").read_text())

    given = named({i: f"LABEL_{i}" for i in range(3)}, tmp_path / "run")
    assert given["id2label"] == {"0": "wall", "1": "box", "2": "leaf"}
    assert given["class_colors"].keys() == {"wall", "box", "leaf"}
    assert "| wall |" in (tmp_path / "run/report.md").read_text()
    own = {0: "Wall", 1: "BOX", 2: "leaf"}
    assert named(own, tmp_path / "other")["id2label"] == {str(i): name for i, name in own.items()}
    (data / "classes.json").unlink()  # "class 0" would be no name
    assert named({i: f"LABEL_{i}" for i in range(3)}, tmp_path / "third")["id2label"]["0"] == "LABEL_0"


def test_a_run_shows_the_classes_in_the_data_sets_colours_and_its_label_png_is_read_as_written(data, network, tmp_path):
    rows = [{**row, "color": palette_for(3)[row["id"] - 1].tolist()} for row in CLASSES]  # others' without a word
    (data / "classes.json").write_text(json.dumps(rows))
    train(network, data, tmp_path / "run", dataclasses.replace(RECIPE, steps=2, evaluate_every=2), verbose=0)
    segment = SegmentationPipeline.from_pretrained(tmp_path / "run")
    assert segment.palette.tolist() == [row["color"] for row in rows]
    drawn = np.asarray(Image.open(tmp_path / "run/picture_worst_1.png"))
    assert {tuple(row["color"]) for row in rows} <= set(map(tuple, drawn.reshape(-1, 3).tolist()))
    evaluate(segment.model, read_split(data, "val"), dump=tmp_path / "dump")
    palette = Image.open(tmp_path / "dump/p0.png").getpalette()
    assert palette is not None and palette[:9] == segment.palette.ravel().tolist()
    mask = data / "annotations/val/p0.png"
    result = dataclasses.replace(segment(data / "images/val/p0.jpg"), labels=picture_and_mask(9)[1] % 255)
    result.save(tmp_path / "out", kinds=("labels",))
    shutil.copy(tmp_path / "out/p0_labels.png", mask)
    np.testing.assert_array_equal(ids_of(read_split(data, "val"), 0), result.labels)


def test_averaged_weights_are_saved_with_their_own_statistics(data, network, tmp_path):
    """The running statistics follow other weights: far from the saved ones where the rate is high."""
    network.config.calibration_temperature = 1.4
    assert "calibration_temperature" in network.config.to_dict()
    recipe = dataclasses.replace(
        RECIPE, steps=8, learning_rate=0.3, ema_momentum=0.99, evaluate_every=8, save_every=None
    )
    train(network, data, tmp_path / "run", recipe, verbose=0)
    saved = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path / "run/best", data_format="channels_last")
    assert "calibration_temperature" not in saved.config.to_dict()  # it was of the weights before
    norm = saved.decode_head.batch_norm
    kept = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    pixel_values = np.concatenate([x for x, _ in training_data(read_split(data), recipe.augmentation, 2).take(16)])
    maps = saved(pixel_values, output_hidden_states=True).hidden_states
    norm.momentum = 0.0
    saved.decode_head(list(maps), training=True)
    off = np.abs(norm.moving_mean.numpy() - kept[0]) / np.sqrt(norm.moving_variance.numpy())
    assert off.max() < 1e-3
    np.testing.assert_allclose(norm.moving_variance.numpy(), kept[1], rtol=1e-2)
    with np.load(tmp_path / "run/last" / state.STATE) as arrays:
        running = [arrays[name] for name in arrays.files if arrays[name].shape == (16,)]
    assert all(np.abs(array - kept[0]).max() > 0.1 for array in running)


def test_the_warm_up_is_shortened_and_evaluation_takes_a_tenth(data):
    recipe = dataclasses.replace(RECIPE, steps=100, warmup_steps=1500, evaluate_every=None, save_every=None)
    plan = make_plan(recipe, read_split(data), read_split(data, "val"))
    assert plan.recipe.warmup_steps == 10 and plan.recipe.learning_rate == recipe.learning_rate
    # 3 pictures of 48 x 72 at half a training step's cost against batches of 2 crops of 32 x 48
    assert plan.evaluate_every == math.ceil(10 * 0.5 * 3 * 48 * 72 / (2 * 32 * 48)) == 17
    assert "the warm-up of 1500 steps is shortened to 10" in plan.notes[0]
    plan = make_plan(dataclasses.replace(recipe, save_every=10), read_split(data), read_split(data, "val"))
    assert (plan.save_every, plan.evaluate_every) == (10, 20) and "evaluation every 20 steps" in plan.notes[1]


def test_a_long_run_is_evaluated_fifty_times_and_saved_every_200_steps_at_the_latest(data):
    recipe = dataclasses.replace(RECIPE, steps=22_500, evaluate_every=None, save_every=None)
    plan = make_plan(recipe, read_split(data), read_split(data, "val"))
    assert (plan.evaluate_every, plan.save_every) == (450, 150)


def test_a_data_set_without_pictures_is_told():
    none = own_dataset().take(0)
    with pytest.raises(ValueError, match="the training data set has no pictures, expected some"):
        make_plan(RECIPE, none, own_dataset())
    with pytest.raises(ValueError, match="the validation data set has no pictures, expected some"):
        make_plan(RECIPE, own_dataset(), own_dataset().filter(lambda image, mask: False))  # of unknown length


def test_a_disk_that_is_full_leaves_no_half_model(network, tmp_path, monkeypatch):
    keeper = Keeper(
        tmp_path, network, None, Plan(RECIPE, 8, 4, 2, 7, 3, (48, 72)), state.nothing(), SegformerImageProcessor()
    )

    def full(directory):
        raise OSError("Cannot write: make room")

    monkeypatch.setattr(network, "save_pretrained", full)
    with pytest.raises(OSError, match="make room"):
        keeper.publish("best")
    assert not (tmp_path / "best").exists()


def test_the_patience_is_as_long_as_the_interval_of_evaluation(data):
    plan = make_plan(dataclasses.replace(RECIPE, patience=3), read_split(data), read_split(data, "val"))
    assert plan.recipe.patience == 4 and "the patience of 3 steps is lengthened to 4" in plan.notes[-1]
    plan = make_plan(dataclasses.replace(RECIPE, patience=5), read_split(data), read_split(data, "val"))
    assert plan.recipe.patience == 5 and not plan.notes


def test_a_run_tells_where_batches_are_no_steps_and_draws_its_first_batch_once(data, network, tmp_path, capsys):
    recipe = dataclasses.replace(RECIPE, steps=40, accumulation_steps=3, patience=2, evaluate_every=None)
    train_split = read_split(data)
    plan = make_plan(recipe, train_split, read_split(data, "val"))
    batches = training_data(train_split, recipe.augmentation, 2, 0)
    tell_start(Console(), tmp_path, network, plan, 0, batches, None)
    told = capsys.readouterr().err
    assert "steps       40 (120 batches of 2, 3 to a step), 34.3 times every" in told
    every = plan.evaluate_every
    assert f"every {every} batches; checkpoint every 2; ends after {every} batches without a better score" in told
    assert "the bar, the log and every `step` below count batches" in told
    assert f"evaluation every {every} batches, so" in told and "the patience of 2 batches is lengthened to" in told
    drawn = (tmp_path / "train_batch.png").read_bytes()
    tell_start(Console(), tmp_path, network, plan, 6, batches.skip(6), None)
    assert (tmp_path / "train_batch.png").read_bytes() == drawn
    (tmp_path / "train_batch.png").unlink()
    tell_start(Console(), tmp_path, network, plan, 6, batches.skip(6), None)
    assert (tmp_path / "train_batch.png").read_bytes() != drawn


def test_patience_is_judged_at_evaluations_alone_and_its_end_is_told(network, tmp_path, capsys):
    plan = Plan(dataclasses.replace(RECIPE, patience=5), 40, 4, 2, 7, 3, (48, 72))
    about = {**state.nothing(), "step": 11, "rows": [{"step": 4, "score": 0.5}, {"step": 8, "score": 0.4}]}
    keeper = Keeper(tmp_path, network, None, plan, about, SegformerImageProcessor(), Tools(console=Console()))
    assert not keeper.done()  # 7 steps after the best, but nobody has looked since step 8
    keeper.tell_end()
    assert capsys.readouterr().err == ""
    keeper.step = 12
    keeper.rows.append({"step": 12, "score": 0.5})
    assert keeper.done()
    keeper.tell_end()
    told = "ended at step 12 of 40: the score has not risen since step 4, and patience is 5 steps"
    assert told in capsys.readouterr().err


def test_the_memory_expected_grows_by_what_a_picture_and_a_class_take(network):
    pixels = 2 * 32 * 48
    maps = 8 / 16 + 16 / 64  # values a pixel in the two blocks' maps
    two, four = (expected_memory(network, dataclasses.replace(RECIPE, batch_size=n)) for n in (2, 4))
    assert four - two == pytest.approx(pixels * (27 * maps + 2 * 3))
    assert 1.45e9 < two < 1.46e9  # TensorFlow itself, the weights of a small model


@pytest.mark.long
def test_own_datasets_mixed_precision_accumulation_and_patience_work_together(tmp_path):
    pairs = [picture_and_mask(i) for i in range(4)]
    source = tf.data.Dataset.from_tensor_slices(tuple(np.stack(x) for x in zip(*pairs, strict=True)))
    recipe = dataclasses.replace(
        RECIPE,
        steps=50,
        learning_rate=1e-12,  # so that scores change with BatchNorm's statistics alone, and soon no more
        accumulation_steps=2,
        ema_momentum=None,
        precision="mixed_bfloat16",
        loss={"cross_entropy": 1.0},
        class_weight_power=0.0,
        evaluate_every=2,
        save_every=None,
        patience=4,
    )
    network = tiny_network()
    best = train(network, source, tmp_path / "run", recipe, validation=source.take(2), verbose=0)
    assert best["step"] < 50 - 4
    assert [int(row["step"]) for row in read_log(tmp_path / "run")] == list(range(2, best["step"] + 4 + 1, 2))
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
        class_weight_power=0.5,
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
    report = (tmp_path / "run/report.md").read_text()
    assert "| dark | 4 | 1.0000 | 1.0000 |" in report and "None: every picture was given its class." in report
    assert "class weights" not in report


def test_a_model_of_another_kind_than_the_data_is_told_before_the_run_begins(data, network, tmp_path):
    pictures = Split("train", [Path("a.png")], [0])
    check_kind(network, own_dataset())
    own = TFSegformerForImageClassification(SegformerConfig.from_dict(network.config.to_dict()))
    check_kind(own, pictures)
    with pytest.raises(ValueError, match="is a TFSegformerForSemanticSegmentation, and the data has a class for each"):
        check_kind(network, pictures)
    with pytest.raises(ValueError, match="is a TFSegformerForImageClassification, and the data has masks"):
        train(own, data, tmp_path / "run", RECIPE, verbose=0)
    for change, told in (
        ({"problem_type": "multi_label_classification"}, "problem_type 'multi_label_classification', expected two"),
        ({"id2label": {0: "a"}}, "num_labels 1 and problem_type"),
    ):
        odd = TFSegformerForImageClassification(SegformerConfig.from_dict(network.config.to_dict(), **change))
        with pytest.raises(ValueError, match=told):
            check_kind(odd, pictures)
    assert not (tmp_path / "run").exists()


def test_plain_fit_takes_the_room_s_data_and_metric(data, network):
    network.compile(keras.optimizers.SGD(1e-2), metrics=[MeanIoU(3)], jit_compile=False)
    batches = training_data(read_split(data), RECIPE.augmentation, 2)
    history = network.fit(batches, steps_per_epoch=3, epochs=2, shuffle=False, verbose=0).history
    assert all(math.isfinite(value) for value in history["loss"]) and history["mIoU"][-1] > 0


def test_a_validation_set_beside_an_inspection_is_the_one_that_validates(data):
    network, other = tiny_network(), own_dataset()
    found = inspect(data, network.config)
    for validation, expected in ((other, other), (found, found.splits["val"])):
        sources = {"train": found, "val": validation}
        assert _inspected(sources, network.config, "stop")[:2] == (found.splits["train"], expected)


def test_every_failure_halves_the_rate_once_more_also_after_a_resume(data, network, tmp_path, monkeypatch):
    halved = []

    def fit(self, *given, callbacks, **more):
        callbacks[0].set_model(self)
        callbacks[0]._save(1.0)
        halved.append((callbacks[0].slower, rate_of(self.optimizer).learning_rate / RECIPE.learning_rate))
        raise state.NotFinite("pretended.")

    monkeypatch.setattr(type(network), "fit", fit)
    for retries, resume in ((1, False), (2, True)):
        recipe = dataclasses.replace(RECIPE, retries=retries)
        with pytest.raises(state.NotFinite):
            train(network, data, tmp_path / "run", recipe, resume=resume, verbose=0)
    assert halved == [(0, 1.0), (1, 0.5), (1, 0.5), (2, 0.25), (3, 0.125)]


def test_a_run_in_float16_that_goes_on_ends_with_the_same_weights(data, tmp_path, monkeypatch):
    recipe = dataclasses.replace(RECIPE, steps=4, evaluate_every=4, precision="mixed_float16")
    networks = [tiny_network(), tiny_network()]
    train(networks[0], data, tmp_path / "whole", recipe, verbose=0)
    made = Keeper.on_train_batch_end

    def stop(self, batch, logs=None):
        made(self, batch, logs)
        if self.step == 2:
            raise OSError("pretended")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="pretended"):
        patch.setattr(Keeper, "on_train_batch_end", stop)
        train(networks[1], data, tmp_path / "run", recipe, verbose=0)
    assert state.saved(tmp_path / "run")
    train(networks[1], data, tmp_path / "run", recipe, resume=True, verbose=0)
    for found, expected in zip(*map(weights, networks), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_run_that_is_refused_leaves_the_model_as_it_was(data, network, tmp_path):
    network.config.calibration_temperature = 1.7
    (tmp_path / "run/best").mkdir(parents=True)
    (tmp_path / "run/best/config.json").touch()
    with pytest.raises(FileExistsError, match="has a run already"):
        train(network, data, tmp_path / "run", RECIPE, verbose=0)
    with pytest.raises(ValueError, match="the inspection has the splits train, expected 'val' too: inspect the data"):
        train(network, inspect(data, splits=("train",)), tmp_path / "other", RECIPE, verbose=0)
    assert network.config.calibration_temperature == 1.7
