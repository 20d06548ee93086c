"""The image processor that belongs to a checkpoint."""

import os
from pathlib import Path
from typing import Any

from segformer_tf.images.config_file import CONFIG_NAMES
from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.storage import find


def load_processor(name_or_path: str | os.PathLike, **where: Any) -> SegformerImageProcessor:
    """The image processor beside a checkpoint, or the default one where there is none."""
    path = Path(name_or_path)
    name = str(path.parent) if path.is_file() else str(name_or_path)
    if any(find.find(name, file, **where) for file in CONFIG_NAMES):
        return SegformerImageProcessor.from_pretrained(name, **where)
    return SegformerImageProcessor()
