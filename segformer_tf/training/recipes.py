"""The recipes that have a name, each with the command, the time it takes and the score to expect."""

from dataclasses import dataclass, field
from pathlib import Path

from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.read import read_json, understanding
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.recipe import Recipe

ADE20K_PICTURES = Augmentation(fit_within=(2048, 512))
CITYSCAPES_PICTURES = Augmentation(crop=(1024, 1024), fit_within=(2048, 1024))
SMALL_CROPS = Augmentation(crop=(256, 320), scale=(0.5, 1.5), max_class_share=1.0, class_crop_rate=0.5)
OWN_OBJECTS = Augmentation(crop=(224, 224), scale=(1.0, 2.0))
OBJECTS = Augmentation(crop=(224, 224), scale=(1.0, 3.0), photometric=False)


@dataclass(frozen=True, eq=False)
class PaperADE20K(Recipe):
    """The paper's ADE20K models, from an ImageNet encoder; every default of `Recipe` is its own.

    segformer-tf train --data ADEChallengeData2016 --model nvidia/mit-b0 --output RUN --recipe paper-ade20k

    The paper: 37.4 % mIoU for b0 to 51.0 for b5, on eight V100. Not run here.
    """

    augmentation: Augmentation = ADE20K_PICTURES


@dataclass(frozen=True, eq=False)
class PaperCityscapes(PaperADE20K):
    """The same on Cityscapes in crops of 1024 x 1024.

    segformer-tf train --data CITYSCAPES --model nvidia/mit-b0 --output RUN --recipe paper-cityscapes

    The paper: 76.2 % mIoU for b0 to 82.4 for b5 (windows of 1024). Not run here.
    """

    name: str = "paper-cityscapes"
    batch_size: int = 8
    augmentation: Augmentation = CITYSCAPES_PICTURES


@dataclass(frozen=True, eq=False)
class FineTune(Recipe):
    """Your own pictures, from a checkpoint: the paper's optimizer, averaged weights, and an end where nothing rises.

    segformer-tf train --data DIR --model nvidia/mit-b0 --output RUN

    Time and score are your data's; no pretrained encoder could be had to measure one here.
    """

    name: str = "fine-tune"
    steps: int = 4000
    batch_size: int = 8
    warmup_steps: int = 100
    clip_norm: float | None = 1.0
    ema_momentum: float | None = 0.99
    patience: int | None = 1000


@dataclass(frozen=True, eq=False)
class FromScratch(FineTune):
    """Your own pictures, from random weights: Muon at a high rate, class weights, Dice, crops over rare classes.

    segformer-tf train --data CAMVID --model b0 --output RUN

    On CamVid's val split 70.4 % mIoU after 3000 steps, 55 minutes on two cores, in `mixed_bfloat16`
    (`docs/camvid/tried/first.json`); the 5000 steps here were not run. Where there is a GPU, `docs/camvid/recipe.json`
    has more pictures a step, larger crops and more distortion: 73.8 %.
    """

    name: str = "from-scratch"
    steps: int = 5000
    optimizer: str = "muon"
    learning_rate: float = 8e-3
    weight_decay: float = 0.02
    head_multiplier: float = 1.0
    ema_momentum: float | None = 0.995
    drop_path_rate: float = 0.0
    dropout_rate: float = 0.0
    loss: dict[str, float] = field(default_factory=lambda: {"cross_entropy": 1.0, "dice": 0.5})
    class_weight_power: float = 0.5
    patience: int | None = None
    augmentation: Augmentation = SMALL_CROPS


@dataclass(frozen=True, eq=False)
class Classify(FineTune):
    """Your own folders of classes, from a checkpoint or from random weights: crops of 224 x 224 and mixed colours.

    segformer-tf train --data FOLDERS --model nvidia/mit-b0 --output RUN

    Time and score are your data's; no pretrained encoder could be had to measure one here.
    """

    name: str = "classify"
    steps: int = 2000
    batch_size: int = 32
    learning_rate: float = 3e-4
    patience: int | None = 500
    augmentation: Augmentation = OWN_OBJECTS


@dataclass(frozen=True, eq=False)
class Classifier(Recipe):
    """An encoder on folders of classes, as the paper's on ImageNet.

    segformer-tf train --data IMAGENET --model b0 --output RUN --recipe classifier

    The paper: 70.5 % top-1 for b0 to 83.8 for b5. Not run here at that size; `make digits` is its smallest example.
    """

    name: str = "classifier"
    epochs: int | None = 300
    batch_size: int = 1024
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    power: float | None = None
    warmup_steps: int = 6000
    head_multiplier: float = 1.0
    mixup_alpha: float = 0.8
    rand_augment: bool = True
    augmentation: Augmentation = OBJECTS


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (PaperADE20K(), PaperCityscapes(), FineTune(), FromScratch(), Classify(), Classifier())
}


@spell_checked
def load_recipe(name_or_file: str | Path) -> Recipe:
    """A recipe by its name in `RECIPES`, or from a JSON file; a key that the file leaves out has its default.

    A run's `recipe.json` is such a file; its "seed" is no number of a recipe, and is left out.

    Raises:
        FileNotFoundError: No recipe and no file of that name.
        ValueError: A key that no recipe has, or a value that cannot be.
    """
    if str(name_or_file) in RECIPES:
        return RECIPES[str(name_or_file)]
    file = Path(name_or_file)
    if not file.is_file():
        raise FileNotFoundError(
            f"the recipe is {str(name_or_file)!r}, expected {', '.join(RECIPES)} or a JSON file: choose one."
        )
    values = read_json(file, "a recipe")
    with understanding(file, "a recipe"):
        if type(values.get("seed")) is int:
            del values["seed"]
        return Recipe.from_dict(values)
