"""What a model card says beyond its scores: data, folds, calibration, corruptions, and what the model cannot do."""

from collections.abc import Mapping, Sequence
from typing import Any

from segformer_tf.storage.markdown import in_cell
from segformer_tf.training import folds as of_folds
from segformer_tf.training.scoring import robustness


def card_text(
    data: str = "",
    licence: str = "",
    scores: Mapping[str, Any] | None = None,
    folds: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
    corruptions: Mapping[str, Any] | None = None,
    cannot: Sequence[str] = (),
    pictures: Mapping[str, str] | None = None,
) -> str:
    """Markdown for `push_to_hub(about=...)`; what is not given is left out.

    Args:
        data, licence: What it was trained on, and under which terms.
        scores: As `evaluate` gives them; with intervals if they have them.
        folds: As `train_folds` gives them.
        calibration: As `scoring.calibration.calibrate` gives it.
        corruptions: As `scoring.robustness.robustness` gives them.
        cannot: A sentence each.
        pictures: File beside the card -> what it shows.
    """
    parts = []
    if data or licence:
        parts.append("## Data\n\n" + "\n\n".join(text for text in (data, licence and f"Licence: {licence}") if text))
    if scores:
        told = f"Protocol: {scores['protocol']}; {scores['images']} pictures."
        parts.append(f"## Classes\n\n{_classes(scores)}\n\n{told}")
    if folds:
        parts.append(
            "## Leaving one group out\n\nTrained anew on the others each time; score of the last weights on the group "
            f"left out.\n\n{of_folds.table(dict(folds))}"
        )
    if calibration:
        before, after = (calibration[name]["ECE"] for name in ("before", "after"))
        parts.append(
            f"## Calibration\n\nTemperature {calibration['temperature']:.3f}, of {calibration['pixels']:,} pixels; the "
            f"expected calibration error on these is {before:.4f} without it, {after:.4f} with it."
        )
    if corruptions:
        parts.append(
            "## Corrupted pictures\n\nmIoU in per cent at strengths 1 to 5 of Cityscapes-C's corruptions; a mean of "
            f"noise is over the first three.\n\n{robustness.table_of_strengths(dict(corruptions))}"
        )
    if cannot:
        parts.append("## What it cannot do\n\n" + "\n".join(f"- {sentence}" for sentence in cannot))
    if pictures:
        parts.append("## Pictures\n\n" + "\n\n".join(f"![{text}]({file})" for file, text in pictures.items()))
    return "\n\n".join(parts)


def _classes(scores: Mapping[str, Any]) -> str:
    between = scores.get("intervals")
    lines = [f"| class | IoU |{' 95 % |' if between else ''}", f"|---|---|{'---|' if between else ''}"]
    rows = [(row["name"], row["IoU"]) for row in scores["per_class"]] + [("mean", scores["mIoU"])]
    ends = [*between["IoU"], between["mIoU"]] if between else [None] * len(rows)
    for (name, value), interval in zip(rows, ends, strict=True):
        shown = "-" if value is None else f"{value:.4f}"
        more = f" {interval[0]:.4f} to {interval[1]:.4f} |" if interval else " - |" if between else ""
        lines.append(f"| {in_cell(name)} | {shown} |{more}")
    return "\n".join(lines)
