"""Private names of Keras and TensorFlow stand in `models/private.py` and nowhere else."""

import ast
import importlib

import keras
import numpy as np
import pytest
from reference import ROOT

from segformer_tf.models import private

PACKAGE = ROOT / "segformer_tf"
# Overriding a private method needs its name in the class: these are listed in the docstring of private.py.
OVERRIDDEN = {
    "segformer_tf/models/adamw.py": {"_backend_update_step", "_apply_weight_decay"},
    "segformer_tf/models/distribution.py": {"_maybe_symbolic_build"},
    "segformer_tf/training/optimizer.py": {
        *("_should_use_adamw", "_adamw_update_step", "_backend_update_step", "_apply_weight_decay"),
        "_update_model_variables_moving_average",
    },
}
MODULES = ("tf.__internal__", "keras.src", "tensorflow.python", "tensorflow.compiler")


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_names(thing):
    """The private names of an object and of the classes of Keras and TensorFlow that it is made of."""
    kinds = [kind for kind in type(thing).__mro__ if kind.__module__.startswith(("keras", "tensorflow"))]
    return {name for names in (vars(thing), *map(vars, kinds)) for name in names if is_private(name)}


@pytest.fixture(scope="module")
def of_keras():
    """The private names of Keras' models, layers, variables, optimizers, schedules, metrics, losses and callbacks."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    optimizers = keras.optimizers.AdamW(use_ema=True), keras.optimizers.Muon()
    for optimizer in optimizers:
        model.compile(optimizer, loss="mse", metrics=["mse"])
        optimizer.build(model.trainable_variables)
    rest = (
        model.trainable_variables[0],
        keras.optimizers.schedules.CosineDecay(1.0, 2),
        keras.metrics.MeanIoU(2),
        keras.losses.MeanSquaredError(),
        keras.callbacks.ModelCheckpoint("model.keras"),
        keras.DTypePolicy("float32"),
    )
    return set().union(*map(private_names, (model, *model.layers, *optimizers, *rest)))


def derives_from_keras(file, node, root):
    """Whether a class of a file is a subclass of one of Keras'."""
    if file.name == "torch_classes.py":  # they are, and ask for another backend when they are imported
        return True
    module = importlib.import_module(".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
    kinds = getattr(module, node.name, object).__mro__[1:]
    return any(kind.__module__.startswith("keras") for kind in kinds)


def names_in(file, of_keras, root=ROOT):
    """(private names of Keras' objects that a file asks for, those that its subclasses of Keras' classes define)."""
    source = file.read_text("utf-8")
    if "keras" not in source and "tensorflow" not in source:
        return set(), set()
    tree = ast.parse(source)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.bases]
    inside = {
        id(node)
        for kind in classes
        if derives_from_keras(file, kind, root)
        for node in ast.walk(kind)
        if node is not kind
    }
    own, overridden, asked = set(), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in of_keras:
            (overridden if id(node) in inside else own).add(node.name)
        elif isinstance(node, ast.Attribute) and node.attr in of_keras:
            # `self._x = ...` in a class that is no subclass of Keras' makes a name of our own.
            ours = isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self" and id(node) not in inside
            (own if ours else asked).add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in of_keras:
            asked.add(node.value)
    return asked - own, overridden


def test_private_names_stand_in_one_file(of_keras):
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(ROOT).as_posix()
        if file.name == "private.py":
            continue
        asked, overridden = names_in(file, of_keras)
        allowed = OVERRIDDEN.get(name, set())
        assert overridden == allowed, f"{name} overrides {sorted(overridden ^ allowed)}: list it in models/private.py"
        assert asked <= allowed, f"{name} uses {sorted(asked - allowed)}: put it into models/private.py"
        for module in MODULES:
            assert module not in file.read_text("utf-8"), f"{name} uses {module}: put it into models/private.py"


def test_the_search_finds_names_asked_for_assigned_and_overridden(tmp_path, monkeypatch, of_keras):
    asked, _ = names_in(PACKAGE / "models" / "private.py", of_keras)
    assert asked == {
        "_called",
        "_compile_loss",
        "_compile_metrics",
        "_flatten_layers",
        "_kernel",
        "_learning_rate",
        "_var_key",
        "_get_variable_index",
        "_momentums",
        "_velocities",
        "_model_variables_moving_average",
        "_iterations",
        "_use_weight_decay",
        "_distribution_strategy",
    }
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "a_layer_of_keras.py"
    lines = (
        "class A(keras.Layer):",
        "    def _flatten_layers(self):",
        "        self._layers = []",
        "vars(A())['_called']",
    )
    file.write_text("\n".join(("import keras", *lines)))
    assert names_in(file, of_keras, tmp_path) == ({"_layers", "_called"}, {"_flatten_layers"})


def test_overridden_methods_are_listed():
    for names in OVERRIDDEN.values():
        assert all(f"`{name}`" in private.__doc__ for name in names)


def test_functions_give_what_their_names_say():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.compile("sgd")
    assert not private.has_compiled_loss(model) and private.has_fed_metrics(model)
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 10)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.1, use_ema=True)
    model.compile(optimizer, loss="mse", metrics=["mae"])
    assert private.has_compiled_loss(model) and not private.has_fed_metrics(model)
    model.evaluate(np.ones((1, 3)), np.ones((1, 2)), verbose=0)
    assert private.has_fed_metrics(model)
    private.forget_compiled(model)
    assert not private.has_compiled_loss(model) and model.loss is None and model.metrics_names == ["loss"]
    outer = keras.Sequential([model])
    assert private.children_of(outer) == [model] and len(private.parts_of(outer)) > 2
    layer = keras.layers.Dense(2)
    layer(np.ones((1, 3)))
    assert "_called" in vars(layer) and private.state_of(layer).keys() == vars(layer).keys() - {"_called"}
    assert [part.name for part in private.parts_of(model) if part.weights] == [model.name, "dense"]
    assert private.rate_of(optimizer) is schedule

    kernel, bias = model.trainable_variables
    model.get_layer("dense").enable_lora(1)
    assert private.kernel_beside_lora(model.get_layer("dense")) is kernel

    optimizer.exclude_from_weight_decay(var_list=[bias])
    optimizer.build([kernel, bias])
    assert private.is_decayed(optimizer, kernel) and not private.is_decayed(optimizer, bias)
    assert private.key_of(optimizer, kernel) != private.key_of(optimizer, bias)
    optimizer.apply([np.ones((3, 2), "float32"), np.ones(2, "float32")])
    assert int(private.batches_of(optimizer)) == 1
    momentum, velocity = private.moments_of(optimizer, kernel)
    np.testing.assert_allclose(momentum, np.full((3, 2), 0.1), rtol=1e-6)
    np.testing.assert_allclose(velocity, np.full((3, 2), 0.001), rtol=1e-5)
    assert [tuple(average.shape) for average in private.averages_of(optimizer)] == [(3, 2), (2,)]


def test_across_replicas_runs_once_with_the_strategy():
    calls = []
    optimizer = keras.optimizers.AdamW()
    private.across_replicas(optimizer, lambda strategy, *args: calls.append((strategy is not None, args)), 1, 2)
    assert calls == [(True, (1, 2))]
