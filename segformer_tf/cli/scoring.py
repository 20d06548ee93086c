"""`evaluate`: how good a model is on a data set, in all the ways that the field asks."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli import options as choices
from segformer_tf.cli.app import app, check_model, load_tensorflow, say
from segformer_tf.cli.opened import Opened, inspect_by_group, load_model, open_both, say_left_out

COLUMNS = ("IoU", "Acc", "Dice", "BoundaryIoU")


@app.command()
def evaluate(
    model: choices.Model,
    data: choices.Data,
    split: Annotated[str, typer.Option()] = "val",
    protocol: choices.ProtocolName = "plain",
    window: choices.Window = None,
    stride: choices.Stride = None,
    scales: choices.Scales = None,
    flip: choices.Flip = False,
    map_classes: Annotated[
        Path | None,
        typer.Option(help='JSON: {"class of the data": "class of the model", or null}, where they differ.'),
    ] = None,
    merge_queries: choices.MergeQueries = None,
    merge_keys: choices.MergeKeys = None,
    binary: choices.Binary = False,
    skip_broken: choices.SkipBroken = False,
    boundary: Annotated[bool, typer.Option("--boundary", help="Boundary IoU too (2 % of the diagonal).")] = False,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Intervals of 95 % too, by bootstrap over pictures.")
    ] = False,
    groups: Annotated[
        str | None, typer.Option(help='Classes scored together: cityscapes, or JSON {"flat": ["road", ...], ...}.')
    ] = None,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="The expected calibration error of the probabilities too.")
    ] = False,
    folds: Annotated[
        str | None,
        typer.Option(help="Score by group: drive, a regular expression with one group, or groups.json, as `train`."),
    ] = None,
    corruptions: Annotated[
        str | None, typer.Option(help="Score corrupted pictures: cityscapes-c, or names with commas between them.")
    ] = None,
    severity: Annotated[
        list[int] | None, typer.Option(help="Strengths of --corruptions, such as 1 3; 1 to 5 if not given.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="JSON file of --corruptions: written after each score, gone on with.")
    ] = None,
    dump: Annotated[Path | None, typer.Option(help="Directory to write the predictions to.")] = None,
    as_json: choices.AsJson = False,
) -> None:
    """Score a model on a data set: mIoU, mAcc, aAcc and the classes, with the protocol.

    segformer-tf evaluate --model RUN --data photos
    segformer-tf evaluate --model RUN --data photos --scales 0.75 1 1.25 --flip --json
    """
    check_model(model)
    if corruptions is None and (severity or output):
        raise typer.BadParameter("--severity and --output are of --corruptions: give that too")
    extra = {"boundary": boundary, "intervals": intervals, "groups": groups, "calibration": calibration}
    corrupted, by_group = corruptions is not None, folds is not None
    if (corrupted or by_group) and (dump or any(extra.values()) or (corrupted and by_group)):
        raise typer.BadParameter(
            "--corruptions and --folds go neither together nor with --dump, --boundary, --intervals, --groups or "
            "--calibration: score these in calls of their own"
        )
    if by_group and split != "val":
        raise typer.BadParameter("is not for --folds, which scores the train and val pictures.", param_hint="--split")
    load_tensorflow()
    from segformer_tf.storage.read import read_json
    from segformer_tf.training import Protocol
    from segformer_tf.training import evaluate as score
    from segformer_tf.training.scoring.groups import read_groups
    from segformer_tf.training.scoring.robustness import corruption_names

    try:
        chosen = Protocol(protocol, window, stride, tuple(scales or (1.0,)), flip)
        mapping = read_json(map_classes, "class ids of the data set and of the model") if map_classes else None
        names = () if corruptions is None else corruption_names(corruptions)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    merging = choices.merged(merge_queries, merge_keys)
    broken = "skip" if skip_broken else "stop"
    if folds is not None:
        _by_group(model, data, folds, chosen, binary, mapping, merging, broken, as_json)
        return
    pictures, opened = open_both(model, data, split, binary, mapping, merging, broken)
    if groups is not None:
        from segformer_tf.pipelines.runtimes.description import class_names

        try:
            extra["groups"] = {name: list(ids) for name, ids in read_groups(groups, class_names(opened.config)).items()}
        except (OSError, ValueError) as error:
            raise typer.BadParameter(str(error)) from None
    if names:
        _corrupted(model, opened, pictures, chosen, mapping, names, severity, output, as_json)
        return
    found = score(opened.network, pictures, chosen, opened.processor, dump, mapping, **extra)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    between = found.get("intervals", {})
    rows = [(row, between["IoU"][i] if "IoU" in between else None) for i, row in enumerate(found["per_class"])]
    for row, interval in rows:
        print(f"{row['id']:4} {row['name']:24} {_line(row)}{_interval(interval)}")
    for row in found.get("groups", ()):
        print(f"     {row['name']:24} {_line(row)}")
    keys = ("mIoU", "mAcc", "aAcc", "accuracy", "top5", "mBoundaryIoU", "mIoU_groups")
    print(
        "  ".join(f"{key} {found[key]:.4f}{_interval(between.get(key))}" for key in keys if found.get(key) is not None)
    )
    if sure := found.get("calibration"):
        told = f"confidence {sure['confidence']:.4f}, accuracy {sure['accuracy']:.4f}, temperature"
        print(f"ECE {sure['ECE']:.4f}: {told} {sure['temperature']:.3f}")
    print(f"{found['images']} pictures; {found['protocol']}")


def _line(row: dict[str, Any]) -> str:
    return "  ".join(f"{key} " + ("   -  " if row[key] is None else f"{row[key]:.4f}") for key in COLUMNS if key in row)


def _interval(ends: list[float] | None) -> str:
    return "" if ends is None else f" [{ends[0]:.4f}, {ends[1]:.4f}]"


def _corrupted(model, opened: Opened, pictures, protocol, mapping, names, severity, output, as_json: bool) -> None:
    from segformer_tf.training import evaluate as score
    from segformer_tf.training.scoring.corruptions import STRENGTHS, check
    from segformer_tf.training.scoring.robustness import robustness, table, table_of_strengths

    if not pictures.has_masks:
        told = "corrupted pictures are scored by mIoU, and the data set has no masks: leave it out"
        raise typer.BadParameter(told, param_hint="--corruptions")
    try:
        check(names, severity or STRENGTHS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    def one(name: str | None, strength: int) -> dict[str, Any]:
        corruption = None if name is None else (name, strength)
        return score(opened.network, pictures, protocol, opened.processor, None, mapping, corruption=corruption)

    found = robustness(one, names, severity or STRENGTHS, output, say)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{table(found, Path(model).name)}\n\n{table_of_strengths(found)}\n")
        print("mIoU in per cent; a mean of noise is over strengths 1 to 3")
        print(f"{found['images']} pictures; {found['protocol']}")


def _check_folds(model: str, rule: str, runs: dict[str, Path]) -> None:
    """Raises an error unless a run of folds has one for each group that the rule makes."""
    if not (missing := [run for run in runs.values() if not (run / "last").is_dir()]):
        return
    there = ", ".join(sorted(run.name.removeprefix("fold-") for run in Path(model).glob("fold-*")))
    groups = f"{model} has the folds {there}, and {rule!r} makes the groups {', '.join(runs)}"
    if len(missing) == len(runs):
        told = f"{groups}; expected the same: give the rule that the run was trained with."
        raise typer.BadParameter(told, param_hint="--folds")
    raise FileNotFoundError(
        f"{missing[0] / 'last'} does not exist, expected the run of a fold, since {groups}: finish the training, or "
        "give the rule that it was started with."
    )


def _by_group(
    model: str, data: Path, rule: str, protocol, binary: bool, mapping, merging, broken: str, as_json: bool
) -> None:
    """Scores by group: of a run of folds each by the model that did not see it, else all by one model."""
    from segformer_tf.data.folds import directory_of
    from segformer_tf.training import evaluate as score
    from segformer_tf.training import read_split, state
    from segformer_tf.training.folds import summary, table
    from segformer_tf.training.sources import identity, reading_of

    if rule.endswith(".json") and not Path(rule).is_file():
        raise typer.BadParameter(f"there is no file {rule}, expected groups of pictures.", param_hint="--folds")
    first = min(Path(model).glob("fold-*/last"), default=model)
    opened = load_model(str(first), read_split(data, "val").has_masks, merging)
    binary = binary or (mapping is None and opened.config.num_labels == 1)
    found = inspect_by_group(data, rule, binary=binary, broken=broken, **reading_of(opened.processor))
    say_left_out(found)
    runs = {group: directory_of(model, group) for group in found.splits}
    left_out = first != model
    if left_out:
        _check_folds(model, rule, runs)
    for group, run in runs.items():
        state.check_pictures(run, {"val": identity(found.splits[group])}, ("names",))
    rows, said = [], ""
    for group, pictures in found.splits.items():
        if left_out:
            opened = load_model(str(runs[group] / "last"), pictures.has_masks, merging)
        result = score(opened.network, pictures, protocol, opened.processor, None, mapping)
        said = result["protocol"]
        key = "IoU" if "mIoU" in result else "Acc"
        classes = {row["name"]: row[key] for row in result["per_class"]}
        mean = result.get("mIoU", result.get("accuracy"))
        rows.append({"name": group, "images": result["images"], "score": mean, "classes": classes})
    whose = "each group by the last weights of the run that left it out" if left_out else "all groups by one model"
    result = {**summary(rows), "models": whose, "protocol": said}
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        told = [text for text in found.warnings if not text.startswith("left out:")]
        print("\n".join([*told, table(result), f"{whose}; {said}"]))
