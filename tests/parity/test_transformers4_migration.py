"""docs/migrating.md names everything that the installed transformers 4.57 offers to a SegFormer user."""

import pytest
import transformers
from migration_table import arguments, public, rows
from transformers import modeling_tf_outputs

import segformer_tf

KERAS = ("tf_keras", "keras", "tensorflow", "builtins")
MODELS = (
    "TFSegformerModel",
    "TFSegformerDecodeHead",
    "TFSegformerForImageClassification",
    "TFSegformerForSemanticSegmentation",
)
PROCESSORS = ("SegformerImageProcessor", "SegformerFeatureExtractor")


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


@pytest.mark.parametrize(
    ("section", "classes"),
    [("Models", MODELS), ("SegformerConfig", ("SegformerConfig",)), ("SegformerImageProcessor", PROCESSORS)],
)
def test_the_table_names_every_method_and_argument(section, classes):
    assert transformers.__version__.startswith("4.57.")
    assert missing(section, classes) == []


@pytest.mark.parametrize(
    ("section", "classes"),
    [("Models", MODELS), ("SegformerConfig", ("SegformerConfig",)), ("SegformerImageProcessor", PROCESSORS)],
)
def test_what_the_table_calls_the_same_or_better_is_there(section, classes):
    for entry, state in rows(section).items():
        name, _, argument = entry.rstrip(")").partition("(")
        if state != "left out" and not argument:
            owners = [cls for cls in classes if hasattr(getattr(segformer_tf, cls), name)]
            config = segformer_tf.SegformerConfig()
            assert owners or (section == "SegformerConfig" and hasattr(config, name)), name


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
