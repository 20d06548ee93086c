"""The memory that a training run takes beside what it says at its start: `python benchmarks/speed/run_memory.py`.

Each row is a process of its own that trains for three steps on made-up pictures, evaluates and writes its report. The
aim: within a quarter. Half a minute a row on two quiet cores.
"""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

ROWS = ("b0 256 320 8", "b0 512 512 2", "b0 512 512 4", "b1 256 320 4", "b2 256 320 4", "b2 512 512 1")


def measured(variant: str, height: int, width: int, batch: int) -> tuple[float, float]:
    """GB expected and at the peak, of this process."""
    import numpy as np
    import tensorflow as tf
    from timing import _status

    from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
    from segformer_tf.training import RECIPES, train
    from segformer_tf.training.plan import expected_memory

    model = TFSegformerForSemanticSegmentation(
        SegformerConfig.from_variant(variant, num_labels=11), data_format="channels_last"
    )
    random = np.random.default_rng(0)
    pictures = random.integers(0, 255, (4, height, width, 3), np.uint8), random.integers(0, 11, (4, height, width))
    source = tf.data.Dataset.from_tensor_slices(pictures)
    recipe = RECIPES["fine-tune"]
    how = dataclasses.replace(recipe.augmentation, crop=(height, width))
    recipe = dataclasses.replace(recipe, steps=3, batch_size=batch, augmentation=how)
    with tempfile.TemporaryDirectory() as directory:
        train(model, source, Path(directory) / "run", recipe, validation=source.take(2), verbose=0)
    return expected_memory(model, recipe) / 1e9, _status("VmHWM") * 2**20 / 1e9


def main() -> None:
    if len(sys.argv) > 1:
        variant, *numbers = sys.argv[1:]
        print(*measured(variant, *map(int, numbers)))
        return
    print(f"{'model, crop, batch':20} {'expected GB':>12} {'peak GB':>8} {'ratio':>6}")
    for row in ROWS:
        answer = subprocess.run([sys.executable, __file__, *row.split()], check=True, capture_output=True, text=True)
        expected, peak = map(float, answer.stdout.split()[-2:])
        print(f"{row:20} {expected:12.2f} {peak:8.2f} {expected / peak:6.2f}", flush=True)


if __name__ == "__main__":
    main()
