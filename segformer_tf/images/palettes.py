"""Class names and colours of ADE20K, Cityscapes, CamVid and Pascal VOC, and a palette for any other set of classes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segformer_tf.storage.keywords import spell_checked

# A row is red, green, blue and the class name, in the order of the class ids.
# ade20k: MIT Scene Parsing, 150 classes; colours of the CSAIL toolkit, as MMSegmentation has them.
ADE20K = """
120 120 120 wall; 180 120 120 building; 6 230 230 sky; 80 50 50 floor; 4 200 3 tree; 120 120 80 ceiling;
140 140 140 road; 204 5 255 bed; 230 230 230 windowpane; 4 250 7 grass; 224 5 255 cabinet; 235 255 7 sidewalk;
150 5 61 person; 120 120 70 earth; 8 255 51 door; 255 6 82 table; 143 255 140 mountain; 204 255 4 plant;
255 51 7 curtain; 204 70 3 chair; 0 102 200 car; 61 230 250 water; 255 6 51 painting; 11 102 255 sofa; 255 7 71 shelf;
255 9 224 house; 9 7 230 sea; 220 220 220 mirror; 255 9 92 rug; 112 9 255 field; 8 255 214 armchair; 7 255 224 seat;
255 184 6 fence; 10 255 71 desk; 255 41 10 rock; 7 255 255 wardrobe; 224 255 8 lamp; 102 8 255 bathtub;
255 61 6 railing; 255 194 7 cushion; 255 122 8 base; 0 255 20 box; 255 8 41 column; 255 5 153 signboard;
6 51 255 chest of drawers; 235 12 255 counter; 160 150 20 sand; 0 163 255 sink; 140 140 140 skyscraper;
250 10 15 fireplace; 20 255 0 refrigerator; 31 255 0 grandstand; 255 31 0 path; 255 224 0 stairs; 153 255 0 runway;
0 0 255 case; 255 71 0 pool table; 0 235 255 pillow; 0 173 255 screen door; 31 0 255 stairway; 11 200 200 river;
255 82 0 bridge; 0 255 245 bookcase; 0 61 255 blind; 0 255 112 coffee table; 0 255 133 toilet; 255 0 0 flower;
255 163 0 book; 255 102 0 hill; 194 255 0 bench; 0 143 255 countertop; 51 255 0 stove; 0 82 255 palm;
0 255 41 kitchen island; 0 255 173 computer; 10 0 255 swivel chair; 173 255 0 boat; 0 255 153 bar;
255 92 0 arcade machine; 255 0 255 hovel; 255 0 245 bus; 255 0 102 towel; 255 173 0 light; 255 0 20 truck;
255 184 184 tower; 0 31 255 chandelier; 0 255 61 awning; 0 71 255 streetlight; 255 0 204 booth;
0 255 194 television receiver; 0 255 82 airplane; 0 10 255 dirt track; 0 112 255 apparel; 51 0 255 pole;
0 194 255 land; 0 122 255 bannister; 0 255 163 escalator; 255 153 0 ottoman; 0 255 10 bottle; 255 112 0 buffet;
143 255 0 poster; 82 0 255 stage; 163 255 0 van; 255 235 0 ship; 8 184 170 fountain; 133 0 255 conveyer belt;
0 255 92 canopy; 184 0 255 washer; 255 0 31 plaything; 0 184 255 swimming pool; 0 214 255 stool; 255 0 112 barrel;
92 255 0 basket; 0 224 255 waterfall; 112 224 255 tent; 70 184 160 bag; 163 0 255 minibike; 153 0 255 cradle;
71 255 0 oven; 255 0 163 ball; 255 204 0 food; 255 0 143 step; 0 255 235 tank; 133 255 0 trade name;
255 0 235 microwave; 245 0 255 pot; 255 0 122 animal; 255 245 0 bicycle; 10 190 212 lake; 214 255 0 dishwasher;
0 204 255 screen; 20 0 255 blanket; 255 255 0 sculpture; 0 153 255 hood; 0 41 255 sconce; 0 255 204 vase;
41 0 255 traffic light; 41 255 0 tray; 173 0 255 ashcan; 0 245 255 fan; 71 0 255 pier; 122 0 255 crt screen;
0 255 184 plate; 0 92 255 monitor; 184 255 0 bulletin board; 0 133 255 shower; 255 214 0 radiator; 25 194 194 glass;
102 255 0 clock; 92 0 255 flag
"""

# cityscapes: 19 training classes.
CITYSCAPES = """
128 64 128 road; 244 35 232 sidewalk; 70 70 70 building; 102 102 156 wall; 190 153 153 fence; 153 153 153 pole;
250 170 30 traffic light; 220 220 0 traffic sign; 107 142 35 vegetation; 152 251 152 terrain; 70 130 180 sky;
220 20 60 person; 255 0 0 rider; 0 0 142 car; 0 0 70 truck; 0 60 100 bus; 0 80 100 train; 0 0 230 motorcycle;
119 11 32 bicycle
"""

# camvid: the 11 classes and colours of SegNet.
CAMVID = """
128 128 128 sky; 128 0 0 building; 192 192 128 pole; 128 64 128 road; 60 40 222 pavement; 128 128 0 tree;
192 128 128 sign symbol; 64 64 128 fence; 64 0 128 car; 64 64 0 pedestrian; 0 128 192 bicyclist
"""

# voc: Pascal VOC 2012, 21 classes.
VOC = """
0 0 0 background; 128 0 0 aeroplane; 0 128 0 bicycle; 128 128 0 bird; 0 0 128 boat; 128 0 128 bottle; 0 128 128 bus;
128 128 128 car; 64 0 0 cat; 192 0 0 chair; 64 128 0 cow; 192 128 0 diningtable; 64 0 128 dog; 192 0 128 horse;
64 128 128 motorbike; 192 128 128 person; 0 64 0 pottedplant; 128 64 0 sheep; 0 192 0 sofa; 128 192 0 train;
0 64 128 tvmonitor
"""


def _parse(table: str) -> tuple[list[str], np.ndarray]:
    rows = [row.split(maxsplit=3) for row in table.split(";")]
    return [row[3].strip() for row in rows], np.array([row[:3] for row in rows], np.uint8)


# Dataset -> (class names, colours (C, 3) uint8).
DATASETS = {
    "ade20k": _parse(ADE20K),
    "cityscapes": _parse(CITYSCAPES),
    "camvid": _parse(CAMVID),
    "voc": _parse(VOC),
}


# What is left of linear RGB for people without one kind of cone: Machado, Oliveira and Fernandes (2009), severity 1.
COLOUR_BLIND = np.array(
    [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)


@spell_checked
def palette_for(classes: int | Mapping | list[str] | None, safe: bool = False) -> np.ndarray:
    """Colours (C, 3) uint8 for a model's `id2label`, a list of names, or a number of classes.

    The colours of a data set whose names they are, in its order (spelling in capitals and spaces aside); else colours
    that tell the classes apart, the same in every run. `safe`: never a data set's colours, but such as colour-blind
    people tell apart too: about twelve well, more as well as it goes; `outline` of an overlay helps with many.
    """
    if isinstance(classes, int):
        return _spread(classes, safe).copy()
    names = [classes[key] for key in sorted(classes, key=int)] if isinstance(classes, Mapping) else list(classes or [])
    wanted = [_letters(name) for name in names]
    for known, colours in () if safe else DATASETS.values():
        if wanted == [_letters(name) for name in known]:
            return colours.copy()
    return _spread(len(names), safe).copy()


def palette_with(classes: Mapping | list[str], colours: Mapping[int, Sequence[int]]) -> np.ndarray:
    """`palette_for` classes of which some, by id, have colours of their own; the others get none of these."""
    palette, taken = palette_for(classes), {tuple(colour) for colour in colours.values()}
    for i, colour in colours.items():
        palette[i] = colour
    others = [i for i in range(len(palette)) if i not in colours]
    if double := [i for i in others if tuple(palette[i].tolist()) in taken]:
        taken |= {tuple(palette[i].tolist()) for i in others}
        free = (colour for colour in _spread(2 * len(palette)) if tuple(colour.tolist()) not in taken)
        for i, colour in zip(double, free, strict=False):
            palette[i] = colour
    return palette


def checked_palette(palette: Any, count: int | None = None) -> np.ndarray:
    """Colours (C, 3) uint8 of an array or lists; ValueError for what are no such colours, or not `count`."""
    try:
        found = np.asarray(palette)
    except ValueError:  # rows of several lengths
        found = np.asarray(palette, object)
    numbers = found.dtype.kind in "iuf" and found.size
    rows = len(found) if count is None and found.ndim else count
    if found.shape == (rows, 3) and (not rows or (numbers and (found == np.clip(found, 0, 255).round()).all())):
        return found.astype(np.uint8)
    told = f"an array {found.shape}" if found.ndim and found.dtype != object else f"{palette!r:.100}"
    values = f" of {found.min():g} to {found.max():g}" if numbers else ""
    wanted = "colours" if count is None else f"{count} colours, one for each class,"
    raise ValueError(f"palette is {told}{values}; expected {wanted} of three whole numbers 0 to 255.")


def _letters(name: str) -> str:
    """Small, and digits: what spellings of a data set's class share."""
    return "".join(character for character in str(name).lower() if character.isalnum())


