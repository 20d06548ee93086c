"""How a result shows itself in a notebook: HTML that needs no network and no script."""

import base64
import html
from typing import Any

import numpy as np

from segformer_tf.images.polygons import svg

POINTED_AT = 640  # pixels of the longer side of the regions that are named as one points at them
STYLE = (
    "<style>.segformer-tf svg path{fill-opacity:0;stroke:none}"
    ".segformer-tf svg path:hover{stroke:#fff;stroke-width:2;vector-effect:non-scaling-stroke}</style>"
)


def page(labels: np.ndarray, rows: list[dict[str, Any]], palette: np.ndarray, png: bytes, title: str) -> str:
    """An overlay (`png`) of labels (H, W) whose classes `rows` are named as one points at them, above their table."""
    height, width = labels.shape
    step = max(-(-max(labels.shape) // POINTED_AT), 1)
    coarse = labels[::step, ::step]
    # Inside HTML an SVG needs no namespace, whose name looks like an address.
    regions = svg(coarse, rows, palette, coarse.shape).replace(
        '<svg xmlns="http://www.w3.org/2000/svg" ',
        "<svg preserveAspectRatio='none' style='position:absolute;left:0;top:0;width:100%;height:100%' ",
        1,
    )
    picture = base64.b64encode(png).decode()
    shown = (
        "<div style='position:relative;display:inline-block;max-width:100%'>"
        f"<img style='max-width:100%;display:block;margin:0' alt='{html.escape(title, quote=True)}' "
        f"src='data:image/png;base64,{picture}'>{regions}</div>"
    )
    return (
        f"<div class='segformer-tf'>{STYLE}<b>{html.escape(title)}</b> &nbsp; {height} x {width}<br>{shown}"
        f"{_table(rows, palette)}</div>"
    )


def _table(rows: list[dict[str, Any]], palette: np.ndarray) -> str:
    scored = any(row["score"] is not None for row in rows)
    lines = "".join(
        "<tr><td><span style='display:inline-block;width:1em;height:1em;border:1px solid #888;background:"
        f"rgb{tuple(palette[row['id']].tolist())}'></span></td>"
        f"<td style='text-align:left'>{html.escape(row['name'])}</td><td>{row['id']}</td>"
        f"<td>{row['pixels']:,}</td><td>{row['share']:.1%}</td>"
        + (f"<td>{row['score']:.3f}</td>" if scored else "")
        + "</tr>"
        for row in rows
    )
    heading = "<th></th><th style='text-align:left'>class</th><th>id</th><th>pixels</th><th>share</th>"
    return f"<table><tr>{heading}{'<th>score</th>' if scored else ''}</tr>{lines}</table>"
