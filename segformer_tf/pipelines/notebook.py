"""How results show themselves in a notebook: HTML that needs no network and no script."""

import base64
import html
import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.images.drawing import overlay
from segformer_tf.images.polygons import svg_path

LONGEST = 1000  # pixels of the longer side of a picture that is shown
POINTED_AT = 500  # pixels of the longer side of the regions that are named as one points at them
MOST = 300_000  # characters of these regions' outlines; a map with more of them is drawn coarser
QUALITY = 85  # of JPEG
_number = itertools.count(1)
STYLE = """
.segformer-tf .shown{position:relative;display:inline-block;max-width:100%}
.segformer-tf img{max-width:100%;display:block;margin:0}
.segformer-tf svg{position:absolute;left:0;top:0;width:100%;height:100%}
.segformer-tf path{fill-opacity:0;stroke:none}
.segformer-tf g:hover path{stroke:#fff;stroke-width:2;vector-effect:non-scaling-stroke}
.segformer-tf text{display:none;font-family:sans-serif;font-weight:bold;fill:#fff;stroke:#000;stroke-width:.2em;
paint-order:stroke}
.segformer-tf g:hover text{display:inline}
.segformer-tf .classes{max-height:24em;overflow:auto}
.segformer-tf i{display:inline-block;width:1em;height:1em;border:1px solid #888}
.segformer-tf table{color:inherit;border-collapse:collapse}
.segformer-tf td,.segformer-tf th{text-align:right;padding:.2em .6em}
.segformer-tf .name{text-align:left}
"""


def segmentation(
    labels: np.ndarray,
    pixels: Any,
    rows: Sequence[dict[str, Any]],
    palette: np.ndarray,
    skip: Sequence[str],
    title: str,
) -> str:
    """An overlay of labels (H, W) that names the class one points at, above the table of its classes `rows`.

    Pointing at a line of the table shows where that class is. Classes named in `skip` are not painted.
    """
    height, width = labels.shape
    step = max(-(-max(labels.shape) // LONGEST), 1)
    names = {row["id"]: row["name"] for row in rows}
    drawn = overlay(_reduced(pixels, step), _every(labels, step), palette, names, legend=False, skip=skip)
    mark = f"of{next(_number)}"  # no other output of the page answers to it
    told = {row["id"]: f"{html.escape(row['name'])} {row['share']:.1%}" for row in rows}
    pointed = "".join(
        f".{mark}:has(tr.c{i}:hover) g.c{i} path{{fill:#fff;fill-opacity:.5;stroke:#fff;stroke-width:1}}" for i in told
    )
    scored = any(row["score"] is not None for row in rows)
    lines = [
        f"<tr class='c{row['id']}'><td><i style='background:rgb{tuple(palette[row['id']].tolist())}'></i></td>"
        f"<td class='name'>{html.escape(row['name'])}</td><td>{row['id']}</td><td>{row['pixels']:,}</td>"
        f"<td>{row['share']:.1%}</td>" + (f"<td>{row['score']:.3f}</td></tr>" if scored else "</tr>")
        for row in rows
    ]
    head = "".join(f"<th>{name}</th>" for name in ("id", "pixels", "share", *(["score"] if scored else [])))
    return (
        f"<div class='segformer-tf {mark}'><style>{STYLE}{pointed}</style>"
        f"<b>{html.escape(title)}</b> &nbsp; {height} x {width}<br>"
        f"<div class='shown'>{image(drawn, title)}{_regions(labels, told)}</div>"
        f"<div class='classes'><table><tr><th></th><th class='name'>class</th>{head}</tr>{''.join(lines)}</table></div>"
        "</div>"
    )


def classification(rows: Sequence[dict[str, Any]]) -> str:
    """The table of a classifier's answer, with a bar for each score."""
    lines = "".join(
        f"<tr><td class='name'>{html.escape(str(row['label']))}</td><td>{row['id']}</td><td>{row['score']:.1%}</td>"
        f"<td class='name'><i style='width:{10 * row['score']:.2f}em;background:#4477bb'></i></td></tr>"
        for row in rows
    )
    head = "<tr><th class='name'>class</th><th>id</th><th>score</th><th></th></tr>"
    return f"<div class='segformer-tf'><style>{STYLE}</style><table>{head}{lines}</table></div>"


def image(picture: Image.Image, shows: str, longest: int = LONGEST) -> str:
    """A picture inside HTML, of at most `longest` pixels a side, as JPEG or PNG, whichever is smaller."""
    picture = picture.convert("RGB")
    picture.thumbnail((longest, longest))
    packed = {}
    for kind, how in (("jpeg", {"quality": QUALITY}), ("png", {})):
        data = io.BytesIO()
        picture.save(data, kind, optimize=True, **how)
        packed[kind] = data.getvalue()
    kind, least = min(packed.items(), key=lambda item: len(item[1]))
    address = f"data:image/{kind};base64,{base64.b64encode(least).decode()}"
    return f"<img alt='{html.escape(shows, quote=True)}' src='{address}'>"


def _regions(labels: np.ndarray, told: dict[int, str]) -> str:
    """The SVG over the picture: each class's outlines, with what is said as one points at them."""
    step = max(-(-max(labels.shape) // POINTED_AT), 1)
    while True:
        coarse = _every(labels, step)
        paths = {i: svg_path(coarse == i) for i in told}
        if sum(map(len, paths.values())) <= MOST:
            break
        step *= 2
    height, width = coarse.shape
    # Inside HTML an SVG needs no namespace, whose name looks like an address.
    groups = "".join(
        f"<g class='c{i}'><path d='{path}'/><text x='.5em' y='1.3em'>{told[i]}</text></g>" for i, path in paths.items()
    )
    return (
        f"<svg viewBox='0 0 {width} {height}' preserveAspectRatio='none' fill-rule='evenodd' "
        f"font-size='{max(height, width) / 30:.2f}'>{groups}</svg>"
    )


def _every(labels: np.ndarray, step: int) -> np.ndarray:
    """The label in the middle of each square of that side."""
    rows, columns = (np.minimum(np.arange(0, side, step) + step // 2, side - 1) for side in labels.shape)
    return labels[rows[:, None], columns]


def _reduced(pixels: Any, step: int) -> np.ndarray:
    """The mean of each square of that side, of (H, W, 3); a large file is read in bands."""
    if step == 1:
        return np.asarray(pixels)
    band = 64 * step
    parts = (np.asarray(pixels[top : top + band, :]) for top in range(0, pixels.shape[0], band))
    return np.concatenate([np.asarray(Image.fromarray(part).reduce(step)) for part in parts])
