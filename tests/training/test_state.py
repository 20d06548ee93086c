import dataclasses
import errno
import json

import keras
import numpy as np
import pytest
from reference import ROOT

from segformer_tf.training import state


@pytest.fixture
def model():
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    made.compile(keras.optimizers.AdamW(0.1), "mse", jit_compile=False)
    made.optimizer.build(made.trainable_variables)
    return made


def begun(run, recipe, data=None):
    """A run of which a checkpoint was saved."""
    state.begin(run, recipe, 5, data or {})
    (run / "last").mkdir()
    (run / "last" / state.STATE).touch()


def test_every_variable_comes_back_random_state_and_optimizer_included(model, tmp_path):
    model.train_on_batch(np.ones((4, 3)), np.zeros((4, 2)))
    state.save(tmp_path, model, {"step": 7, "rows": [{"a": 0.5}]})
    variables = [*model.variables, *model.optimizer.variables]
    expected = [v.numpy() for v in variables]
    model.train_on_batch(np.ones((4, 3)), np.zeros((4, 2)))
    changed = [v.path for v, old in zip(variables, expected, strict=True) if not np.array_equal(v.numpy(), old)]
    assert any("seed" in path for path in changed) and any("iteration" in path for path in changed)
    assert state.restore(tmp_path, model) == {"step": 7, "rows": [{"a": 0.5}]}
    for variable, old in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


def test_a_full_disk_leaves_the_checkpoint_before_it_whole(model, tmp_path, monkeypatch):
    state.save(tmp_path, model, {"step": 1})

    def full(file, **arrays):
        file.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match=r"Cannot write .*training_state.npz \(No space left on device\).*make room"):
        state.save(tmp_path, model, {"step": 2})
    assert state.restore(tmp_path, model) == {"step": 1}
    assert [file.name for file in (tmp_path / "last").iterdir()] == [state.STATE]


def test_a_damaged_state_is_named(model, tmp_path):
    state.save(tmp_path, model, {"step": 1})
    file = tmp_path / "last" / state.STATE
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"training_state.npz cannot be read"):
        state.restore(tmp_path, model)


def test_there_must_be_a_run_to_resume(tmp_path):
    from segformer_tf.training.recipes import RECIPES

    with pytest.raises(FileNotFoundError, match=r"recipe.json does not exist, expected a run to go on with"):
        state.check(tmp_path, RECIPES["fine-tune"], 0, True)


def test_recipe_and_seed_of_a_run_come_back(tmp_path):
    from segformer_tf.training.recipes import RECIPES

    state.begin(tmp_path / "run", RECIPES["fine-tune"], 5, {})
    assert state.read_recipe(tmp_path / "run") == (RECIPES["fine-tune"], 5)


def test_weights_that_are_no_numbers_are_named_and_not_saved(model, tmp_path):
    model.weights[0].assign(np.full(model.weights[0].shape, np.nan))
    name = model.weights[0].path
    with pytest.raises(ValueError, match=f"{name} has values that are no numbers at step 3, .* no weights were saved"):
        state.save(tmp_path, model, {"step": 3})
    assert not (tmp_path / "last").exists()
    good = np.zeros(model.weights[0].shape)
    model.weights[0].assign(good)
    state.save(tmp_path, model, {"step": 4})
    model.weights[0].assign(good + np.inf)
    with pytest.raises(ValueError, match=r"at step 5, .*: lower the learning rate.$"):
        state.save(tmp_path, model, {"step": 5})
    assert state.restore(tmp_path, model) == {"step": 4}


def test_only_a_run_s_length_and_intervals_may_change(tmp_path):
    from segformer_tf.training.recipes import RECIPES

    recipe = RECIPES["fine-tune"]
    assert state.check(tmp_path / "run", recipe, 5, False) is None
    begun(tmp_path / "run", recipe)
    longer = dataclasses.replace(recipe, steps=9000, patience=None)
    assert state.check(tmp_path / "run", longer, 5, True) == "steps 4000 to 9000; patience 1000 to None"
    assert state.read_recipe(tmp_path / "run") == (recipe, 5)  # nothing has run yet
    with pytest.raises(ValueError, match=r"was changed \(batch_size 8 to 4\), .*Only steps, epochs, .* may be changed"):
        state.check(tmp_path / "run", dataclasses.replace(longer, batch_size=4), 5, True)


