"""What the page shows of one result: HTML that fetches nothing, with the files to download inside it."""

import base64
import html
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf import images
from segformer_tf.images.classes import BACKGROUND, skipped
from segformer_tf.images.png import write_png
from segformer_tf.images.polygons import Polygon, polygons
from segformer_tf.pipelines.marks import MAKER
from segformer_tf.pipelines.result import SegmentationResult

SHOWN = 1280  # pixels of the longer side of what is seen
POINTED_AT = 640  # of the regions that are named as one points at them
SMALLEST = 4  # pixels, at that size, of a region that can be pointed at


def answer(result: SegmentationResult, seconds: float, file_name: str, notes: Sequence[str] = ()) -> str:
    """The picture under its colours, regions to point at, the table of classes, and three files.

    `file_name` is the picture's own, with its suffix; `notes` are sentences on how it was read.
    """
    height, width = result.labels.shape
    rows = result.classes
    step = max(-(-max(height, width) // SHOWN), 1)
    labels = result.labels[::step, ::step]
    picture = Image.fromarray(np.asarray(result.pixels)).resize(labels.shape[::-1], Image.Resampling.BOX)
    name = html.escape(result.name, quote=True)
    said = f"{width} x {height}, {html.escape(result.model)}, {result.runtime}, {seconds:.2f} s"
    return (
        "<div class='sf-answer'>"
        f"<div class='sf-picture' style='aspect-ratio:{width}/{height};--ratio:{width / height:.4f}'>"
        f"<img alt='{name}' src='{_uri(_jpeg(picture), 'image/jpeg')}'>"
        f"<img class='sf-colours' alt='its classes as colours' src='{_uri(_colours(labels, result), 'image/png')}'>"
        f"{_regions(result, rows)}<div class='sf-tip' role='status' hidden></div></div>"
        f"<p class='sf-said'>{name}: {said}</p>"
        f"{''.join(f'<p class=sf-note>{html.escape(note)}</p>' for note in notes)}"
        f"<p class='sf-files'>Download {_links(result, rows, file_name)}</p>{_table(rows, result.palette)}</div>"
    )


def problem(message: str) -> str:
    """One sentence that says what went wrong."""
    return f"<div class='sf-problem' role='alert'>{html.escape(message)}</div>"


def _colours(labels: np.ndarray, result: SegmentationResult) -> bytes:
    """A PNG of the classes' colours; clear where there is no class, and for the background."""
    clear = skipped(BACKGROUND, result.id2label)
    known = [number for number, name in result.id2label.items() if name not in clear]
    solid = np.isin(labels, known).astype(np.uint8)[..., None] * 255
    layer = Image.fromarray(np.concatenate([images.colorize(labels, result.palette), solid], -1))
    return _png(layer)


def _regions(result: SegmentationResult, rows: list[dict[str, Any]]) -> str:
    """An SVG over the picture: a path for each region, which carries its class, share of the picture and score."""
    step = max(-(-max(result.labels.shape) // POINTED_AT), 1)
    labels = result.labels[::step, ::step]
    scores = None if result.scores is None else sums(result.scores[::step, ::step])
    height, width = labels.shape
    paths = []
    for row in rows:
        name = html.escape(row["name"], quote=True)
        for region in _large(labels == row["id"]):
            score = "" if scores is None else f" data-score='{region_sum(region, scores) / region.area:.3f}'"
            corners = "L".join(f"{x},{y}" for x, y in region.corners.tolist())
            paths.append(
                f"<path data-id='{row['id']}' data-name='{name}' data-share='{region.area / labels.size:.4f}'{score} "
                f"d='M{corners}Z'/>"
            )
    return (
        f"<svg viewBox='0 0 {width} {height}' preserveAspectRatio='none' fill-rule='evenodd' aria-hidden='true'>"
        f"{''.join(paths)}</svg>"
    )


def _large(mask: np.ndarray) -> Iterator[Polygon]:
    return (region for region in polygons(mask) if region.area >= min(SMALLEST, mask.size // 100))


def sums(values: np.ndarray) -> np.ndarray:
    """(H, W) -> (H + 1, W + 1) float64: the sum of all values above and to the left of each corner."""
    return np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def region_sum(region: Polygon, corner_sums: np.ndarray) -> float:
    """The sum of the values inside a polygon along the pixels' edges, from `sums`: its upright edges alone decide."""
    x, y = region.corners.T
    return float((corner_sums[np.roll(y, -1), x] - corner_sums[y, x]).sum())


def _links(result: SegmentationResult, rows: list[dict[str, Any]], file_name: str) -> str:
    coco = result.to_coco(rows)
    coco["images"][0]["file_name"] = file_name
    made = {
        "labels.png": ("mask (PNG)", "image/png", _png(images.label_image(result.labels, result.palette))),
        "classes.json": ("classes (JSON)", "application/json", _json(result.to_dict(rows))),
        "polygons.json": ("polygons (COCO JSON)", "application/json", _json(coco)),
    }
    stem = html.escape(result.name, quote=True)
    return " ".join(
        f"<a download='{stem}_{ending}' href='{_uri(data, kind)}'>{text}</a>"
        for ending, (text, kind, data) in made.items()
    )


def _table(rows: list[dict[str, Any]], palette: np.ndarray) -> str:
    lines = "".join(
        f"<tr tabindex='0' data-id='{row['id']}'><td><span class='sf-swatch' "
        f"style='background:rgb{tuple(palette[row['id']].tolist())}'></span>{html.escape(row['name'])}</td>"
        f"<td>{_percent(row['share'])}</td><td>{'' if row['score'] is None else format(row['score'], '.3f')}</td></tr>"
        for row in rows
    )
    heading = "<tr><th scope='col'>Class</th><th scope='col'>Share</th><th scope='col'>Mean score</th></tr>"
    return f"<table class='sf-classes'><thead>{heading}</thead><tbody>{lines}</tbody></table>"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "&lt;0.1%"


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values) + "\n").encode()


def _png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    write_png(picture, data, MAKER)
    return data.getvalue()


def _jpeg(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    return data.getvalue()


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
