import numpy as np
from PIL import Image

from segformer_tf.training.report import charts

ROWS = [
    {"step": s, "loss": 1 / s, "val_loss": 2 / s, "score": s / 10, "mIoU": s / 10, "IoU a": None, "IoU b": s / 10}
    for s in (1, 2, 3)
]


def test_curves_have_axes_for_losses_score_and_classes(tmp_path, monkeypatch):
    import matplotlib.figure

    drawn = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))
    )
    charts.draw_curves(ROWS, tmp_path / "curves.png")
    losses, score, classes = drawn[0].axes
    assert [line.get_label() for line in losses.lines] == ["training", "validation"]
    np.testing.assert_array_equal(losses.lines[1].get_ydata(), [2, 1, 2 / 3])
    assert score.get_ylabel() == "mIoU" and score.lines[1].get_label() == "best: 0.3000"
    assert [line.get_label() for line in classes.lines] == ["a", "b"] and {a.get_xlabel() for a in drawn[0].axes} == {
        "step"
    }
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 1000


def test_a_run_of_one_evaluation_and_a_classifier_s_can_be_drawn(tmp_path):
    rows = [{"step": 4, "loss": 0.5, "score": 0.5, "accuracy": 0.5, "Acc dark": 0.5}]
    charts.draw_curves(rows, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 5000


def test_the_confusion_matrix_has_names_and_percentages_of_the_true_class(tmp_path, monkeypatch):
    import matplotlib.figure

    drawn = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))
    )
    charts.draw_confusion([[8, 2], [0, 0]], ["road", "sky"], tmp_path / "m.png")
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["80", "20", "0", "0"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["road", "sky"]


def test_names_are_drawn_as_they_are_and_none_is_left_out(tmp_path, monkeypatch):
    import matplotlib.figure

    drawn = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *a, **k: (save(self, *a, **k), drawn.append(self))
    )
    names = ["_background_", "price $_$", "a$b"]
    rows = [{"step": 1, "loss": 1.0, "score": 0.5, "mIoU": 0.5, **{f"IoU {name}": 0.5 for name in names}}]
    charts.draw_curves(rows, tmp_path / "c.png")
    charts.draw_confusion(np.eye(3), names, tmp_path / "m.png")
    legend = drawn[0].axes[2].get_legend().get_texts()
    ticks = [*drawn[1].axes[0].get_xticklabels(), *drawn[1].axes[0].get_yticklabels()]
    shown = [text._preprocess_math(text.get_text()) for text in (*legend, *ticks)]
    assert shown == [(name, False) for name in names * 3]
