"""Leave-one-group-out: a run for each fold, and the mean and spread of what they score on the group they left out."""

import csv
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from segformer_tf.data.folds import directory_of, fold
from segformer_tf.data.inspection import Inspection
from segformer_tf.storage.markdown import in_cell
from segformer_tf.storage.whole import write_text
from segformer_tf.training import state
from segformer_tf.training.fit import train
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.sources import identity

RESULT = "folds.json"


def train_folds(
    make_model: Callable[[Inspection], keras.Model],
    found: Inspection,
    run: str | Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    resume: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Trains a model for each group of `inspect_folds`, on the others; each run in `run/fold-GROUP`.

    Returns:
        `folds` [{"name", "images", "score", "best", "step", "classes": {name: score}}], `mean`, `spread` (the deviation
        from fold to fold), `mean_of_best`, `classes`; `run/folds.json` holds the same. A fold's `score` is that of its
        last weights: its best ones are chosen by the pictures that it is scored on.

    Args:
        make_model: A fold -> a new model for its classes.
        resume: Go on with what is there, and start what is not.
        options: As `train` takes them.

    Raises:
        FileExistsError: A fold has a run already, and is not to be resumed. Other errors are `train`'s.
    """
    runs = {group: directory_of(run, group) for group in found.splits}
    if len(set(runs.values())) < len(runs):
        raise ValueError(f"two of the groups {', '.join(runs)} would have one directory: name them otherwise.")
    started = {group: state.saved(directory) for group, directory in runs.items()}
    if not resume and any(started.values()):
        there = next(runs[group] for group, is_there in started.items() if is_there)
        raise FileExistsError(
            f"{there} has a run already, expected none: go on with {state.RESUME}, or choose another directory."
        )
    for group, directory in runs.items():  # all of them, before one goes on
        if not started[group]:
            continue  # it begins anew, with whatever pictures
        state.check_pictures(directory, {name: identity(part) for name, part in fold(found, group).splits.items()})
    rows = []
    for group, directory in runs.items():
        keras.utils.set_random_seed(seed)  # each fold begins with the same weights
        part = fold(found, group)
        train(make_model(part), part, directory, recipe, seed=seed, resume=started[group], **options)
        rows.append(_row(group, len(found.splits[group]), directory))
    result = summary(rows)
    write_text(Path(run) / RESULT, json.dumps(result, indent=2) + "\n")
    return result


def _row(group: str, images: int, directory: Path) -> dict[str, Any]:
    with open(directory / state.LOG, encoding="utf-8", newline="") as stream:
        log = list(csv.DictReader(stream))
    last = log[-1]
    of_classes = {key.partition(" ")[2]: value for key, value in last.items() if key.startswith(("IoU ", "Acc "))}
    return {
        "name": group,
        "images": images,
        "score": float(last["score"]),
        "best": max(float(row["score"]) for row in log),
        "step": int(last["step"]),
        "classes": {name: float(value) if value else None for name, value in of_classes.items()},
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of the folds' scores, and of each class over the folds that have it; None where none has."""
    scores = [row["score"] for row in rows if row["score"] is not None]
    names = list(rows[0]["classes"])
    known = {name: [row["classes"][name] for row in rows if row["classes"].get(name) is not None] for name in names}
    return {
        "mean": statistics.mean(scores) if scores else None,
        "spread": statistics.stdev(scores) if len(scores) > 1 else None,
        "mean_of_best": statistics.mean(row["best"] for row in rows) if all("best" in row for row in rows) else None,
        "classes": {name: statistics.mean(values) if values else None for name, values in known.items()},
        "folds": list(rows),
    }


def table(result: dict[str, Any]) -> str:
    """The folds as a Markdown table, with mean and spread; a fold without a score has a dash."""
    best = result["mean_of_best"] is not None
    lines = [f"| left out | pictures | score |{' best |' if best else ''}", f"|---|---|---|{'---|' if best else ''}"]
    for row in result["folds"]:
        more = f" {row['best']:.4f} |" if best else ""
        lines.append(f"| {in_cell(row['name'])} | {row['images']} | {_shown(row['score'])} |{more}")
    mean_of_best = f" {result['mean_of_best']:.4f} |" if best else ""
    lines.append(f"| mean | | {_shown(result['mean'])} |{mean_of_best}")
    lines.append(f"| spread | | {_shown(result['spread'])} |{' |' if best else ''}")
    return "\n".join(lines)


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"
