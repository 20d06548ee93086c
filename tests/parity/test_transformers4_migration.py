"""docs/migrating.md names everything that the installed transformers 4.57 offers to a SegFormer user."""

import pytest
import transformers
from migration_table import arguments, public, rows, takes
from reference import SMALL
from transformers import modeling_tf_outputs

import segformer_tf
from segformer_tf import SegformerConfig

KERAS = ("tf_keras", "keras", "tensorflow", "builtins")
MODELS = (
    "TFSegformerModel",
    "TFSegformerDecodeHead",
    "TFSegformerForImageClassification",
    "TFSegformerForSemanticSegmentation",
)
PROCESSORS = ("SegformerImageProcessor", "SegformerFeatureExtractor")
BY_POSITION = ("train_step(data)", "test_step(data)")  # only Keras calls them, on JAX with more before the data


def here(name: str, cls: str):
    return getattr(getattr(segformer_tf, cls), name, None)


def missing(section: str, classes: tuple[str, ...]) -> list[str]:
    """Names and arguments that transformers has, and neither this package nor the table."""
    table, gaps = rows(section), []
    for cls in classes:
        names = public(getattr(transformers, cls), KERAS)
        for name, value in {**names, "__init__": getattr(transformers, cls).__init__}.items():
            if name != "__init__" and name not in table:
                gaps.append(f"{cls}.{name}")
            elif table.get(name) != "left out":
                own = arguments(here(name, cls))
                wanted = {f"{name}({argument})" for argument in arguments(value) - own}
                gaps += sorted(f"{cls}.{each}" for each in wanted - table.keys())
    return gaps


SECTIONS = {"Models": MODELS, "SegformerConfig": ("SegformerConfig",), "SegformerImageProcessor": PROCESSORS}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_table_names_every_method_and_argument(section):
    assert transformers.__version__.startswith("4.57.")
    assert missing(section, SECTIONS[section]) == []


def made(library, cls: str):
    """An object with what a class has and what its objects have; of transformers' models the class will do."""
    if not cls.startswith("TF"):
        return getattr(library, cls)()
    return getattr(library, cls) if library is transformers else getattr(library, cls)(SegformerConfig(**SMALL))


@pytest.mark.parametrize(("section", "cls"), [(section, cls) for section in SECTIONS for cls in SECTIONS[section]])
def test_what_the_table_calls_the_same_or_better_is_there(section, cls):
    there, here, gaps = made(transformers, cls), made(segformer_tf, cls), []
    for entry, state in rows(section).items():
        name, _, argument = entry.rstrip(")").partition("(")
        if state == "left out" or not hasattr(there, name):
            continue
        if not hasattr(here, name):
            gaps.append(name)
        elif argument and belongs(name, argument, cls, section):
            gaps += [] if entry in BY_POSITION or takes(getattr(here, name), argument) else [entry]
    assert gaps == []


def belongs(name: str, argument: str, cls: str, section: str) -> bool:
    """Whether an argument is this class's: its signature has it, or nobody's, as it is among `**kwargs`."""
    having = [
        each for each in SECTIONS[section] if argument in arguments(getattr(getattr(transformers, each), name, None))
    ]
    return cls in having or not having


def test_the_table_names_every_attribute_of_a_configuration():
    table = rows("SegformerConfig")
    attributes = {name for name in vars(transformers.SegformerConfig()) if not name.startswith("_")}
    own = set(vars(segformer_tf.SegformerConfig()))
    assert sorted(attributes - own - table.keys()) == []


def test_the_table_names_every_field_and_method_of_the_outputs():
    from transformers.utils import ModelOutput

    table = rows("Outputs")
    fields = {"logits"}
    for name in ("TFBaseModelOutput", "TFSequenceClassifierOutput", "TFSemanticSegmenterOutput"):
        fields |= set(getattr(modeling_tf_outputs, name).__dataclass_fields__)
    methods = {name for name in vars(ModelOutput) if not name.startswith("_")}
    assert sorted((fields | methods) - table.keys()) == []


def test_the_public_classes_are_the_ones_that_transformers_has():
    names = {name for name in dir(transformers) if "Segformer" in name and "Fast" not in name}
    left_out = ("PreTrainedModel", "Layer", "OnnxConfig")
    assert {name for name in names if not name.endswith(left_out)} <= set(segformer_tf._ROOMS)
