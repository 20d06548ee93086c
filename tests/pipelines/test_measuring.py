import subprocess
import sys

import numpy as np
import pytest

from segformer_tf.pipelines.measuring import peak_memory

CODE = "from segformer_tf.pipelines.measuring import peak_memory; print(peak_memory())"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module")
def test_a_process_s_peak_is_its_own_not_that_of_the_one_that_made_it():
    held = np.ones((400, 2**17))  # 400 MB
    child = float(subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True).stdout)
    own = peak_memory()
    assert own is not None and 20 < child < own - 300 and held.any()
