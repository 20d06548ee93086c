"""A recipe: every number of a training run, checked, printed, saved as JSON and read back."""

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.whole import write_text
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.losses import LOSSES
from segformer_tf.training.optimizer import OPTIMIZERS, Grouped, WarmupDecay

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
        warmup_steps: A tenth of the run, if that is more than half of it.
        head_multiplier: Learning rate of the head, in those of the encoder.
        clip_norm: Largest norm of all gradients together; None: any.
        accumulation_steps: Batches whose gradients make one optimizer step.
        ema_momentum: Of the averaged weights, which are then evaluated and saved; None or 0, which becomes None: no
            averaging.
        drop_path_rate, dropout_rate: Of the encoder's branches and of the head, in place of the model's own.
        one_logit: For masks of one foreground class (`--binary`): one logit and binary cross-entropy, which has no
            other loss or class weights beside it; False: two classes.
        freeze: "encoder": only the head learns; None: all.
        loss: Share of each loss, see `losses.LOSSES`; for segmentation.
        class_weight_power: Class weights are (median count / count) ** this in the cross-entropy; 0: none. Counts
            are of pixels, for classification of pictures.
        evaluate_every: Batches between two evaluations; None: as many as keep them to a tenth of the time.
        save_every: Batches between two checkpoints, of which `evaluate_every` is a multiple (and is made one where it
            is None); None: 200 or less.
        patience: Batches without a better score after which the run stops, judged at evaluations and as long as the
            interval between two at least; None: never.
        retries: How often a run whose values are no longer numbers goes back to its last checkpoint and on with half
            the learning rate; 0: it stops.
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
    one_logit: bool = False
    freeze: str | None = None
    loss: dict[str, float] = field(default_factory=lambda: {"cross_entropy": 1.0})
    class_weight_power: float = 0.0
    evaluate_every: int | None = None
    save_every: int | None = None
    patience: int | None = None
    retries: int = 0
    mixup_alpha: float = 0.0
    rand_augment: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        def expect(key: str, ok: bool, expected: str) -> None:
            if not ok:
                raise ValueError(
                    f"the recipe's {key} is {getattr(self, key)!r}, expected {expected}: correct this key."
                )

        for key, hint in typing.get_type_hints(Recipe).items():
            expect(key, _fits(getattr(self, key), hint), _in_words(hint))
        for key in ("steps", "batch_size", "accumulation_steps", "epochs", "evaluate_every", "save_every", "patience"):
            value = getattr(self, key)
            expect(key, value is None or value >= 1, "a whole number of at least 1")
        if self.save_every and self.evaluate_every:
            fits = self.evaluate_every % self.save_every == 0
            expect("evaluate_every", fits, f"a multiple of save_every = {self.save_every}")
        for key in ("learning_rate", "head_multiplier", "clip_norm"):
            expect(key, getattr(self, key) is None or getattr(self, key) > 0, "a number above 0")
        for key in ("weight_decay", "power", "class_weight_power", "mixup_alpha"):
            expect(key, getattr(self, key) is None or getattr(self, key) >= 0, "a number of at least 0")
        for key in ("retries", "warmup_steps"):
            expect(key, getattr(self, key) >= 0, "a whole number of at least 0")
        for key in ("drop_path_rate", "dropout_rate", "ema_momentum"):
            expect(key, getattr(self, key) is None or 0 <= getattr(self, key) < 1, "a rate from 0 to below 1")
        expect("optimizer", self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}")
        expect("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        expect("freeze", self.freeze in (None, "encoder"), '"encoder" or null')
        expect("loss", bool(self.loss) and set(self.loss) <= set(LOSSES), f"shares of {', '.join(LOSSES)}")
        shares = self.loss.values()
        expect("loss", min(shares) >= 0 and sum(shares) > 0, "shares of at least 0, one of them above 0")
        object.__setattr__(self, "ema_momentum", self.ema_momentum or None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.to_dict() == other.to_dict()

    def counted(self, batches: int) -> str:
        """So many batches in words: as steps, where each batch makes one."""
        return f"{batches} {'steps' if self.accumulation_steps == 1 else 'batches'}"

    def total_steps(self, pictures: int | None) -> int:
        """Batches of a run on so many pictures; `pictures` may be None where `epochs` is."""
        if self.epochs is None:
            return self.steps * self.accumulation_steps
        if pictures is None:
            raise ValueError("the recipe counts epochs, but the data set does not say its length: give steps instead.")
        batches = math.ceil(self.epochs * pictures / self.batch_size)
        return math.ceil(batches / self.accumulation_steps) * self.accumulation_steps  # the last ones count too

    def make_optimizer(self, batches: int) -> Grouped:
        """The optimizer of a run of so many batches."""
        steps = batches // self.accumulation_steps
        rates = WarmupDecay(self.learning_rate, steps, self.power, self.warmup_steps, self.accumulation_steps)
        return OPTIMIZERS[self.optimizer](
            rates,
            weight_decay=self.weight_decay,
            head_multiplier=self.head_multiplier,
            global_clipnorm=self.clip_norm,
            **({} if self.ema_momentum is None else {"use_ema": True, "ema_momentum": self.ema_momentum}),
            gradient_accumulation_steps=self.accumulation_steps if self.accumulation_steps > 1 else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Names and values, as JSON has them and `from_dict` takes them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The recipe of parsed JSON, as `to_dict` makes it; a key that it leaves out has its default.

        Raises:
            ValueError: A key that no recipe has, or a value that cannot be.
        """
        return cls()._with(values)

    def changed(self, values: Mapping[str, Any]) -> "Recipe":
        """The recipe with other values, as in JSON: the augmentation's in a dictionary, or as `augmentation.crop`.

        Of a recipe that counts epochs, other steps are its length from then on.

        Raises:
            ValueError: A key that no recipe has (the nearest one is named), or a value that cannot be; steps and epochs
                together.
        """
        epochs = values.get("epochs")
        if "steps" in values and epochs is not None:
            raise ValueError(
                f"the recipe's length is given as steps ({values['steps']!r}) and as epochs ({epochs!r}), expected one "
                "of them: leave the other out."
            )
        return self._with({**values, "epochs": epochs} if "steps" in values else values)

    def _with(self, values: Mapping[str, Any]) -> "Recipe":
        own = {item.name for item in dataclasses.fields(Recipe)}
        of_pictures = {f"augmentation.{item.name}" for item in dataclasses.fields(Augmentation)}
        flat = {key: value for key, value in values.items() if key != "augmentation"}
        pictures = values.get("augmentation", {})
        if not isinstance(pictures, Mapping):
            raise ValueError(
                f"the recipe's augmentation is {pictures!r}, expected names and their values, such as "
                '{"crop": [512, 512]}: correct this key.'
            )
        flat |= {f"augmentation.{key}": value for key, value in pictures.items()}
        for key in flat.keys() - own - of_pictures:
            near = difflib.get_close_matches(key, own | of_pictures, 1, 0.5) or ["one that the recipe has"]
            likely = f"augmentation.{key}" if f"augmentation.{key}" in of_pictures else near[0]
            raise ValueError(f"the recipe's key {key!r} is unknown, expected {likely}: correct it.")
        flat = {key: tuple(value) if isinstance(value, list) else value for key, value in flat.items()}
        how = {key.partition(".")[2]: flat.pop(key) for key in flat.keys() & of_pictures}
        for key, hint in typing.get_type_hints(Augmentation).items():
            if key in how and not _fits(how[key], hint):
                raise ValueError(
                    f"the recipe's augmentation.{key} is {how[key]!r}, expected {_in_words(hint)}: correct this key."
                )
        return dataclasses.replace(self, **flat, augmentation=dataclasses.replace(self.augmentation, **how))

    def save(self, file: str | Path) -> None:
        """Writes the recipe as JSON, which `load_recipe` and `segformer-tf train --recipe` read."""
        write_text(file, str(self))

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Keys and values for `changed`, of settings such as "learning_rate=1e-4" or "augmentation.crop=[256, 320]".

    A value is JSON, or a word. Raises ValueError for a setting without one.
    """
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"the setting {setting!r} has no value, expected KEY=VALUE: give it one.")
        values[key.strip()] = _value(text.strip())
    return values


def _value(text: str) -> Any:
    """What a setting's text says: JSON, a number such as ".5", None, or the text itself."""
    for read in (json.loads, float):
        try:
            return read(text)
        except ValueError:
            pass
    return None if text in ("None", "none") else text


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the annotated type; whole numbers are numbers, True and False are not, nor is infinity."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, argument) for argument in arguments)
    if origin is tuple:
        if not isinstance(value, tuple) or (arguments[-1] is not Ellipsis and len(value) != len(arguments)):
            return False
        return all(_fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, arguments[1]) for item in value.values())
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint) and (hint is not int or not isinstance(value, bool))


def _in_words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_in_words(argument) for argument in arguments)
    if origin is tuple:
        return "a list of numbers" if arguments[-1] is Ellipsis else f"a list of {len(arguments)} numbers"
    if origin is dict:
        return "names and their shares"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    return words[hint] if hint in words else str(hint.__name__)
