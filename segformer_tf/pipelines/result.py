"""What a pipeline says about one picture: the label map, its classes, and the pictures made of them."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf import images
from segformer_tf.storage.whole import staged


@dataclass(frozen=True)
class SegmentationResult:
    """One segmented picture.

    `labels` are class ids, (H, W) int32 at the picture's own size; `pixels` the picture, (H, W, 3) uint8; `name` what
    files are called after; `id2label` and `palette` the names and colours of the model's classes.
    """

    name: str
    labels: np.ndarray
    pixels: np.ndarray
    id2label: dict[int, str]
    palette: np.ndarray
    model: str

    def renamed(self, name: str) -> "SegmentationResult":
        """The same result under another name."""
        return replace(self, name=name)

    @property
    def classes(self) -> list[dict[str, Any]]:
        """`[{"id", "name", "pixels", "share"}]`, largest first; `share` is a fraction of the picture."""
        return images.class_table(self.labels, self.id2label)

    def overlay(self, alpha: float = 0.5, legend: bool = True) -> Image.Image:
        """The picture with its classes blended over it, 0 (picture) to 1 (colours), and a legend."""
        return images.overlay(Image.fromarray(self.pixels), self.labels, self.palette, self.id2label, alpha, legend)

    def to_dict(self) -> dict[str, Any]:
        """What `NAME.json` holds."""
        height, width = self.labels.shape
        size = {"height": height, "width": width}
        return {"image": self.name, "model": self.model, "size": size, "classes": self.classes}

    def save(self, directory: str | os.PathLike) -> list[Path]:
        """Writes `NAME_labels.png` (palette indices are class ids), `NAME_overlay.png` and `NAME.json`.

        Returns:
            Their paths. All three appear whole, or none.

        Raises:
            OSError: The directory cannot be written.
        """
        with staged(directory) as stage:
            images.label_image(self.labels, self.palette).save(stage / f"{self.name}_labels.png")
            self.overlay().save(stage / f"{self.name}_overlay.png")
            (stage / f"{self.name}.json").write_text(json.dumps(self.to_dict(), indent=2) + "\n", "utf-8")
        return [Path(directory) / f"{self.name}{end}" for end in ("_labels.png", "_overlay.png", ".json")]