def test_a_run_of_an_older_version_goes_on(tmp_path):
    from segformer_tf.training.recipes import RECIPES

    recipe = RECIPES["fine-tune"]
    begun(tmp_path, recipe)
    values = json.loads((tmp_path / "recipe.json").read_text())
    del values["retries"], values["augmentation"]["light_rate"]  # keys that came later
    (tmp_path / "recipe.json").write_text(json.dumps(values))
    assert state.check(tmp_path, recipe, 5, True) is None
    bright = dataclasses.replace(recipe, augmentation=dataclasses.replace(recipe.augmentation, light_rate=0.5))
    with pytest.raises(ValueError, match=r"was changed \(augmentation.light_rate 0.0 to 0.5\), "):
        state.check(tmp_path, bright, 5, True)


def test_a_run_of_which_nothing_was_saved_begins_anew_with_any_recipe(tmp_path):
    from segformer_tf.training.recipes import RECIPES

    recipe = RECIPES["fine-tune"]
    state.begin(tmp_path / "run", recipe, 5, {})
    other = dataclasses.replace(recipe, learning_rate=0.5)
    assert (
        state.check(tmp_path / "run", other, 6, False) is None and state.check(tmp_path / "run", other, 6, True) is None
    )
    begun(tmp_path / "run", recipe)
    with pytest.raises(FileExistsError, match="has a run already, expected none"):
        state.check(tmp_path / "run", recipe, 5, False)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="file is a file, expected the directory of a run: choose another"):
        state.check(tmp_path / "file", recipe, 5, False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pictures": 7}, r"the val pictures are not those that .* was started with \(7, not 8\), expected the same:"),
        ({"names": "b"}, r"\(other ones\)"),
        ({"bytes": 1}, r"\(other files of the same names\)"),
    ],
)
def test_a_run_does_not_go_on_with_other_pictures(tmp_path, change, told):
    from segformer_tf.training.recipes import RECIPES

    recipe, known = RECIPES["fine-tune"], {"pictures": 8, "names": "a", "bytes": 10}
    begun(tmp_path, recipe, {"identity": {"train": None, "val": known}})
    assert state.check(tmp_path, recipe, 5, True, {"train": known, "val": dict(known)}) is None
    with pytest.raises(ValueError, match=told):
        state.check(tmp_path, recipe, 5, True, {"train": known, "val": known | change})
    (tmp_path / "data.json").write_text("{}")  # as an older version wrote it
    assert state.check(tmp_path, recipe, 5, True, {"val": known | change}) is None


def test_the_page_names_what_may_be_changed_when_a_run_goes_on():
    page = (ROOT / "docs/training.md").read_text("utf-8")
    told = page.partition("Of the recipe only the length, ")[2].partition(" may be changed then.")[0]
    assert tuple(told.split("`")[1::2]) == state.FREE[2:]  # steps and epochs are the length


def test_a_state_with_values_that_are_no_numbers_is_refused(model, tmp_path):
    state.save(tmp_path, model, {"step": 1})
    file = tmp_path / "last" / state.STATE
    with np.load(file) as arrays:
        values = dict(arrays)
    values["model_0"] = values["model_0"] * np.nan
    np.savez(file, **values)
    with pytest.raises(ValueError, match="no numbers"):
        state.restore(tmp_path, model)


def test_the_state_of_a_larger_model_is_refused_unread(model, tmp_path, monkeypatch):
    larger = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4000)])
    larger.compile("sgd")
    larger.optimizer.build(larger.trainable_variables)
    state.save(tmp_path, larger, {"step": 1})
    monkeypatch.setattr(np, "load", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match="state of another model"):
        state.restore(tmp_path, model)


def test_the_last_step_of_a_log_is_the_one_that_it_tells(tmp_path):
    state.write_log(tmp_path, [{"step": 5}, {"step": 10}])
    assert state.logged(tmp_path) == 10
