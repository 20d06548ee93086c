"""int8 by calibration: products that compute in int8, judged, reported, refused; nothing left where it fails."""

import json
import shutil

import numpy as np
import pytest
from serving_models import SIZE, model, picture, processor

from segformer_tf.export import quantized
from segformer_tf.export.export import export
from segformer_tf.export.formats import FILES
from segformer_tf.export.quantized import Calibration, quantize
from segformer_tf.pipelines.runtimes import exported

load = FILES["openvino"].load
PARTS = [*(f"stage {i + 1}" for i in range(model().config.num_encoder_blocks)), "head"]


def pixels():
    for seed in range(2):
        yield processor()(np.asarray(picture(*SIZE, seed=seed)), return_tensors="np").pixel_values


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The float32 file."""
    return export(model(), tmp_path_factory.mktemp("full"), "openvino", processor=processor(), size=SIZE).path


@pytest.fixture
def uncalibrated(monkeypatch):
    """NNCF is not run: what is written is the float32 file; gives the names that were to stay in float."""
    in_float = []

    def write(full, path, pictures, names):
        in_float[:] = names
        for suffix in (".xml", ".bin"):
            shutil.copy(full.with_suffix(suffix), path.with_suffix(suffix))

    monkeypatch.setattr(quantized, "write_int8", write)
    return in_float


def test_products_compute_in_int8_and_the_report_says_which(full, tmp_path, monkeypatch):
    path = tmp_path / "openvino_model.xml"
    found = quantize(full, path, load, Calibration(pixels, max_drop=60.0))
    assert json.loads(json.dumps(found.to_dict()))["layers"][0]["part"] == found.layers[0].part
    assert found.measure == "label agreement" and found.before == 100.0 and 40.0 < found.after < 100.0
    assert {layer.part for layer in found.layers} == set(PARTS)
    assert sum(layer.precision == "int8" for layer in found.layers) > 0.6 * len(found.layers)
    file, whole = load(path), load(full)
    assert file.description == whole.description
    assert file(next(pixels())).shape == (1, SIZE[0] // 4, SIZE[1] // 4, 5)
    for bfloat16, precision in ((True, "bf16"), (False, "f32")):  # in which the rest of the file is computed
        monkeypatch.setattr(exported, "_has_bfloat16", lambda core, it=bfloat16: it)
        assert load(path)._precision == precision and load(full)._precision == "f32"


def test_parts_that_lose_most_stay_in_float_until_the_loss_is_small(full, tmp_path, uncalibrated):
    """The score stands for one that stage 2 in int8 costs 20 points and the head 1."""
    lost = {"block_1_0": 20.0, "decode_head": 1.0}

    def score(runtime):
        in_int8 = runtime.source.startswith(str(tmp_path))
        return 90.0 - sum(in_int8 * cost * (not any(key in n for n in uncalibrated)) for key, cost in lost.items())

    made = tmp_path / "openvino_model.xml"
    found = quantize(full, made, load, Calibration(pixels, score, max_drop=2.0))
    assert (found.before, found.after, found.kept_in_float) == (90.0, 89.0, ["stage 2"])
    assert found.parts == {**dict.fromkeys(PARTS, 0.0), "stage 2": 20.0, "head": 1.0}


def test_too_much_loss_no_pictures_and_an_interruption_leave_nothing(full, tmp_path, uncalibrated, monkeypatch):
    def calibrated(*arguments):
        how = {"processor": processor(), "size": SIZE, "weights": "int8"}
        export(model(), tmp_path, "openvino", calibration=Calibration(*arguments), **how)

    write = FILES["openvino"]._replace(write=lambda model, path, *_: [shutil.copy(f, path.parent) for f in files])
    monkeypatch.setitem(FILES, "openvino", write)
    files = [full, full.with_suffix(".bin")]
    with pytest.raises(ValueError, match=r"float32 90\.00: more than max_drop = 0\.5 lost .*stage 1 \+0\.00"):
        calibrated(pixels, lambda runtime: 10.0 if runtime.source.startswith(str(tmp_path)) else 90.0)

    def interrupted():
        yield next(pixels())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrated(interrupted)
    with pytest.raises(ValueError, match="no calibration pictures"):
        calibrated(lambda: iter(()))
    assert not list(tmp_path.iterdir())


def test_calibration_fits_int8_and_openvino_only(tmp_path):
    for format, weights in (("openvino", "float32"), ("onnx", "int8"), ("litert", "int8")):
        with pytest.raises(ValueError, match='calibration is for weights "int8" and openvino'):
            export(model(), tmp_path, format, weights=weights, calibration=Calibration(pixels), size=SIZE)


def test_a_float_file_takes_the_report_of_an_int8_one_with_it(tmp_path):
    (tmp_path / "quantization.json").write_text("{}")
    export(model(), tmp_path, "onnx", processor=processor(), size=SIZE)
    assert (tmp_path / "quantization.json").exists()
    export(model(), tmp_path, "openvino", processor=processor(), size=SIZE)
    assert not (tmp_path / "quantization.json").exists()


def test_labels_of_one_logit_agree_where_its_sign_does():
    """The largest of one logit is always the first."""

    class OneLogit:
        def __init__(self, sign):
            self.sign = sign

        def __call__(self, pixels):
            return self.sign * pixels[..., :1]

    agreement = quantized._agreement(OneLogit(1), Calibration(pixels))
    assert agreement(OneLogit(1)) == 100 and agreement(OneLogit(-1)) < 5
