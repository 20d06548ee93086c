"""What learns in a run: a copy of the model in the recipe's precision, its optimizer, its loss, its statistics."""

import keras

from segformer_tf.config import SegformerConfig
from segformer_tf.data.splits import Split
from segformer_tf.training.datasets import check_masks, check_mixing, training_data
from segformer_tf.training.losses import SegmentationLoss, class_weights
from segformer_tf.training.plan import Plan
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.sources import Source
from segformer_tf.training.statistics import PICTURES, Statistics


def check_suited(recipe: Recipe, config: SegformerConfig, source: Source) -> None:
    """Raises ValueError where a recipe asks for what the data set or the model is not made for."""
    by_class = isinstance(source, Split) and not source.has_masks
    check_mixing(recipe.augmentation, by_class, recipe.batch_size)
    if by_class:
        return
    check_masks(recipe)
    if recipe.one_logit and config.num_labels != 1:
        raise ValueError(
            f"the recipe's one_logit is True, expected False for a model of {config.num_labels} classes: give --binary "
            "(masks of one foreground class) and a model of one logit, or set it to false."
        )


def make_learner(model, recipe: Recipe):
    """A channels-last model with the same weights, in the recipe's precision and with its rates and frozen layers."""
    rates = {"drop_path_rate": recipe.drop_path_rate, "classifier_dropout_prob": recipe.dropout_rate}
    config = SegformerConfig.from_dict(model.config.to_dict(), **rates)
    learner = type(model)(config, data_format="channels_last", dtype=recipe.precision)
    learner.set_weights(model.get_weights())
    if recipe.freeze == "encoder":
        for layer in learner.layers:
            layer.trainable = layer.name in ("decode_head", "classifier")
    return learner


def compile_learner(learner, plan: Plan, loss: keras.losses.Loss | None) -> keras.optimizers.Optimizer:
    optimizer = plan.recipe.make_optimizer(plan.steps)
    optimizer.set_groups(learner)
    optimizer.build(learner.trainable_variables)
    learner.compile(optimizer, loss=loss, metrics=[], jit_compile=False)
    return optimizer  # not as mixed_float16 wraps it


def make_loss(recipe: Recipe, source: Source, counts: list[int] | None, config: SegformerConfig):
    """A Keras loss, or None for the model's own."""
    if recipe.mixup_alpha:
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    by_class = isinstance(source, Split) and not source.has_masks
    weighted = recipe.class_weight_power != 0
    if by_class or config.num_labels == 1 or (recipe.loss == {"cross_entropy": 1.0} and not weighted):
        return None
    if weighted and counts is None:
        raise ValueError(
            "class_weight_power needs the number of pixels of each class, which shards and tf.data do not tell: "
            "set it to 0."
        )
    weights = class_weights(counts, recipe.class_weight_power) if weighted and counts else None
    return SegmentationLoss(recipe.loss, weights, config.semantic_loss_ignore_index)


def make_statistics(model, recipe: Recipe, source: Source, seed: int) -> Statistics | None:
    """For averaged weights, which BatchNorm's running statistics are not those of."""
    if recipe.ema_momentum is None or not hasattr(model, "decode_head"):
        return None
    batches = training_data(source, recipe.augmentation, recipe.batch_size, seed)
    return Statistics(model, batches.take(-(-PICTURES // recipe.batch_size)))
