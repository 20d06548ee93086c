import dataclasses
import json

import pytest

from segformer_tf.training.augment import Augmentation
from segformer_tf.training.recipe import RECIPES, Recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_prints_saves_and_comes_back(tmp_path, name):
    recipe = Recipe.load(name)
    recipe.save(tmp_path / "r.json")
    assert Recipe.load(tmp_path / "r.json") == recipe
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
    assert dataclasses.replace(recipe, epochs=2).total_steps(9) == 5
    with pytest.raises(ValueError, match="does not say its length"):
        dataclasses.replace(recipe, epochs=2).total_steps(None)


def test_the_optimizer_has_the_recipe_s_numbers():
    recipe = dataclasses.replace(RECIPES["fine-tune"], accumulation_steps=2, clip_norm=0.5, ema_momentum=0.9)
    optimizer = recipe.make_optimizer(200)
    assert optimizer.global_clipnorm == 0.5 and optimizer.gradient_accumulation_steps == 2 and optimizer.use_ema
    assert optimizer.weight_decay == 0.01 and optimizer.head_multiplier == 10
    assert recipe.make_optimizer(200)._learning_rate.steps == 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rat": 1}, "the recipe's key 'learning_rat' is unknown, expected some of name, steps"),
        ({"augmentation": {"crops": 1}}, "the recipe's key 'crops' is unknown, expected some of crop"),
        ({"batch_size": 0}, "the recipe's batch_size is 0, expected a whole number of at least 1"),
        ({"optimizer": "sgd"}, "the recipe's optimizer is 'sgd', expected one of adamw, muon"),
        ({"precision": "half"}, "the recipe's precision is 'half', expected one of float32"),
        ({"loss": {"lovasz": 1}}, "expected shares of cross_entropy"),
        ({"evaluate_every": 10, "save_every": 4}, "evaluate_every is 10, expected a multiple of save_every = 4"),
    ],
)
def test_a_wrong_recipe_is_told_by_its_key(tmp_path, values, message):
    (tmp_path / "r.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        Recipe.load(tmp_path / "r.json")


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="the recipe is 'fast', expected paper-ade20k"):
        Recipe.load("fast")
