"""What a run says before its first step: where it computes, what it learns from, how long it is, what it needs."""

import math
from pathlib import Path

import keras
import tensorflow as tf

from segformer_tf.config import VARIANTS, SegformerConfig
from segformer_tf.models.private import rate_of
from segformer_tf.pipelines.description import class_names
from segformer_tf.storage.whole import whole
from segformer_tf.training.console import Console
from segformer_tf.training.plan import Plan, device
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.sheets import batch_sheet

BATCH_PICTURE = "train_batch.png"


def tell_start(
    console: Console,
    run: Path,
    model: keras.Model,
    plan: Plan,
    step: int,
    batches: tf.data.Dataset,
    changed: str | None,
) -> None:
    """Draws the first batch into `train_batch.png`, and says what is going to happen."""
    if not console.speaks:
        return
    recipe, config = plan.recipe, model.config
    pixel_values, targets = next(iter(batches.take(1)))
    with whole(run / BATCH_PICTURE) as draft:
        batch_sheet(pixel_values, targets, class_names(config), recipe.augmentation).save(draft)
    names = list(class_names(config).values())
    shown = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    weights = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    variant = next(
        (key for key, row in VARIANTS.items() if row[:2] == (config.depths, config.hidden_sizes)), "SegFormer"
    )
    length = f"{plan.steps}" if plan.epochs is None else f"{plan.steps}, {plan.epochs:.1f} times every picture"
    averaged = "" if recipe.ema_momentum is None else f", weights averaged ({recipe.ema_momentum})"
    frozen = ", encoder frozen" if recipe.freeze else ""
    console.table(
        [
            ("device", f"{device()}; {recipe.precision}"),
            ("model", f"{variant}, {weights / 1e6:.1f} M weights{frozen}"),
            ("pictures", f"{plan.pictures or '?'} to train on, {plan.validation_pictures or '?'} to validate on"),
            ("classes", f"{len(names)}: {shown}"),
            (
                "steps",
                f"{length}; batch {recipe.batch_size}, crop "
                f"{recipe.augmentation.crop[0]} x {recipe.augmentation.crop[1]}",
            ),
            (
                "recipe",
                f"{recipe.name}: {recipe.optimizer}, learning rate {recipe.learning_rate:g} after "
                f"{recipe.warmup_steps} steps of warm-up, weight decay {recipe.weight_decay:g}{averaged}",
            ),
            ("loss", _loss(recipe, config)),
            (
                "evaluation",
                f"every {plan.evaluate_every} steps; checkpoint every {plan.save_every}"
                + (f"; ends after {recipe.patience} steps without a better score" if recipe.patience else ""),
            ),
            ("output", f"{run}: {BATCH_PICTURE} (look at it), best/, last/, log.csv, report.html"),
        ]
    )
    for note in plan.notes:
        console.line(note)
    if step:
        console.line(f"goes on at step {step}")
    if changed:
        console.line(
            f"changed since the start: {changed}; the learning rate falls to 0 at step {plan.steps}, so at step {step} "
            f"it is {_rate(plan, step):.2e}"
        )


def _loss(recipe: Recipe, config: SegformerConfig) -> str:
    if config.num_labels == 1:
        return "binary cross-entropy of one logit"
    weighted = f", class weights of power {recipe.class_weight_power:g}" if recipe.class_weight_power else ""
    return " + ".join(f"{share:g} {name}" for name, share in recipe.loss.items()) + weighted


def _rate(plan: Plan, step: int) -> float:
    schedule = rate_of(plan.recipe.make_optimizer(plan.steps))
    return float(keras.ops.convert_to_numpy(schedule(step)))
