"""What a run must keep to go on as if it had never stopped: all variables of model and optimizer, the step, the log."""

import csv
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segformer_tf import checkpoints
from segformer_tf.storage.read import MAX_BYTES, read_json, understanding
from segformer_tf.storage.whole import whole, write_text
from segformer_tf.training.recipe import Recipe

STATE = "training_state.npz"
RECIPE = "recipe.json"
DATA = "data.json"
LOG = "log.csv"
RESUME = "resume=True (in the shell --resume)"
HEADER = 4096  # bytes, of an array in the file
# What may be changed when a run goes on.
FREE = ("steps", "epochs", "evaluate_every", "save_every", "patience", "retries")


class NotFinite(ValueError):
    """Training has come to values that are no numbers."""


def kept(run: Path) -> str:
    """The end of a message: what of a run was saved before its values were none."""
    if (run / "last" / "config.json").is_file():
        return f"; {run / 'last'} has the weights of the last evaluation, which another run can start from"
    return "" if (run / "last" / STATE).is_file() else "; no weights were saved before that"


def nothing() -> dict[str, Any]:
    """What `save` is told of a run that has not begun: step, seconds, log, and the loss since the last evaluation."""
    return {"step": 0, "seconds": 0.0, "rows": [], "partial": (0.0, 0)}


def save(run: Path, model: keras.Model, about: dict[str, Any]) -> None:
    """Writes `last/training_state.npz`: the new file takes the old one's place when it is whole.

    Raises:
        OSError: The disk is full or cannot be written; the earlier state is as it was.
        NotFinite: A variable has NaN or infinite values; the earlier state is as it was.
    """
    file = run / "last" / STATE
    arrays = {}
    for kind, i, variable in _variables(model):
        array = arrays[f"{kind}_{i}"] = variable.numpy()
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise NotFinite(
                f"{variable.path} has values that are no numbers at step {about['step']}, expected finite ones, and "
                f"was not saved: lower the learning rate{kept(run)}."
            )
    with whole(file) as draft:
        np.savez(draft, about=np.array(json.dumps(about)), **arrays)


def restore(run: Path, model: keras.Model) -> dict[str, Any]:
    """Puts the saved values into a model that is compiled as the saved one was; returns what `save` was told.

    A run that was stopped before its first checkpoint begins anew.

    Raises:
        ValueError: The state is of another model, or damaged.
    """
    file = run / "last" / STATE
    if not file.is_file():
        return nothing()
    variables = {f"{kind}_{i}": variable for kind, i, variable in _variables(model)}
    try:
        with open(file, "rb") as stream, zipfile.ZipFile(stream) as members:
            sizes = {member.filename.removesuffix(".npy"): member.file_size for member in members.infolist()}
        most = {name: 8 * math.prod(variable.shape) + HEADER for name, variable in variables.items()}
        if sizes.keys() != {*most, "about"} or any(sizes[name] > size for name, size in most.items()):
            raise _of_another(file)
        if sizes["about"] > MAX_BYTES:
            raise ValueError(f"its log has {sizes['about']} bytes")
        with open(file, "rb") as stream, np.load(stream) as arrays:
            values = {name: np.asarray(arrays[name]) for name in arrays.files}
        about = _checked(json.loads(str(values.pop("about"))))
    except _Another:
        raise
    except Exception as error:  # zipfile and numpy raise many kinds for a file that was cut or changed
        raise ValueError(
            f"{file} cannot be read ({error}), expected the state of a run: start anew without {RESUME}."
        ) from error
    if {k: tuple(v.shape) for k, v in variables.items()} != {k: v.shape for k, v in values.items()}:
        raise _of_another(file)
    for name, array in values.items():
        if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and not np.isfinite(array).all()):
            raise ValueError(f"{file}: {name} has values that are no numbers: start anew without {RESUME}.")
    for name, variable in variables.items():
        variable.assign(values[name])
    return about


class _Another(ValueError):
    """The state of another model."""


def _of_another(file: Path) -> ValueError:
    return _Another(f"{file} is the state of another model: go on with the model that the run was started with.")


def _checked(about: Any) -> dict[str, Any]:
    """What `save` was told, with values of the right kinds."""
    rows, step = about.get("rows", []), about["step"]
    whole_rows = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    total, steps = about.get("partial", (0.0, 0))
    numbers = [step, about.get("seconds", 0.0), total, steps, about.get("slower", 0)]
    if not (isinstance(step, int) and step >= 0 and whole_rows and all(isinstance(n, (int, float)) for n in numbers)):
        raise ValueError("its step or log are of another kind")
    return about


def _variables(model: keras.Model):
    """Also the states of the random generators, which Keras keeps among a model's variables."""
    for kind, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        for i, variable in enumerate(variables):
            yield kind, i, variable


