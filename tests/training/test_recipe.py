import dataclasses
import json

import pytest

from segformer_tf.training import state
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.recipe import read_settings
from segformer_tf.training.recipes import RECIPES, load_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_prints_saves_and_comes_back(tmp_path, name):
    recipe = load_recipe(name)
    recipe.save(tmp_path / "r.json")
    assert load_recipe(tmp_path / "r.json") == recipe
    assert json.loads(str(recipe))["name"] == name


def test_the_paper_s_recipe_has_the_paper_s_numbers():
    recipe = RECIPES["paper-ade20k"]
    assert (recipe.steps, recipe.batch_size, recipe.learning_rate) == (160_000, 16, 6e-5)
    assert (recipe.weight_decay, recipe.head_multiplier, recipe.power, recipe.warmup_steps) == (0.01, 10, 1, 1500)
    assert recipe.augmentation == Augmentation((512, 512), (0.5, 2.0), (2048, 512), max_class_share=0.75)
    cityscapes = RECIPES["paper-cityscapes"]
    assert cityscapes.batch_size == 8 and cityscapes.augmentation.crop == (1024, 1024)
    assert RECIPES["classifier"].epochs == 300


def test_epochs_and_accumulation_become_batches():
    recipe = dataclasses.replace(RECIPES["fine-tune"], steps=10, batch_size=4, accumulation_steps=3)
    assert recipe.total_steps(None) == 30
    assert dataclasses.replace(recipe, epochs=2).total_steps(9) == 6  # 5 batches, and one to make the last step whole
    with pytest.raises(ValueError, match="does not say its length"):
        dataclasses.replace(recipe, epochs=2).total_steps(None)


def test_the_optimizer_has_the_recipe_s_numbers():
    recipe = dataclasses.replace(RECIPES["fine-tune"], accumulation_steps=2, clip_norm=0.5, ema_momentum=0.9)
    optimizer = recipe.make_optimizer(200)
    assert optimizer.global_clipnorm == 0.5 and optimizer.gradient_accumulation_steps == 2 and optimizer.use_ema
    assert optimizer.weight_decay == 0.01 and optimizer.head_multiplier == 10
    assert optimizer.get_config()["ema_momentum"] == 0.9
    assert recipe.make_optimizer(200)._learning_rate.steps == 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rat": 1}, "the recipe's key 'learning_rat' is unknown, expected learning_rate:"),
        ({"augmentation": {"crops": 1}}, "key 'augmentation.crops' is unknown, expected augmentation.crop:"),
        ({"crop": [64, 64]}, "key 'crop' is unknown, expected augmentation.crop:"),
        ({"augmentation": {"crop": [64]}}, r"augmentation.crop is \(64,\), expected a list of 2 numbers"),
        ({"learning_rate": "fast"}, "the recipe's learning_rate is 'fast', expected a number"),
        ({"steps": 2.5}, "the recipe's steps is 2.5, expected a whole number"),
        ({"freeze": "head"}, "the recipe's freeze is 'head', expected \"encoder\" or null"),
        ({"drop_path_rate": 1.0}, "the recipe's drop_path_rate is 1.0, expected a rate from 0 to below 1"),
        ({"batch_size": 0}, "the recipe's batch_size is 0, expected a whole number of at least 1"),
        ({"optimizer": "sgd"}, "the recipe's optimizer is 'sgd', expected one of adamw, muon"),
        ({"precision": "half"}, "the recipe's precision is 'half', expected one of float32"),
        ({"loss": {"tversky": 1}}, "expected shares of cross_entropy"),
        ({"loss": {"dice": -1}}, "the recipe's loss is {'dice': -1}, expected shares of at least 0, one of them above"),
        ({"loss": {"cross_entropy": 0, "dice": 0}}, "expected shares of at least 0, one of them above 0"),
        ({"clip_norm": -1}, "the recipe's clip_norm is -1, expected a number above 0"),
        ({"head_multiplier": -1}, "the recipe's head_multiplier is -1, expected a number above 0"),
        ({"weight_decay": -5}, "the recipe's weight_decay is -5, expected a number of at least 0"),
        ({"power": -1}, "the recipe's power is -1, expected a number of at least 0"),
        ({"class_weight_power": -3}, "the recipe's class_weight_power is -3, expected a number of at least 0"),
        ({"mixup_alpha": -1}, "the recipe's mixup_alpha is -1, expected a number of at least 0"),
        ({"augmentation": 5}, "the recipe's augmentation is 5, expected names and their values"),
        ({"augmentation": None}, "the recipe's augmentation is None, expected names and their values"),
        ({"augmentation": {"fit_within": [0, 0]}}, r"fit_within is \(0, 0\), expected two sides of at least 32"),
        (
            {"augmentation": {"scale": [0.001, 0.001]}},
            r"scale is \(0.001, 0.001\), expected two factors from 1/16 to 16",
        ),
        ({"augmentation": {"scale": [1, 100]}}, r"scale is \(1, 100\), expected two factors from 1/16 to 16"),
        ({"augmentation": {"image_std": [0, 0, 0]}}, r"image_std is \(0, 0, 0\), expected numbers above 0"),
        ({"augmentation": {"image_mean": [0.5]}}, r"image_mean is \(0.5,\), expected a number for each of 3 channels"),
        (
            {"augmentation": {"image_mean": [123.675, 116.28, 103.53]}},
            r"image_mean is \(123.675, 116.28, 103.53\), expected numbers up to 1, of pixels / 255: divide by 255",
        ),
        ({"augmentation": {"image_mean": [-1, 0, 0]}}, r"image_mean is \(-1, 0, 0\), expected numbers up to 1"),
        ({"augmentation": {"image_std": [58.395, 57.12, 57.375]}}, r"image_std is \(58.395, .*: divide by 255"),
        ({"evaluate_every": 10, "save_every": 4}, "evaluate_every is 10, expected a multiple of save_every = 4"),
    ],
)
def test_a_wrong_recipe_is_told_by_its_key(tmp_path, values, message):
    (tmp_path / "r.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        load_recipe(tmp_path / "r.json")


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="the recipe is 'fast', expected paper-ade20k"):
        load_recipe("fast")


