"""What `train` returns: the best row of the log, where the run is, and how it shows itself in a notebook."""

import csv
import html
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.pipelines import notebook
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training import state
from segformer_tf.training.console import duration

WIDEST = 800  # pixels of a picture that a notebook shows


@spell_checked
class Run(dict):
    """The log's row with the highest score, such as `run["mIoU"]` and `run["step"]`; empty where nothing was evaluated.

    `directory` is the run's, `best` and `last` in it are what `from_pretrained` reads, `report` is its page. In a
    notebook a run shows its curves and its worst pictures.
    """

    def __init__(self, directory: str | Path, best: dict[str, Any]):
        super().__init__({key: value.item() if isinstance(value, np.generic) else value for key, value in best.items()})
        self.directory = Path(directory)

    @property
    def best(self) -> Path:
        """The directory of the best weights."""
        return self.directory / "best"

    @property
    def last(self) -> Path:
        """The directory of the last weights."""
        return self.directory / "last"

    @property
    def report(self) -> Path:
        """The page that tells how good the best weights are."""
        return self.directory / "report.html"

    @property
    def log(self) -> list[dict[str, Any]]:
        """One row an evaluation, as numbers; None where a class was in no mask and no prediction."""
        with open(self.directory / state.LOG, encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [
            {key: (int if key == "step" else float)(value) if value else None for key, value in row.items()}
            for row in rows
        ]

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{html.escape(str(self.directory))}: nothing was evaluated.</p>"
        name = "mIoU" if "mIoU" in self else "accuracy"
        text = (
            f"Run {self.directory}: best {name} {self['score']:.4f} at step {self['step']} ({self.best}), "
            f"last step {self.log[-1]['step']} after {duration(self.log[-1]['seconds'])}; report {self.report}"
        )
        parts = [f"<p>{html.escape(text)}</p>"]
        for file, shows in (
            ("curves.png", "loss, score and the classes' scores over the steps"),
            *((f"picture_worst_{place}.png", "picture, truth, prediction, differences") for place in (1, 2, 3)),
        ):
            if (self.directory / file).is_file():
                with Image.open(self.directory / file) as picture:
                    parts.append(f"<p>{notebook.image(picture, shows, WIDEST)}</p>")
        style = "<style>.segformer-tf-run img{max-width:100%}</style>"
        return f"<div class='segformer-tf-run'>{style}{''.join(parts)}</div>"