@functools.lru_cache(maxsize=8)
def _spread(count: int, safe: bool = False) -> np.ndarray:
    """Colours one after the other, each as far as possible from all before it, as the eye sees them (CIE Lab).

    `safe`: as the eye sees them that confuses the two most.
    """
    steps = np.linspace(0, 255, 16).round()
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = _lab(colours / 255)
    keep = (lab[:, 0] > 25) & (lab[:, 0] < 92)  # black is for pixels without a class, white for the page
    colours, lab = colours[keep], lab[keep]
    seen = [lab, *(_lab(colours / 255, matrix) for matrix in COLOUR_BLIND)] if safe else [lab]
    colours = colours.astype(np.uint8)
    chosen = [int(np.linalg.norm(colours - np.array([51.0, 119, 187]), axis=1).argmin())]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < min(count, len(lab)):
        for each in seen:
            distance = np.minimum(distance, np.linalg.norm(each - each[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return colours[np.resize(chosen, count)] if count else np.zeros((0, 3), np.uint8)


def _lab(rgb: np.ndarray, eye: np.ndarray | None = None) -> np.ndarray:
    """sRGB (N, 3) from 0 to 1 -> CIE Lab under D65, of what an eye with that matrix sees."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if eye is not None:
        linear = np.clip(linear @ eye.T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
