"""Draws the pictures of these pages that no other program writes; `make docs-pictures` runs it after the others.

    python docs/drawings.py

`china-overlay.jpg`: the bundled model's labels over the example photograph, on README.md and index.md;
`concepts-stages.jpg`: what each stage of that model makes of the photograph;
`concepts-attention.png`: who looks at whom with and without reduction;
`concepts-head.png`: the head as published and folded;
`pictures-kinds.jpg`: the other pictures of a result; `camvid/curves.png`: from `camvid/log.csv`.
Needs the extra `report` (matplotlib).
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.patches import FancyArrowPatch, Rectangle
from PIL import Image

HERE = Path(__file__).parent
PHOTOGRAPH = HERE.parent / "examples" / "china.jpg"
BLUE, GREY, RED = "#1b6ca8", "#9aa0a6", "#c0392b"
WIDTH = {"b0": 256, "b2": 768}  # of the head
CHANNELS = {"b0": (32, 64, 160, 256), "b2": (64, 128, 320, 512)}
SIDES = (128, 64, 32, 16)  # of the four maps of a 512 x 512 picture
REDUCTIONS = (8, 4, 2, 1)


def three_colours(features: np.ndarray) -> np.ndarray:
    """(h, w, C) -> (h, w, 3) uint8: the three directions in which a map varies most, as red, green and blue."""
    flat = features.reshape(-1, features.shape[-1])
    flat = flat - flat.mean(0)
    _, _, directions = np.linalg.svd(flat, full_matrices=False)
    seen = flat @ directions[:3].T
    low, high = np.percentile(seen, (2, 98), axis=0)
    return (255 * np.clip((seen - low) / (high - low), 0, 1)).astype(np.uint8).reshape(*features.shape[:2], 3)


def draw_stages(segment) -> None:
    photograph = Image.open(PHOTOGRAPH).convert("RGB")
    settings = {"return_tensors": "np", "data_format": "channels_last"}
    pixels = segment.processor(photograph, **settings).pixel_values
    maps = segment.model(pixels, output_hidden_states=True).hidden_states
    titles = [f"picture\n{pixels.shape[1]} x {pixels.shape[2]} x 3"]
    titles += [f"stage {i}\n{m.shape[1]} x {m.shape[2]} x {m.shape[3]}" for i, m in enumerate(maps)]
    shown = [np.asarray(photograph.resize(pixels.shape[2:0:-1]))] + [three_colours(np.asarray(m)[0]) for m in maps]
    figure, axes = pyplot.subplots(1, 5, figsize=(14, 2.9), layout="constrained")
    for ax, title, picture in zip(axes, titles, shown, strict=True):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(title, fontsize=11)
        ax.set_axis_off()
    figure.savefig(HERE / "concepts-stages.jpg", dpi=100, pil_kwargs={"quality": 85})


def draw_attention() -> None:
    """The matrix of who looks at whom, of the first stages, true to scale beside each other."""
    figure, axes = pyplot.subplots(1, 4, figsize=(12, 3.6), layout="constrained")
    for ax, stage, side, ratio in zip(axes, range(4), SIDES, REDUCTIONS, strict=True):
        places, reduced = side**2, (side // ratio) ** 2
        ax.add_patch(Rectangle((0, 0), 1, 1, color="#e3e6e8"))
        ax.add_patch(Rectangle((0, 0), max(reduced / places, 0.012), 1, color=BLUE))
        ax.set(xlim=(-0.02, 1.02), ylim=(1.02, -0.02), aspect="equal", xticks=(), yticks=())
        ax.set_title(
            f"stage {stage}: squares of {ratio} x {ratio}" if ratio > 1 else f"stage {stage}: all", fontsize=11
        )
        ax.set_ylabel(f"{places:,} places look" if stage == 0 else f"{places:,}")
        ax.set_xlabel(
            f"at {reduced} of {places:,}\n{places * reduced / 1e6:.3g} of {places**2 / 1e6:.3g} million pairs"
        )
        ax.spines[:].set_visible(False)
    figure.savefig(HERE / "concepts-attention.png", dpi=100)


def products(model: str, folded: bool) -> float:
    """Multiplications of the head up to its BatchNorm, in thousands of millions, for a picture of 512 x 512."""
    width = WIDTH[model]
    own = sum(side**2 * channels * width for side, channels in zip(SIDES, CHANNELS[model], strict=True))
    if folded:
        return (own + sum(CHANNELS[model]) * width**2) / 1e9  # the weights' own product is small
    return (own + SIDES[0] ** 2 * 4 * width * width) / 1e9


def draw_head() -> None:
    figure, (published, folded) = pyplot.subplots(2, 1, figsize=(12, 6.4), layout="constrained")
    rows = [f"map {i}\n{side} x {side} x {c}" for i, (side, c) in enumerate(zip(SIDES, CHANNELS["b2"], strict=True))]
    steps = (
        (published, "As published", "linear: each to 768", "concatenate,\n3072 to 768"),
        (folded, "Folded", "linear and its part of the fusion", "add"),
    )
    for ax, title, first, last in steps:
        ax.set(xlim=(0, 12), ylim=(4.4, -0.8), xticks=(), yticks=())
        ax.spines[:].set_visible(False)
        work = products("b2", ax is folded)
        ax.set_title(f"{title}: {work:.1f} thousand million multiplications in b2, 512 x 512", loc="left", fontsize=12)
        for column, said in ((3.3, first), (6.1, "resize: all to 128 x 128")):
            ax.text(column + 0.9, -0.3, said, ha="center", fontsize=10)
        for i, row in enumerate(rows):
            box(ax, 0.2, i, row, GREY)
            box(ax, 3.3, i, f"{SIDES[i]} x {SIDES[i]} x 768", BLUE)
            box(ax, 6.1, i, "128 x 128 x 768", GREY)
            for left, right in ((2.0, 3.3), (5.1, 6.1)):
                ax.add_patch(FancyArrowPatch((left, i + 0.4), (right, i + 0.4), arrowstyle="->", mutation_scale=12))
            ax.add_patch(FancyArrowPatch((7.9, i + 0.4), (9.3, 1.9), arrowstyle="->", mutation_scale=12, color=GREY))
        box(ax, 9.3, 1.3, last, RED if ax is published else BLUE, height=1.2)
        ax.text(11.25, 1.9, "BatchNorm,\nReLU, classes", va="center", fontsize=10)
    figure.savefig(HERE / "concepts-head.png", dpi=100)


def box(ax, left: float, top: float, text: str, colour: str, height: float = 0.8) -> None:
    ax.add_patch(Rectangle((left, top), 1.8, height, facecolor=colour, alpha=0.25, edgecolor=colour))
    ax.text(left + 0.9, top + height / 2, text, ha="center", va="center", fontsize=9)


def draw_kinds(segment) -> None:
    result = segment(PHOTOGRAPH, maps=("tree", "entropy"))
    from segformer_tf.pipelines.attention import draw_attention as attention

    shown = [
        result.overlay(legend="inside", outline=True),
        result.heatmap("tree"),
        result.heatmap("entropy"),
        attention(segment, PHOTOGRAPH, point=(205, 90), stage=2),
    ]
    width = 560
    shown = [picture.convert("RGB").resize((width, picture.height * width // picture.width)) for picture in shown]
    rows = [max(picture.height for picture in shown[i : i + 2]) for i in (0, 2)]
    sheet = Image.new("RGB", (2 * width + 8, sum(rows) + 8), "white")
    for place, picture in enumerate(shown):
        sheet.paste(picture, (place % 2 * (width + 8), place // 2 * (rows[0] + 8)))
    sheet.save(HERE / "pictures-kinds.jpg", quality=82)


def draw_camvid() -> None:
    from segformer_tf.training.report.charts import draw_curves

    with open(HERE / "camvid" / "log.csv", encoding="utf-8", newline="") as stream:
        rows = [{key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(stream)]
    draw_curves(rows, HERE / "camvid" / "curves.png")


def main() -> None:
    from segformer_tf import SegmentationPipeline

    segment = SegmentationPipeline.from_pretrained()
    segment(PHOTOGRAPH).overlay().convert("RGB").save(HERE / "china-overlay.jpg", quality=85)
    draw_stages(segment)
    draw_attention()
    draw_head()
    draw_kinds(segment)
    draw_camvid()


if __name__ == "__main__":
    main()
