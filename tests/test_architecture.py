"""Who may import whom, and what importing the package loads."""

import ast
import subprocess
import sys

import pytest
from reference import ROOT

PACKAGE = ROOT / "segformer_tf"
ROOMS = ("models", "images", "checkpoints", "training", "inference", "cli")
MAY_IMPORT = {
    "models": {"checkpoints"},
    "images": {"checkpoints"},
    "checkpoints": set(),
    "training": {"models", "images", "checkpoints"},
    "inference": {"models", "images", "checkpoints"},
    "cli": set(ROOMS),
}
# Packages that a room may load at all (the standard library aside), and those it may load only inside functions.
PACKAGES = {
    "models": {"keras", "tensorflow", "numpy", "optree", "torch"},
    "images": {"numpy", "PIL", "tensorflow"},
    "checkpoints": {"numpy", "h5py", "safetensors", "huggingface_hub", "torch", "keras"},
}
LATE = {"images": {"tensorflow"}, "checkpoints": {"keras", "torch", "huggingface_hub"}, "cli": {"keras", "tensorflow"}}


def imports(file):
    """(top-level package, room of ours or None, whether it is loaded with the module) of each import in a file."""
    tree = ast.parse(file.read_text("utf-8"))
    late = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.Lambda))
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    ["segformer_tf", *file.relative_to(PACKAGE).parts[: -node.level], *filter(None, [base])]
                )
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "segformer_tf" else [base]
        for name in names:
            parts = name.split(".")
            room = parts[1] if parts[0] == "segformer_tf" and len(parts) > 1 and parts[1] in ROOMS else None
            yield parts[0], room, id(node) not in late


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_they_may(room):
    for file in (PACKAGE / room).rglob("*.py"):
        for package, other, at_load in imports(file):
            if other not in (None, room):
                assert other in MAY_IMPORT[room], f"{file} imports {other}"
            if room in PACKAGES and package not in sys.stdlib_module_names | {"segformer_tf"}:
                assert package in PACKAGES[room], f"{file} imports {package}"
            if at_load:
                assert package not in LATE.get(room, ()), f"{file} imports {package} when it is loaded"


def test_files_are_short_and_none_is_a_drawer():
    for file in PACKAGE.rglob("*.py"):
        assert file.stem not in ("utils", "common", "helpers")
        lines = file.read_text("utf-8").count("\n")
        assert lines <= 260 or file.name == "palettes.py", f"{file} has {lines} lines"


def test_importing_the_package_loads_no_framework():
    code = (
        "import sys, segformer_tf, segformer_tf.cli, segformer_tf.checkpoints, segformer_tf.images;"
        "from segformer_tf import SegformerConfig, SegformerImageProcessor;"
        "assert not {'tensorflow', 'keras', 'torch', 'huggingface_hub'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_all_there():
    import segformer_tf

    for name in segformer_tf.__all__:
        assert getattr(segformer_tf, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'TFSegformer'; its public names are SegformerConfig"):
        _ = segformer_tf.TFSegformer
