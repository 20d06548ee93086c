"""What learns in a run: a copy of the model in the recipe's precision, its optimizer, its loss, its statistics."""

import dataclasses

import keras

from segformer_tf.bounds import smallest_side
from segformer_tf.checkpoints.layouts import HEADS
from segformer_tf.config import SegformerConfig
from segformer_tf.data.splits import Split
from segformer_tf.models import private
from segformer_tf.training.datasets import check_masks, check_mixing, training_data
from segformer_tf.training.losses import SegmentationLoss, WeightedClasses, class_weights
from segformer_tf.training.plan import Plan
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.sources import Source
from segformer_tf.training.statistics import PICTURES, Statistics


def check_kind(model, source: Source) -> None:
    """Raises ValueError where a model is not of the data's kind: masks, or one of several classes a picture."""
    by_class = isinstance(source, Split) and not source.has_masks
    if by_class == hasattr(model, "decode_head"):
        data_has = "a class for each picture" if by_class else "masks"
        raise ValueError(
            f"the model is a {type(model).__name__}, and the data has {data_has}: give a model of the data's kind."
        )
    problem = model.config.problem_type or "single_label_classification"
    if by_class and (model.config.num_labels == 1 or problem != "single_label_classification"):
        raise ValueError(
            f"the classifier has num_labels {model.config.num_labels} and problem_type {problem!r}, expected two "
            "classes or more and 'single_label_classification' for folders of classes: make it so, or use its fit."
        )


def suited(recipe: Recipe, config: SegformerConfig, source: Source) -> Recipe:
    """The recipe with the loss that the model learns by: a classifier and a model of one class have their own.

    Raises ValueError where the recipe asks for what the data set or the model is not made for.
    """
    by_class = isinstance(source, Split) and not source.has_masks
    crop, smallest = recipe.augmentation.crop, smallest_side(config)
    if min(crop) < smallest:
        raise ValueError(
            f"the recipe's augmentation.crop is {crop}, expected at least {smallest} a side, the smallest picture that "
            f"a model with sr_ratios {config.sr_ratios} takes: enlarge it."
        )
    check_mixing(recipe.augmentation, by_class, recipe.batch_size)
    if not by_class:
        check_masks(recipe)
    if recipe.one_logit and config.num_labels != 1:
        raise ValueError(
            f"the recipe's one_logit is True, expected False for a model of {config.num_labels} classes: give --binary "
            "(masks of one foreground class) and a model of one logit, or set it to false."
        )
    if config.num_labels == 1:
        return dataclasses.replace(recipe, loss={"cross_entropy": 1.0}, class_weight_power=0.0)
    return dataclasses.replace(recipe, loss={"cross_entropy": 1.0}) if by_class else recipe


def left_out(asked: Recipe, recipe: Recipe) -> str:
    """A sentence for what `suited` left out; "" for nothing."""
    names = [name for name in ("loss", "class_weight_power") if getattr(asked, name) != getattr(recipe, name)]
    if not names:
        return ""
    what = " and ".join(f"{name} {getattr(asked, name)}" for name in names)
    return (
        f"The recipe's {what} {'are' if len(names) > 1 else 'is'} left out: a classifier has cross-entropy, and a "
        "model of one class (one_logit) a loss of its own."
    )


def check_model(model, recipe: Recipe) -> None:
    """Raises ValueError where no copy of the model can learn: layers of other kinds, or nothing that is not frozen."""
    parts = private.parts_of(model)
    if any(getattr(part, "lora_enabled", False) for part in parts):
        raise ValueError(
            "the model has LoRA enabled, expected plain weights, since a run trains a copy with all of them: train "
            "with the model's own fit, or save_pretrained it, which adds LoRA to the kernels, and train what "
            "from_pretrained reads."
        )
    if modes := sorted({str(mode) for part in parts if (mode := getattr(part, "quantization_mode", None))}):
        raise ValueError(
            f"the model is quantized ({', '.join(modes)}), expected floats, which alone can learn: train it before "
            "`quantize`."
        )
    learning = [variable.path for variable in model.trainable_variables]
    if recipe.freeze == "encoder":
        learning = [path for path in learning if path.startswith(HEADS)]
    if not learning:
        frozen = " beside the recipe's freeze" if recipe.freeze else ""
        raise ValueError(
            f"all layers of the model are frozen{frozen}, expected some that learn: set `layer.trainable = True` for "
            "them."
        )


def make_learner(model, recipe: Recipe):
    """A channels-last model with the same weights and frozen layers, in the recipe's precision, with its rates.

    What the recipe freezes is frozen too.
    """
    rates = {"drop_path_rate": recipe.drop_path_rate, "classifier_dropout_prob": recipe.dropout_rate}
    config = SegformerConfig.from_dict(model.config.to_dict(), **rates)
    learner = type(model)(config, data_format="channels_last", dtype=recipe.precision)
    learner.set_weights(model.get_weights())
    for own, part in zip(private.parts_of(model), private.parts_of(learner), strict=True):  # a layer before its parts
        part.trainable = own.trainable
    if recipe.freeze == "encoder":
        for layer in learner.layers:
            if layer.name not in HEADS:
                layer.trainable = False
    return learner


def compile_learner(learner, plan: Plan, loss: keras.losses.Loss | None) -> keras.optimizers.Optimizer:
    optimizer = plan.recipe.make_optimizer(plan.steps)
    learner.compile(optimizer, loss=loss, metrics=[], jit_compile=False)
    learner.optimizer.build(learner.trainable_variables)  # as mixed_float16 wraps it: a state is read into it
    return optimizer  # not wrapped


def make_loss(recipe: Recipe, source: Source, counts: list[int] | None, config: SegformerConfig):
    """A Keras loss, or None for the model's own."""
    weighted = recipe.class_weight_power != 0
    if weighted and counts is None:
        raise ValueError(
            "class_weight_power needs the number of pixels of each class, which shards and tf.data do not tell: "
            "set it to 0."
        )
    weights = class_weights(counts, recipe.class_weight_power) if weighted and counts else None
    if weights and isinstance(source, Split) and not source.has_masks:
        return WeightedClasses(weights)
    if recipe.mixup_alpha:
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    if recipe.loss == {"cross_entropy": 1.0} and not weighted:
        return None
    return SegmentationLoss(recipe.loss, weights, config.semantic_loss_ignore_index)


def make_statistics(model, recipe: Recipe, source: Source, seed: int) -> Statistics | None:
    """For averaged weights, which BatchNorm's running statistics are not those of."""
    if recipe.ema_momentum is None or not hasattr(model, "decode_head") or not model.decode_head.batch_norm.trainable:
        return None  # a frozen norm keeps its own
    batches = training_data(source, recipe.augmentation, recipe.batch_size, seed)
    return Statistics(model, batches.take(-(-PICTURES // recipe.batch_size)))
