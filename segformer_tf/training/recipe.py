"""Recipes: every number of a training run, printed, saved as JSON and read back."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.read import read_json
from segformer_tf.storage.whole import write_text
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.losses import LOSSES
from segformer_tf.training.optimizer import OPTIMIZERS, SegformerAdamW, WarmupDecay

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@spell_checked
@dataclass(frozen=True)
class Recipe:
    """Every number of a training run. `RECIPES` has the paper's and others; `dataclasses.replace` changes one.

    Args:
        steps: Optimizer steps.
        epochs: Passes over the training pictures, counted instead of `steps` if given.
        power: Of the polynomial decay of the learning rate; None: half a cosine.
        optimizer: "adamw", or "muon" for random weights, see `SegformerMuon`.
        head_multiplier: Learning rate of the head, in those of the encoder.
        clip_norm: Largest norm of all gradients together; None: any.
        accumulation_steps: Batches whose gradients make one optimizer step.
        ema_momentum: Of the averaged weights, which are then evaluated and saved; None: no averaging.
        drop_path_rate, dropout_rate: Of the encoder's branches and of the head, in place of the model's own.
        loss: Share of each loss, see `losses.LOSSES`; for segmentation.
        class_weight_power: Class weights are (median count / count) ** this in the cross-entropy; 0: none.
        evaluate_every: Steps between two evaluations; None: about one epoch.
        save_every: Steps between two checkpoints, of which `evaluate_every` is a multiple; None: one an evaluation.
        patience: Evaluations without a better score after which the run stops; None: never.
        mixup_alpha, rand_augment: For classification, by Keras' own layers; 0 and False: none.
    """

    name: str = "paper-ade20k"
    steps: int = 160_000
    epochs: int | None = None
    batch_size: int = 16
    optimizer: str = "adamw"
    learning_rate: float = 6e-5
    weight_decay: float = 0.01
    power: float | None = 1.0
    warmup_steps: int = 1500
    head_multiplier: float = 10.0
    clip_norm: float | None = None
    accumulation_steps: int = 1
    ema_momentum: float | None = None
    precision: str = "float32"
    drop_path_rate: float = 0.1
    dropout_rate: float = 0.1
    loss: dict[str, float] = field(default_factory=lambda: {"cross_entropy": 1.0})
    class_weight_power: float = 0.0
    evaluate_every: int | None = None
    save_every: int | None = None
    patience: int | None = None
    mixup_alpha: float = 0.0
    rand_augment: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        def expect(key: str, ok: bool, expected: str) -> None:
            if not ok:
                raise ValueError(
                    f"the recipe's {key} is {getattr(self, key)!r}, expected {expected}: correct this key."
                )

        counts = ("steps", "batch_size", "accumulation_steps")
        optional_counts = ("epochs", "evaluate_every", "save_every", "patience")
        for key in (*counts, *optional_counts):
            value = getattr(self, key)
            optional = value is None and key in optional_counts
            expect(key, optional or (isinstance(value, int) and value >= 1), "a whole number of at least 1")
        if self.save_every:
            fits = self.evaluate_every is not None and self.evaluate_every % self.save_every == 0
            expect("evaluate_every", fits, f"a multiple of save_every = {self.save_every}")
        expect("learning_rate", self.learning_rate > 0, "a number above 0")
        expect("optimizer", self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}")
        expect("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        expect("loss", bool(self.loss) and set(self.loss) <= set(LOSSES), f"shares of {', '.join(LOSSES)}")

    def total_steps(self, pictures: int | None) -> int:
        """Batches of a run on so many pictures; `pictures` may be None where `epochs` is."""
        if self.epochs is None:
            return self.steps * self.accumulation_steps
        if pictures is None:
            raise ValueError("the recipe counts epochs, but the data set does not say its length: give steps instead.")
        return math.ceil(self.epochs * pictures / self.batch_size)

    def make_optimizer(self, batches: int) -> SegformerAdamW:
        """The optimizer of a run of so many batches; `set_groups` still has to be called with the model."""
        steps = max(batches // self.accumulation_steps, 1)
        rates = WarmupDecay(self.learning_rate, steps, self.power, self.warmup_steps, self.accumulation_steps)
        return OPTIMIZERS[self.optimizer](
            rates,
            weight_decay=self.weight_decay,
            head_multiplier=self.head_multiplier,
            global_clipnorm=self.clip_norm,
            use_ema=self.ema_momentum is not None,
            ema_momentum=self.ema_momentum or 0.99,
            gradient_accumulation_steps=self.accumulation_steps if self.accumulation_steps > 1 else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Names and values, as JSON has them and `from_dict` takes them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """The recipe of parsed JSON; a key that it leaves out has its default.

        Raises:
            ValueError: A key that no recipe has, or a value that cannot be.
        """
        how = values.get("augmentation", {})
        for owner, given in ((cls, values), (Augmentation, how)):
            known = [item.name for item in dataclasses.fields(owner)]
            for key in given.keys() - set(known):
                raise ValueError(
                    f"the recipe's key {key!r} is unknown, expected some of {', '.join(known)}: correct it."
                )
        how = {key: tuple(value) if isinstance(value, list) else value for key, value in how.items()}
        return cls(**{**values, "augmentation": Augmentation(**how)})

    def save(self, file: str | Path) -> None:
        """Writes the recipe as JSON, which `load` and `segformer-tf train --recipe` read."""
        write_text(file, str(self))

    @classmethod
    def load(cls, name_or_file: str | Path) -> "Recipe":
        """A recipe by its name in `RECIPES`, or from a JSON file."""
        if str(name_or_file) in RECIPES:
            return RECIPES[str(name_or_file)]
        file = Path(name_or_file)
        if not file.is_file():
            raise FileNotFoundError(
                f"the recipe is {str(name_or_file)!r}, expected {', '.join(RECIPES)} or a JSON file: choose one."
            )
        values = read_json(file, "a recipe")
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"


_ADE20K = Recipe(augmentation=Augmentation(fit_within=(2048, 512)))
_CITYSCAPES = dataclasses.replace(
    _ADE20K,
    name="paper-cityscapes",
    batch_size=8,
    augmentation=Augmentation(crop=(1024, 1024), fit_within=(2048, 1024)),
)
_FINE_TUNE = dataclasses.replace(
    _ADE20K,
    name="fine-tune",
    steps=4000,
    batch_size=8,
    warmup_steps=100,
    clip_norm=1.0,
    ema_momentum=0.99,
    patience=10,
    augmentation=Augmentation(),
)
_FROM_SCRATCH = dataclasses.replace(
    _FINE_TUNE,
    name="from-scratch",
    steps=5000,
    optimizer="muon",
    learning_rate=8e-3,
    weight_decay=0.02,
    head_multiplier=1.0,
    ema_momentum=0.995,
    drop_path_rate=0.0,
    dropout_rate=0.0,
    loss={"cross_entropy": 1.0, "dice": 0.5},
    class_weight_power=0.5,
    patience=None,
    augmentation=Augmentation(crop=(256, 320), scale=(0.5, 1.5), max_class_share=1.0, class_crop_rate=0.5),
)
_CLASSIFIER = Recipe(
    name="classifier",
    epochs=300,
    batch_size=1024,
    learning_rate=1e-3,
    weight_decay=0.05,
    power=None,
    warmup_steps=6000,
    head_multiplier=1.0,
    mixup_alpha=0.8,
    rand_augment=True,
    augmentation=Augmentation(crop=(224, 224), scale=(1.0, 3.0), photometric=False),
)
RECIPES = {recipe.name: recipe for recipe in (_ADE20K, _CITYSCAPES, _FINE_TUNE, _FROM_SCRATCH, _CLASSIFIER)}
