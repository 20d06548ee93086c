"""What `train` returns, and how it shows itself."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from segformer_tf.training import state
from segformer_tf.training.run import Run

ROWS = [
    {"step": 4, "seconds": 1.5, "learning_rate": 0.1, "loss": 2.0, "score": 0.5, "mIoU": 0.5, "IoU <sky>": None},
    {"step": 8, "seconds": 3.0, "learning_rate": 0.0, "loss": 1.0, "score": 0.25, "mIoU": 0.25, "IoU <sky>": 0.25},
]


@pytest.fixture
def run(tmp_path):
    state.write_log(tmp_path, ROWS)
    Image.new("RGB", (1540, 495)).save(tmp_path / "curves.png")
    for place in (1, 2):
        Image.new("RGB", (2000, 300)).save(tmp_path / f"picture_worst_{place}.png")
    Image.new("RGB", (2000, 300)).save(tmp_path / "picture_best_1.png")
    return Run(tmp_path, ROWS[0])


def test_a_run_is_the_best_row_and_knows_its_files(run, tmp_path):
    assert run == ROWS[0] and run["mIoU"] == 0.5 and run.log == ROWS
    assert (run.best, run.last, run.report) == (tmp_path / "best", tmp_path / "last", tmp_path / "report.html")
    assert not Run(tmp_path, {}), "a worker that is not the chief"


def test_a_log_that_a_spreadsheet_saved_is_read(run, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(log.read_text("utf-8"), "utf-8-sig")  # with its byte order mark
    assert run.log == ROWS


def test_a_run_s_values_are_plain_numbers(tmp_path):
    assert json.loads(json.dumps(Run(tmp_path, {"step": np.int64(3), "mIoU": np.float64(0.5)}))) == {
        "step": 3,
        "mIoU": 0.5,
    }


def test_a_notebook_shows_curves_and_worst_pictures_of_a_run(run):
    text = run._repr_html_()
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))).size for data in re.findall(r"base64,([^']+)", text)]
    assert pictures == [(800, 257), (800, 120), (800, 120)]
    assert "best mIoU 0.5000 at step 4" in text and "last step 8" in text and "http" not in text


def test_a_run_that_was_not_evaluated_says_so(tmp_path):
    assert "nothing was evaluated" in Run(tmp_path / "<a>", {})._repr_html_()
    assert "<a>" not in Run(tmp_path / "<a>", {})._repr_html_()
