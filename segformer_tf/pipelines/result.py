"""What a pipeline says about one picture: the label map, its classes, and the pictures and files made of them."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf import images
from segformer_tf.images import raster, views
from segformer_tf.images.classes import BACKGROUND, class_id, skipped
from segformer_tf.images.drawing import overlay_pixels
from segformer_tf.images.opening import to_class_ids
from segformer_tf.images.png import write_png
from segformer_tf.images.polygons import coco_annotations, svg
from segformer_tf.pipelines import files, notebook
from segformer_tf.pipelines.marks import mark
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.whole import staged

Table = list[dict[str, Any]]  # of classes


@spell_checked
@dataclass(frozen=True, eq=False, repr=False)
class SegmentationResult:
    """One segmented picture.

    `labels` are class ids, (H, W) int32 at the picture's own size; `pixels` the picture, (H, W, 3) uint8; `name` what
    files are called after; `id2label` and `palette` the names and colours of the model's classes; `scores` the
    probability of each pixel's label, (H, W) float16, where they were asked for; `path` the file that the picture was
    read from, where it was one, and `page` the page of a TIFF of several; `maps` what else was asked for, (H, W)
    float16 by name; `runtime` what computed. Of a large TIFF that was segmented in windows `pixels` is read from the
    file as it is needed (`numpy.asarray` gives the array).
    """

    name: str
    labels: np.ndarray
    pixels: np.ndarray
    id2label: dict[int, str]
    palette: np.ndarray
    model: str
    scores: np.ndarray | None = None
    path: Path | None = None
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    runtime: str = ""
    page: int | None = None

    def renamed(self, name: str) -> "SegmentationResult":
        """The same result under another name."""
        return replace(self, name=name)

    @property
    def classes(self) -> Table:
        """`[{"id", "name", "pixels", "share", "score"}]`, largest first.

        `share` is a fraction of the picture, `score` the mean probability over the class's pixels (None without
        `scores`).
        """
        return images.class_table(self.labels, self.id2label, self.scores)

    @property
    def masks(self) -> list[dict[str, Any]]:
        """`[{"id", "label", "mask", "score"}]`, largest first; `mask` is (H, W) bool, `score` as in `classes`."""
        return [
            {"id": row["id"], "label": row["name"], "mask": self.labels == row["id"], "score": row["score"]}
            for row in self.classes
        ]

    @spell_checked
    def polygons(self, min_area: int = 0) -> list[dict[str, Any]]:
        """COCO annotations, one for each region of a class: polygon, `bbox`, `area` and `category_id` (the class id).

        A polygon runs along the pixels' edges and holds exactly the region's pixels; holes are cut in, joined to the
        outline by a line of no width. Regions of fewer than `min_area` pixels are left out.
        """
        return coco_annotations(self.labels, [row["id"] for row in self.classes], min_area)

    @spell_checked
    def overlay(
        self,
        alpha: float = 0.5,
        legend: bool | str = True,
        skip: Sequence[str] = BACKGROUND,
        outline: bool = False,
    ) -> Image.Image:
        """The picture with its classes blended over it, 0 (picture) to 1 (colours), and a legend.

        Classes named in `skip` are not painted. `legend`: True or "outside" beside or below the picture, "inside" where
        it hides least (outside if it would take over a quarter), or False. `outline` draws the regions' rims in full
        colour. Raises ValueError for a name that is no class of the model.
        """
        return Image.fromarray(self._painted(None, alpha, legend, skip, outline))

    def _painted(self, classes: Table | None, alpha: float, legend: bool | str, skip, outline: bool) -> np.ndarray:
        """The overlay's pixels."""
        shown = self.pixels, self.labels, self.palette, self.id2label
        return overlay_pixels(*shown, alpha, legend, skipped(skip, self.id2label), outline, classes)

    @spell_checked
    def compare(self, truth: Any, ignore_index: int = 255) -> Image.Image:
        """Picture, truth, prediction and wrong pixels side by side; `truth` is a mask: ids (H, W), or its file.

        Raises ValueError for a mask of another size, or with a value that is neither a class nor `ignore_index`.
        """
        ids = to_class_ids(truth)
        if ids.shape != self.labels.shape:
            raise ValueError(f"truth has size {ids.shape}; expected the picture's, {self.labels.shape}.")
        if unknown := sorted({*np.unique(ids).tolist()} - {*self.id2label, ignore_index}):
            raise ValueError(
                f"truth has the value {unknown[0]}; expected class ids, 0 to {max(self.id2label)}, and {ignore_index} "
                "for what is not labelled: convert the mask (`segformer-tf convert-masks`), or give ignore_index."
            )
        return views.compare(
            np.asarray(self.pixels), ids, self.labels, self.id2label, self.palette, ignore_index, self.name
        )

    @spell_checked
    def heatmap(self, name: str = "entropy", alpha: float = 0.7) -> Image.Image:
        """The probability of a class, or how unsure the model is ("entropy"), as colours over the grey picture.

        It must have been asked for: `segment(picture, maps=("car", "entropy"))`; else KeyError. ValueError for a name
        that is no class.
        """
        kind = map_kind(name, self.id2label)
        asked = next((key for key in self.maps if map_kind(key, self.id2label) == kind), None)
        if asked is None:
            raise KeyError(f"There is no map {name!r}: segment the picture with maps=({name!r},).")
        title = "uncertainty (entropy)" if kind == "entropy" else f"probability of {self.id2label[kind]}"
        return views.heat(np.asarray(self.pixels), self.maps[asked], title, alpha)

    @spell_checked
    def svg(self, skip: Sequence[str] = BACKGROUND, classes: Table | None = None) -> str:
        """The regions as an SVG, a path for each class but those in `skip`; it fits over the picture."""
        skip = skipped(skip, self.id2label)
        rows = [row for row in self._table(classes) if row["name"] not in skip]
        return svg(self.labels, rows, self.palette)

    def _table(self, classes: Table | None) -> Table:
        """`classes` as a caller has it already, who asks for several things and need not have pixels counted anew."""
        return self.classes if classes is None else classes

    @spell_checked
    def to_dict(self, classes: Table | None = None) -> dict[str, Any]:
        """What `NAME.json` holds."""
        height, width = self.labels.shape
        return {
            "made_by": mark(self.path),
            "image": self.name,
            "path": str(self.path.absolute()) if self.path else None,
            "model": self.model,
            "runtime": self.runtime,
            "size": {"height": height, "width": width},
            "classes": self._table(classes),
        }

    @spell_checked
    def to_coco(self, classes: Table | None = None) -> dict[str, Any]:
        """What `NAME_polygons.json` holds: a COCO data set of this one picture."""
        height, width = self.labels.shape
        file_name = self.path.name if self.path else self.name
        return {
            "made_by": mark(self.path),
            "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
            "categories": [{"id": key, "name": name} for key, name in self.id2label.items()],
            "annotations": coco_annotations(self.labels, [row["id"] for row in self._table(classes)]),
        }

    @spell_checked
    def save(
        self,
        directory: str | os.PathLike,
        kinds: Sequence[str] = files.DEFAULT,
        *,
        alpha: float = 0.5,
        skip: Sequence[str] = BACKGROUND,
        legend: bool | str = True,
        outline: bool = False,
        overwrite: bool = False,
        classes: Table | None = None,
    ) -> list[Path]:
        """Writes `NAME_labels.png` (palette indices are class ids), `NAME_overlay.png` and `NAME.json`; all or none.

        `kinds` may also have "polygons" (`NAME_polygons.json`, a COCO data set), "svg" (`NAME_polygons.svg`), "tiff"
        (`NAME_labels.tif`, tiled, with the picture's georeference; needs rasterio) and "scores" (`NAME_scores.npz`, an
        array `scores`). Files that this method did not write, or wrote for another picture, are replaced only with
        `overwrite`, and the picture itself never. `classes` is the property of that name, where it is known.

        Returns:
            The files' paths.

        Raises:
            FileExistsError: A file that must not be replaced stands where one would go.
            OSError: The directory cannot be written, or the disk is full.
            ValueError: A kind or class that does not exist, or "scores" where they were not asked for.
        """
        kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if "scores" in kinds and self.scores is None:
            raise ValueError(
                f'{self.name} has no scores to save; segment the picture with scores=True, or leave out "scores".'
            )
        targets = files.check(directory, self.name, kinds, self.path, overwrite)
        if targets.keys() & {"overlay", "json", "polygons", "svg"}:
            classes = self._table(classes)
        with staged(directory) as stage:
            for kind, target in targets.items():
                self._write(kind, stage / target.name, classes, skip, alpha=alpha, legend=legend, outline=outline)
        return list(targets.values())

    def _write(self, kind: str, path: Path, classes: Table | None, skip: Sequence[str], **drawn: Any) -> None:
        made_by = mark(self.path)
        if kind == "labels":
            write_png(images.label_image(self.labels, self.palette), path, made_by)
        elif kind == "overlay":
            write_png(self._painted(classes, skip=skip, **drawn), path, made_by)
        elif kind == "tiff":
            raster.write_labels(path, self.labels, self.palette, made_by, self.path, self.page)
        elif kind == "svg":
            head, _, rest = self.svg(skip, classes).partition("\n")
            path.write_text(f"{head}<!-- {made_by} -->\n{rest}", "utf-8")
        elif kind == "scores":
            np.savez(path, scores=np.asarray(self.scores), made_by=made_by)
        elif kind == "polygons":
            path.write_text(json.dumps(self.to_coco(classes)) + "\n", "utf-8")
        else:
            path.write_text(json.dumps(self.to_dict(classes), indent=2) + "\n", "utf-8")

    def __repr__(self) -> str:
        height, width = self.labels.shape
        names = ", ".join(row["name"] for row in self.classes)
        return f"SegmentationResult({self.name!r}, {height} x {width}: {names})"

    def _repr_html_(self) -> str:
        """The overlay, whose classes are named as one points at them, and their table; nothing is fetched."""
        title = f"{self.name}, {self.model}"
        return notebook.segmentation(self.labels, self.pixels, self.classes, self.palette, BACKGROUND, title)


class ClassificationResult(list):
    """A classifier's answer: a list `[{"id", "label", "score"}]`, the likeliest first; a table in a notebook."""

    def _repr_html_(self) -> str:
        return notebook.classification(self)


def map_kind(name: str, id2label: dict[int, str]) -> Any:
    """What `Merger` calls the map of a class by that name; "entropy" is its own."""
    if name == "entropy":
        return name
    return class_id(name, id2label)
