import numpy as np

from segformer_tf.training.folds import summary
from segformer_tf.training.scoring.card import card_text
from segformer_tf.training.scoring.robustness import robustness
from segformer_tf.training.scoring.tally import Tally


def test_a_card_has_a_section_for_all_that_is_known_and_no_other():
    tally = Tally({0: "road", 1: "sky", 2: "bo|at"}, 255, intervals=True)
    for seed in range(4):
        labels = np.random.default_rng(seed).integers(0, 2, (20, 20))
        tally.add(labels, np.where(labels == 1, 1, 0) if seed else np.zeros_like(labels))
    folds = summary([{"name": n, "images": 2, "score": s, "classes": {}} for n, s in (("a", 0.4), ("b", 0.6))])
    ece = {"before": {"ECE": 0.05}, "after": {"ECE": 0.01}, "temperature": 1.5, "pixels": 4000}
    clean = {"mIoU": 0.5, "protocol": "plain", "images": 2}
    text = card_text(
        "CamVid, drives 0001TP, 0006R0 and 0016E5.", "research use", tally.result("plain"), folds, ece,
        robustness(lambda name, severity: clean, ["fog"], [1, 2]), ["Poles."], {"a.png": "a street"},
    )  # fmt: skip
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## Data", "## Classes", "## Leaving one group out", "## Calibration", "## Corrupted pictures",
        "## What it cannot do", "## Pictures",
    ]  # fmt: skip
    assert "Licence: research use" in text and "| b | 2 | 0.6000 |" in text and "Temperature 1.500" in text
    assert "| bo\\|at | - | - |" in text and "| fog | 50.0 | 50.0 | 50.0 |" in text and "![a street](a.png)" in text
    assert card_text(cannot=["Rain."]) == "## What it cannot do\n\n- Rain."
