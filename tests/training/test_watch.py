"""Values that are no numbers are noticed in the step that made them, named, and saved nowhere."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from small_data import tiny_network

from segformer_tf import TFSegformerForSemanticSegmentation
from segformer_tf.checkpoints import load, save
from segformer_tf.export.export import export
from segformer_tf.training import RECIPES, Augmentation, state, train
from segformer_tf.training.keeper import Keeper
from segformer_tf.training.statistics import Statistics
from segformer_tf.training.watch import Watch

RECIPE = dataclasses.replace(
    RECIPES["from-scratch"],
    steps=8,
    batch_size=2,
    learning_rate=1e-3,
    warmup_steps=0,
    evaluate_every=4,
    save_every=2,
    ema_momentum=None,
    precision="float32",
    augmentation=Augmentation(crop=(32, 48)),
)


def finite(directory):
    return all(np.isfinite(array).all() for array in load(directory).variables.values())


@pytest.fixture
def poisoned(monkeypatch):
    """The first kernel becomes NaN once, after step 6; the head's ReLU hides it from the loss."""
    made, left = Keeper.on_train_batch_end, [1]

    def poison(self, batch, logs=None):
        made(self, batch, logs)
        if self.step == 6 and left:
            left.pop()
            self.model.trainable_weights[0].assign(np.full(self.model.trainable_weights[0].shape, np.nan))

    monkeypatch.setattr(Keeper, "on_train_batch_end", poison)


def test_a_run_whose_weights_are_no_numbers_names_step_and_pictures_and_keeps_the_good_ones(data, tmp_path, poisoned):
    told = (
        r"\d+ of \d+ weights are no numbers since step 7, the first patch_embeddings_0/proj/kernel; that step's "
        r"pictures were .*p\d\.jpg, .*p\d\.jpg: lower the learning rate; .*last has the weights of the last evaluation"
    )
    with pytest.raises(state.NotFinite, match=told):
        train(tiny_network(), data, tmp_path / "run", RECIPE, seed=3, verbose=0)
    assert finite(tmp_path / "run/best") and finite(tmp_path / "run/last")
    with np.load(tmp_path / "run/last" / state.STATE) as arrays:
        assert json.loads(str(arrays["about"]))["step"] == 6
        assert all(np.isfinite(arrays[name]).all() for name in arrays.files if arrays[name].dtype.kind == "f")


@pytest.mark.long
def test_a_run_goes_back_and_on_with_half_the_rate_if_asked(data, tmp_path, poisoned, capsys):
    recipe = dataclasses.replace(RECIPE, retries=1)
    best = train(tiny_network(), data, tmp_path / "run", recipe, seed=3)
    assert "no numbers since step 7" in capsys.readouterr().err and finite(tmp_path / "run/last")
    with np.load(tmp_path / "run/last" / state.STATE) as arrays:
        about = json.loads(str(arrays["about"]))
    assert about["step"] == 8 and about["slower"] == 1 and best["mIoU"] > 0


def test_an_evaluation_s_values_that_are_no_numbers_are_not_saved_and_the_run_goes_back(
    data, tmp_path, monkeypatch, capsys
):
    """Huge weights are finite, and give statistics that are not."""
    take, taken = Statistics.take, []

    def overflow(self):
        taken.append(take(self))
        if len(taken) == 1:
            self.norm.moving_mean.assign(np.full(self.norm.moving_mean.shape, np.inf))
        return taken[-1]

    monkeypatch.setattr(Statistics, "take", overflow)
    recipe = dataclasses.replace(RECIPE, steps=2, evaluate_every=2, save_every=1, ema_momentum=0.9, retries=1)
    best = train(tiny_network(), data, tmp_path / "run", recipe)
    assert "moving_mean has values that are no numbers in the evaluation of step 2" in capsys.readouterr().err
    assert best["step"] == 2 and finite(tmp_path / "run/last")


def test_a_skipped_step_of_mixed_float16_leaves_batchnorm_s_statistics_finite(data):
    network = tiny_network("mixed_float16")
    network.compile(keras.optimizers.AdamW(1e-4), jit_compile=False)
    watch = Watch(network, 0, None, 2, 0)
    pixels = np.random.default_rng(0).normal(size=(2, 32, 48, 3)).astype(np.float32)
    labels = np.zeros((2, 32, 48), np.int32)
    pixels[0, 5, 5] = np.nan
    network.train_on_batch(pixels, labels)
    assert all(np.isfinite(weight.numpy()).all() for weight in network.weights) and watch.step == -1


def test_weights_that_are_no_numbers_are_named_on_load_and_refused_by_save_and_export(tmp_path):
    network = tiny_network()
    network.save_pretrained(tmp_path / "model")
    found = load(tmp_path / "model")
    arrays = {path: array.copy() for path, array in found.variables.items()}
    arrays["block_0_0/mlp/dense1/bias"][0] = np.inf
    with pytest.raises(ValueError, match=r"in 1 of its \d+ variables, the first block_0_0/mlp/dense1/bias"):
        save(tmp_path / "other", found.config, arrays)
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tmp_path / "model/model.safetensors")
    name = "segformer.encoder.block.0.0.mlp.dense1.bias"
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_file(tensors, tmp_path / "model/model.safetensors", {"format": "pt"})
    with pytest.warns(UserWarning, match=rf"no numbers \(NaN or infinite\) in 1 of its tensors, the first {name}"):
        bad = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path / "model", data_format="channels_last")
    with pytest.raises(ValueError, match="The model has values that are no numbers"):
        export(bad, tmp_path / "out")
    assert not (tmp_path / "out").exists()
