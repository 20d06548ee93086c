"""A model's scores on corrupted pictures, and the paper's table of them (table 5, Cityscapes-C) for any model."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from segformer_tf.storage.markdown import in_cell
from segformer_tf.storage.read import read_json
from segformer_tf.storage.whole import write_text
from segformer_tf.training.scoring.corruptions import CORRUPTIONS, STRENGTHS, check

NOISE_STRENGTHS = (1, 2, 3)  # that a mean of noise is over, as Kamann & Rother have it: worse pictures show nothing
SETS = {"cityscapes-c": tuple(CORRUPTIONS)}
Score = Callable[[str | None, int], dict[str, Any]]  # (corruption or None, severity) -> what `evaluate` gives


def corruption_names(given: str) -> tuple[str, ...]:
    """ "cityscapes-c", or names with commas between them, as names; errors as `corruptions.check`."""
    names = SETS.get(given) or tuple(dict.fromkeys(name.strip() for name in given.split(",")))
    check(names, ())
    return names


def robustness(
    score: Score,
    names: Sequence[str],
    severities: Iterable[int] = STRENGTHS,
    file: str | Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """mIoU of the pictures as they are and of each corruption at each strength.

    Returns:
        `clean` (mIoU), `corruptions` [{"name", "mIoU": {"1": ...}, "mean"}], `mean` of these, `protocol`, `images`. A
        mean is over the strengths that were scored, for noise over the first three of them at most.

    Args:
        file: JSON that every score is written to as it is known. A file that is there already is gone on with.

    Raises:
        ValueError: The scores have no mIoU, or `file` is of another protocol, other pictures or another model.
    """
    severities = tuple(severities)
    check(names, severities)
    clean = score(None, 0)
    if "mIoU" not in clean:
        raise ValueError(f"the score is {', '.join(clean)}, expected mIoU: give a segmentation model's.")
    about = {"protocol": clean["protocol"], "images": clean["images"], "clean": clean["mIoU"]}
    known = _known(Path(file), about) if file is not None and Path(file).exists() else {}
    for name in names:
        scores = known.setdefault(name, {})
        for severity in severities:
            if str(severity) not in scores:
                scores[str(severity)] = score(name, severity)["mIoU"]
                if file is not None:
                    write_text(file, json.dumps({**about, "scores": known}, indent=2) + "\n")
            tell(f"{name} {severity}: mIoU {_percent(scores[str(severity)])}")
    rows = [_row(name, {str(severity): known[name][str(severity)] for severity in severities}) for name in names]
    means = [row["mean"] for row in rows if row["mean"] is not None]
    return {**about, "corruptions": rows, "mean": sum(means) / len(means) if means else None}


def _known(file: Path, about: dict[str, Any]) -> dict[str, dict[str, float]]:
    found = read_json(file, "the scores of corrupted pictures")
    if changed := [key for key in about if found.get(key) != about[key]]:
        key = changed[0]
        raise ValueError(
            f"{file} has {key} {found.get(key)!r}, expected {about[key]!r}: it is of another run, so name another file."
        )
    known = found.get("scores", {})
    rows = list(known.values()) if isinstance(known, dict) else [known]
    if not all(isinstance(row, dict) and all(map(_is_score, row.values())) for row in rows):
        raise ValueError(
            f"{file} has scores that are no numbers from 0 to 1, expected a corruption's by its strengths: name "
            "another file, or delete it."
        )
    return known


def _is_score(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and 0 <= value <= 1)


def _row(name: str, scores: dict[str, float]) -> dict[str, Any]:
    noise = CORRUPTIONS[name].kind == "Noise"
    shown = {severity: score for severity, score in scores.items() if not noise or int(severity) in NOISE_STRENGTHS}
    counted = [score for score in shown.values() if score is not None]
    return {"name": name, "mIoU": scores, "mean": sum(counted) / len(counted) if counted else None}


def table(found: dict[str, Any], model: str) -> str:
    """Markdown, as the paper's table 5: mIoU in per cent, clean, then the mean of each corruption."""
    heads = [CORRUPTIONS[row["name"]] for row in found["corruptions"]]
    return "\n".join(
        [
            f"| | clean |{''.join(f' {head.kind}: {head.short} |' for head in heads)}",
            f"|---|---|{'---|' * len(heads)}",
            f"| {in_cell(model)} | {_percent(found['clean'])} |"
            + "".join(f" {_percent(row['mean'])} |" for row in found["corruptions"]),
        ]
    )


def table_of_strengths(found: dict[str, Any]) -> str:
    """Markdown: a row for each corruption, a column for each strength."""
    strengths = list(found["corruptions"][0]["mIoU"])
    lines = [f"| corruption | {' | '.join(strengths)} | mean |", f"|---|{'---|' * (len(strengths) + 1)}"]
    for row in found["corruptions"]:
        scores = [_percent(score) for score in (*row["mIoU"].values(), row["mean"])]
        lines.append(f"| {row['name']} | {' | '.join(scores)} |")
    return "\n".join([*lines, f"| mean | {'| ' * len(strengths)}| {_percent(found['mean'])} |"])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
