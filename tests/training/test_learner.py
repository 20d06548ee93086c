import dataclasses

from segformer_tf.training import RECIPES
from segformer_tf.training.learner import make_learner


def test_what_learns_has_the_recipes_rates_and_frozen_layers(network):
    recipe = dataclasses.replace(RECIPES["fine-tune"], drop_path_rate=0.3, dropout_rate=0.4, freeze="encoder")
    learner = make_learner(network, recipe)
    assert (learner.config.drop_path_rate, learner.config.classifier_dropout_prob) == (0.3, 0.4)
    learning = [variable.path for variable in learner.trainable_variables]
    assert learning and all(path.startswith("decode_head") for path in learning)