def saved(run: Path) -> bool:
    """Whether a directory holds anything that a run has learned; what failed before its first checkpoint left none."""
    kept = (f"last/{STATE}", "last/config.json", "best/config.json", LOG)
    return any((run / name).is_file() for name in kept)


def check(
    run: Path, recipe: Recipe, seed: int, resume: bool, pictures: Mapping[str, dict[str, Any] | None] | None = None
) -> str | None:
    """Checks that a new run can begin in the directory, or that the run there is the one to go on with.

    A run of which nothing was saved is no run yet: it begins anew, with whatever recipe.

    Args:
        pictures: Split -> its `sources.identity`.

    Returns:
        What was changed since the run was started, if something was.

    Raises:
        FileExistsError: There is a run already, and it is not to be resumed; or a file stands there.
        FileNotFoundError: There is no run to resume.
        ValueError: The run was started with another recipe or seed, or on other pictures; its length and intervals may
            be changed.
    """
    file = run / RECIPE
    if run.exists() and not run.is_dir():
        raise FileExistsError(f"{run} is a file, expected the directory of a run: choose another.")
    if not resume:
        if saved(run):
            raise FileExistsError(
                f"{run} has a run already, expected none: go on with {RESUME}, or choose another directory."
            )
        return None
    if not file.exists():
        raise FileNotFoundError(
            f"{file} does not exist, expected a run to go on with: leave {RESUME} out to start one."
        )
    if not saved(run):
        return None
    # An older version has not written every key of today: what it did then is the default.
    found = {**_flat(Recipe().to_dict()), **_flat(read_json(file, "the recipe of a run"))}
    now = _flat({**recipe.to_dict(), "seed": seed})
    changed = {
        key: f"{key} {found.get(key)} to {now.get(key)}" for key in {**found, **now} if found.get(key) != now.get(key)
    }
    if refused := [text for key, text in changed.items() if key not in FREE]:
        raise ValueError(
            f"the recipe of {run} was changed ({'; '.join(refused)}), expected the one it was started with: give that, "
            f"or start another run from its last/. Only {', '.join(FREE)} may be changed."
        )
    check_pictures(run, pictures or {})
    return "; ".join(changed.values()) or None


def check_pictures(
    run: Path, pictures: Mapping[str, dict[str, Any] | None], keys: Sequence[str] = ("pictures", "names", "bytes")
) -> None:
    """Raises ValueError where a run was started on other pictures; an older version's did not say on which.

    Args:
        pictures: Split -> its `sources.identity`.
        keys: Of the identity, those that must be the same.
    """
    if not (run / DATA).is_file():
        return
    started = read_json(run / DATA, "the data set of a run").get("identity") or {}
    for split, now in pictures.items():
        before = started.get(split)
        if not (now and before) or all(now[key] == before[key] for key in keys):
            continue
        names = "other ones" if now["names"] != before["names"] else "other files of the same names"
        what = names if now["pictures"] == before["pictures"] else f"{now['pictures']}, not {before['pictures']}"
        raise ValueError(
            f"the {split} pictures are not those that {run} was started with ({what}), expected the same: give its "
            "data set and its groups, or start another run from its last/."
        )


def begin(run: Path, recipe: Recipe, seed: int, data: dict[str, Any]) -> None:
    """Writes what a run is made of, `recipe.json` and `data.json`; once nothing that can be checked will fail."""
    write_text(run / RECIPE, json.dumps({**recipe.to_dict(), "seed": seed}, indent=2) + "\n")
    write_text(run / DATA, json.dumps(data, indent=2) + "\n")


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's values by key, those of its augmentation as `augmentation.KEY`."""
    pictures = recipe.get("augmentation")
    if not isinstance(pictures, dict):
        return recipe
    rest = {key: value for key, value in recipe.items() if key != "augmentation"}
    return rest | {f"augmentation.{key}": value for key, value in pictures.items()}


def read_weights(directory: Path, model: keras.Model) -> None:
    """Puts the weights of a directory that the same model was saved to into a model."""
    found = checkpoints.load(directory).variables
    for variable in model.weights:
        variable.assign(found[variable.path])


def read_recipe(run: Path) -> tuple[Recipe, int]:
    """Recipe and seed that a run was started with."""
    values = read_json(run / RECIPE, "the recipe of a run")
    with understanding(run / RECIPE, "the recipe of a run"):
        seed = int(values.pop("seed"))
        return Recipe.from_dict(values), seed


def write_log(run: Path, rows: list[dict[str, Any]]) -> None:
    """`log.csv`, one row an evaluation."""
    with whole(run / LOG) as draft, open(draft, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def logged(run: Path) -> int | None:
    """The step of the log's last row; None where there is none. The log is written after the weights."""
    if not (run / LOG).is_file():
        return None
    with open(run / LOG, newline="", encoding="utf-8") as stream:
        steps = [row["step"] for row in csv.DictReader(stream)]
    return int(steps[-1]) if steps else None
