import json

import numpy as np
import pytest

from segformer_tf.training import evaluate, read_split
from segformer_tf.training.evaluate import predictions
from segformer_tf.training.scoring.corruptions import CORRUPTIONS, corrupt
from segformer_tf.training.scoring.robustness import corruption_names, robustness, table, table_of_strengths


class Scored:
    """Stands for `evaluate`: every strength costs a tenth; counts its calls."""

    def __init__(self, stop_after=None):
        self.calls, self.stop_after = [], stop_after

    def __call__(self, name, severity):
        if len(self.calls) == self.stop_after:
            raise KeyboardInterrupt
        self.calls.append((name, severity))
        return {"mIoU": 0.8 - 0.1 * severity, "protocol": "plain", "images": 3}


def test_means_are_over_all_strengths_and_of_noise_over_three():
    found = robustness(Scored(), ["fog", "shot_noise"], [1, 2, 3, 4, 5])
    assert found["clean"] == 0.8 and [row["mean"] for row in found["corruptions"]] == pytest.approx([0.5, 0.6])
    assert found["mean"] == pytest.approx(0.55) and found["corruptions"][0]["mIoU"]["5"] == pytest.approx(0.3)
    assert table(found, "b0") == "\n".join(
        ["| | clean | Weather: Fog | Noise: Shot |", "|---|---|---|---|", "| b0 | 80.0 | 50.0 | 60.0 |"]
    )
    assert "| shot_noise | 70.0 | 60.0 | 50.0 | 40.0 | 30.0 | 60.0 |" in table_of_strengths(found)


def test_a_corruption_named_twice_is_scored_once():
    assert corruption_names("fog, snow,fog") == ("fog", "snow")


def test_scores_without_miou_are_refused():
    with pytest.raises(ValueError, match="the score is accuracy, images, expected mIoU"):
        robustness(lambda name, severity: {"accuracy": 1.0, "images": 2}, ["fog"])


def test_a_stopped_run_goes_on_from_its_file(tmp_path):
    file = tmp_path / "out.json"
    with pytest.raises(KeyboardInterrupt):
        robustness(Scored(stop_after=4), ["fog", "snow"], [1, 3], file)
    rest = Scored()
    found = robustness(rest, ["fog", "snow"], [1, 3], file)
    assert rest.calls == [(None, 0), ("snow", 3)]
    assert found == robustness(Scored(), ["fog", "snow"], [1, 3])


def test_a_score_of_nothing_is_a_dash():
    found = robustness(lambda *_: {"mIoU": None, "protocol": "plain", "images": 3}, ["fog"], [1, 2])
    assert found["mean"] is None and table(found, "b0").endswith("| b0 | - | - |")


@pytest.mark.parametrize("scores", [[1], {"fog": None}, {"fog": {"1": "abc"}}, {"fog": {"1": 7.5}}])
def test_a_file_whose_scores_are_no_scores_is_refused(tmp_path, scores):
    file = tmp_path / "out.json"
    file.write_text(json.dumps({"protocol": "plain", "images": 3, "clean": 0.8, "scores": scores}))
    with pytest.raises(ValueError, match="has scores that are no numbers from 0 to 1"):
        robustness(Scored(), ["fog"], [1], file)


def test_a_file_of_another_run_is_refused(tmp_path):
    file = tmp_path / "out.json"
    file.write_text(json.dumps({"protocol": "slide", "images": 3, "clean": 0.8, "scores": {}}))
    with pytest.raises(ValueError, match="has protocol 'slide', expected 'plain': it is of another run"):
        robustness(Scored(), ["fog"], [1], file)


def test_cityscapes_c_is_all_sixteen_in_the_paper_s_order(monkeypatch, tmp_path):
    from segformer_tf.training.scoring import weather

    for name in weather.FROST:
        (tmp_path / name).touch()
    monkeypatch.setenv(weather.FROST_VARIABLE, str(tmp_path))
    assert corruption_names("cityscapes-c") == tuple(CORRUPTIONS)
    kinds = [row.kind for row in CORRUPTIONS.values()]
    assert kinds == [kind for kind in ("Blur", "Noise", "Digital", "Weather") for _ in range(4)]
    assert corruption_names("fog, snow") == ("fog", "snow")
    with pytest.raises(ValueError, match="corruption is 'rain'"):
        corruption_names("fog,rain")
    with pytest.raises(ValueError, match="severity is 7"):
        robustness(Scored(), ["fog"], [7])


def test_evaluate_corrupts_each_picture_by_its_number(data, network):
    split = read_split(data, "val")
    plain = list(predictions(network, split))
    for number, found in enumerate(predictions(network, split, corruption=("shot_noise", 5))):
        np.testing.assert_array_equal(found.image, corrupt(plain[number].image, "shot_noise", 5, number))
    assert evaluate(network, split, corruption=("contrast", 5))["aAcc"] != evaluate(network, split)["aAcc"]
