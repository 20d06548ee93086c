import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from segformer_tf.pipelines.runtimes.measuring import least_seconds, measure, peak_memory

CODE = "from segformer_tf.pipelines.runtimes.measuring import peak_memory; print(peak_memory())"


@pytest.mark.parametrize(("size", "batch"), [((64, 96), 8), ((1024, 1024), 2)])
def test_batches_have_as_many_pictures_as_are_told(size, batch):
    counts = set()

    class Counting:
        description = SimpleNamespace(config={"num_channels": 3})

        def __call__(self, pixel_values):
            counts.add(len(pixel_values))

    assert measure(Counting(), size, 0.001).batch == batch and counts == {1, batch}


def test_of_several_runs_the_fastest_counts():
    waits = iter((0.2, 0.001, 0.1))
    assert 0.001 <= least_seconds(lambda pixel_values: time.sleep(next(waits)), np.zeros(1), 3) < 0.1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module")
def test_a_process_s_peak_is_its_own_not_that_of_the_one_that_made_it():
    held = np.ones((400, 2**17))  # 400 MB
    child = float(subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True).stdout)
    own = peak_memory()
    assert own is not None and 20 < child < own - 300 and held.any()