def test_settings_are_typed_as_the_recipe_s_values():
    settings = [
        "learning_rate=1e-4",
        "augmentation.crop=[64, 96]",
        "freeze=encoder",
        "patience=none",
        "rand_augment=true",
        "clip_norm=.5",
    ]
    changed = RECIPES["fine-tune"].changed(read_settings(settings))
    assert (changed.learning_rate, changed.augmentation.crop, changed.freeze) == (1e-4, (64, 96), "encoder")
    assert changed.clip_norm == 0.5
    assert changed.patience is None and changed.rand_augment is True and changed.steps == 4000
    with pytest.raises(ValueError, match="the setting 'steps' has no value, expected KEY=VALUE"):
        read_settings(["steps"])


def test_steps_are_the_length_of_a_recipe_that_counted_epochs():
    """A recipe that comes from a file, as a run's own does, has both, and epochs count."""
    recipe = RECIPES["classifier"]
    for longer in (recipe.changed({"steps": 7}), recipe.changed(read_settings(["steps=7"]))):
        assert longer.epochs is None and longer.total_steps(1000) == 7
    assert recipe.changed({"epochs": 2}).epochs == 2 and recipe.changed({"epochs": None, "steps": 7}).steps == 7
    again = type(recipe).from_dict(recipe.to_dict())
    assert (
        again.epochs == 300
        and again.changed({"steps": 9}).epochs is None
        and recipe.changed({"batch_size": 8}).epochs == 300
    )
    with pytest.raises(ValueError, match=r"given as steps \(7\) and as epochs \(2\), expected one of them"):
        recipe.changed(read_settings(["steps=7", "epochs=2"]))


def test_a_momentum_of_0_is_no_averaging():
    recipe = RECIPES["fine-tune"].changed({"ema_momentum": 0})
    assert recipe == RECIPES["fine-tune"].changed({"ema_momentum": None}) and recipe.ema_momentum is None
    assert recipe.make_optimizer(10).use_ema is False
    with pytest.raises(ValueError, match="ema_momentum is False, expected a number or null"):
        RECIPES["fine-tune"].changed({"ema_momentum": False})


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_says_its_command_and_what_to_expect(recipe):
    lines = type(recipe).__doc__.splitlines()
    assert any(line.strip().startswith("segformer-tf train --data ") for line in lines)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.steps = 1


def test_a_run_s_own_file_is_a_recipe(tmp_path):
    recipe = dataclasses.replace(RECIPES["fine-tune"], learning_rate=3e-4)
    state.begin(tmp_path / "run", recipe, 5, {})
    assert load_recipe(tmp_path / "run" / state.RECIPE) == recipe
