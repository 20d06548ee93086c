"""Who may import whom, and what importing the package loads."""

import ast
import subprocess
import sys

import pytest
from reference import ROOT

PACKAGE = ROOT / "segformer_tf"
# A room is a folder of the package, or a module that stands beside the folders.
BELOW = {
    "storage": set(),
    "bounds": set(),
    "config": {"bounds", "storage"},
    "checkpoints": {"config", "storage"},
    "images": {"storage"},
    "models": {"checkpoints", "config", "bounds", "storage"},
    "convert": {"models", "checkpoints", "config", "storage"},
    "pipelines": {"models", "checkpoints", "config", "bounds", "storage", "images"},
    "batch": {"pipelines", "models", "checkpoints", "config", "storage", "images"},
    "page": {"pipelines", "storage", "images"},
    "export": {"pipelines", "models", "checkpoints", "config", "bounds", "storage", "images"},
    "data": {"config", "bounds", "storage", "images"},
    "training": {"data", "pipelines", "models", "checkpoints", "config", "bounds", "storage", "images"},
    "serving": set(),
}
ROOMS = (*BELOW, "cli")
BELOW["cli"] = set(BELOW)
# Packages that a room may load at all (the standard library aside), and those it may load only inside functions.
FILES = {
    "numpy",
    "PIL",
    "tifffile",
    "rasterio",
    "h5py",
    "safetensors",
    "huggingface_hub",
    "yaml",  # which huggingface_hub requires
    "torch",
    "tensorflow",
    "keras",
}
PACKAGES = {
    "models": {"keras", "tensorflow", "numpy", "optree", "torch", "jax"},
    **dict.fromkeys(("storage", "config", "checkpoints", "data"), FILES),
    "images": {*FILES, "isal"},
}
STANDARD = {*sys.stdlib_module_names, "typing_extensions"}  # what `typing` has only in newer Pythons
HEAVY = {"tifffile", "rasterio", "av", "tensorflow", "keras", "torch", "huggingface_hub", "yaml"}
LATE = dict.fromkeys(("storage", "config", "checkpoints", "images", "data", "convert", "cli"), HEAVY)


# A public name of a lower room for what stands above it, fetched when someone asks for it: the one arrow upwards.
PUBLIC_ALIAS = ("segformer_tf.checkpoints", "segformer_tf.convert")


def room_of(file):
    """The room that a file of the package belongs to; None for the package's own `__init__`."""
    first = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return first if first in ROOMS else None


def module_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in PACKAGE.rglob("*.py")}


def imports(file):
    """(module that is imported, whether that happens as the file is loaded) of each import in a file."""
    tree = ast.parse(file.read_text("utf-8"))
    late = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively: write the module's whole name"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in whole]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            names = [name for name in names if (module_of(file), name) != PUBLIC_ALIAS]
        else:
            continue
        for name in names:
            yield name, id(node) not in late


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_they_may(room):
    for file in MODULES.values():
        if room_of(file) != room:
            continue
        for name, at_load in imports(file):
            package, _, rest = name.partition(".")
            if package == "segformer_tf":
                other = rest.partition(".")[0]
                if not other:  # the package's own names come from every room, but for its version
                    source = file.read_text("utf-8")
                    only_version = "import segformer_tf\n" not in source
                    assert room == "cli" or (only_version and "from segformer_tf import __version__" in source), (
                        f"{file} imports every room"
                    )
                elif other != room:
                    assert other in BELOW[room], f"{file} imports {other}"
            elif room in PACKAGES and package not in STANDARD:
                assert package in PACKAGES[room], f"{file} imports {package}"
            if at_load:
                assert package != "typing_extensions", f"{file} needs what is there for type checkers"
                assert package not in LATE.get(room, ()), f"{file} imports {package} when it is loaded"


def test_no_module_imports_itself_through_others():
    """Late imports and those for type checkers count as well."""
    arrows = {
        module: {name for name, _ in imports(file) if name in MODULES and name not in (module, "segformer_tf")}
        for module, file in MODULES.items()
        if module != "segformer_tf"
    }
    finished, path = set(), []

    def visit(module):
        assert module not in path, f"a circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module in finished:
            return
        path.append(module)
        for other in sorted(arrows[module]):
            visit(other)
        path.pop()
        finished.add(module)

    for module in sorted(arrows):
        visit(module)


def test_files_are_short_and_none_is_a_drawer():
    for file in PACKAGE.rglob("*.py"):
        assert file.stem not in ("utils", "common", "helpers", "elements")
        lines = file.read_text("utf-8").count("\n")
        assert lines <= 260 or file.name in ("palettes.py",), f"{file} has {lines} lines"


def test_kernels_import_nothing_of_ours():
    for module, file in MODULES.items():
        if module.startswith("segformer_tf.models.kernels"):
            ours = {name for name, _ in imports(file) if name.startswith("segformer_tf")}
            assert all(name.startswith("segformer_tf.models.kernels") for name in ours), file


def test_runtimes_stand_below_the_other_pipelines_and_videos_above():
    def within(module, room):
        return f"{module}.".startswith(f"segformer_tf.pipelines.{room}")

    for module, file in MODULES.items():
        for name, _ in imports(file):
            if within(module, "runtimes."):
                assert within(name, "runtimes.") or not within(name, ""), f"{file} imports {name}"
            elif within(module, "") and within(name, "video."):
                assert within(module, "video."), f"{file} imports {name}"


def test_importing_the_package_loads_no_framework():
    code = (
        "import sys, segformer_tf, segformer_tf.cli, segformer_tf.checkpoints, segformer_tf.images;"
        "import segformer_tf.pipelines.video;"
        "from segformer_tf import SegformerConfig, SegformerImageProcessor;"
        "assert not {'tensorflow', 'keras', 'torch', 'huggingface_hub', 'av'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_all_there():
    import segformer_tf

    for name in segformer_tf.__all__:
        assert getattr(segformer_tf, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'TFSegformer'; its public names are SegformerConfig"):
        _ = segformer_tf.TFSegformer


def test_cores_are_counted_in_one_place():
    """By others a process that is bound to few cores would start threads for all."""
    counting = {file.name for file in PACKAGE.rglob("*.py") if "cpu_count" in file.read_text("utf-8")}
    assert counting == {"cores.py"}
