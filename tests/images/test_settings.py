"""The processor's file: found, read, and written."""

import json
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from segformer_tf import SegformerImageProcessor


def test_the_part_of_a_processor_file_is_read(tmp_path):
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"image_processor": {"size": 8}, "processor_class": "P"})
    )
    assert SegformerImageProcessor.from_pretrained(tmp_path).size == {"height": 8, "width": 8}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 9}))
    assert SegformerImageProcessor.from_pretrained(tmp_path).size == {"height": 9, "width": 9}
    file = tmp_path / "processor_config.json"
    assert SegformerImageProcessor.from_pretrained(file).size == {"height": 8, "width": 8}


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither preprocessor_config.json nor processor_config.json"):
        SegformerImageProcessor.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no file or directory .*/nowhere"):
        SegformerImageProcessor.from_pretrained(tmp_path / "nowhere", or_default=True)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"preprocessor_config.json is not JSON .*; expected the settings of an image"):
        SegformerImageProcessor.from_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"holds a list; expected an object, the settings of an image processor"):
        SegformerImageProcessor.from_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"resample": 9}')
    with pytest.raises(ValueError, match=r"preprocessor_config.json: resample is 9; expected one of Pillow's filters"):
        SegformerImageProcessor.from_pretrained(tmp_path)


def test_a_checkpoint_without_a_processor_has_the_default_one_where_that_is_asked_for(tmp_path):
    assert SegformerImageProcessor.from_pretrained(tmp_path, or_default=True).size == {"height": 512, "width": 512}
    (tmp_path / "model.safetensors").touch()
    SegformerImageProcessor(size=40).save_pretrained(tmp_path)
    for beside in ("model.safetensors", "model.safetensors.index.json", "config.json"):
        (tmp_path / beside).touch()
        assert SegformerImageProcessor.from_pretrained(tmp_path / beside, or_default=True).size["height"] == 40


def test_own_settings_are_written_only_where_they_are_set(tmp_path):
    (file,) = SegformerImageProcessor().save_pretrained(tmp_path)
    assert not {"do_exif_transpose", "value_range", "page", "data_format"} & set(json.loads(Path(file).read_text()))
    SegformerImageProcessor(do_exif_transpose=False, value_range=(0, 4095)).save_pretrained(tmp_path)
    back = SegformerImageProcessor.from_pretrained(tmp_path)
    assert back.do_exif_transpose is False and back.value_range == (0.0, 4095.0) and back.page is None


@pytest.mark.parametrize("given", [4095, (5, 5), (9, 1), ("a", "b"), (0, float("inf")), (1, 2, 3)])
def test_a_range_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match=r"value_range is .*; expected two numbers, the values of black and of white"):
        SegformerImageProcessor(value_range=given)


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_given_and_the_newer_name_win_over_reduce_labels(tmp_path, kept):
    def read(file, **given):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(file))
        return SegformerImageProcessor.from_pretrained(tmp_path, **given).do_reduce_labels

    assert read({"reduce_labels": kept}) is kept  # by itself it counts
    assert read({"reduce_labels": not kept}, do_reduce_labels=kept) is kept
    assert read({"do_reduce_labels": not kept}, reduce_labels=kept) is kept
    assert read({"do_reduce_labels": kept, "reduce_labels": not kept}) is kept
    assert read({"do_reduce_labels": kept, "reduce_labels": None}) is kept
    assert SegformerImageProcessor(do_reduce_labels=kept, reduce_labels=not kept).do_reduce_labels is kept
    assert SegformerImageProcessor(reduce_labels=kept).do_reduce_labels is kept
    labels = SegformerImageProcessor(do_reduce_labels=not kept, do_resize=False)(
        np.zeros((2, 2, 3), np.uint8), segmentation_maps=np.full((2, 2), 7), reduce_labels=kept
    ).labels
    assert labels[0][0, 0] == (6 if kept else 7)


def test_values_of_numpy_are_kept_as_python_s_own_and_written(tmp_path):
    given = {"do_resize": np.bool_(True), "do_rescale": np.bool_(True), "do_normalize": np.bool_(True)}
    given |= {"do_reduce_labels": np.bool_(False), "do_exif_transpose": np.bool_(True), "page": np.int64(1)}
    given |= {"rescale_factor": np.float32(0.5), "size": np.int64(64), "value_range": np.array([0, 4095])}
    processor = SegformerImageProcessor(**given, image_mean=np.float32(0.5), image_std=np.ones(1, np.float32))
    processor.save_pretrained(tmp_path)
    again = SegformerImageProcessor.from_pretrained(tmp_path)
    assert repr(again) == repr(processor) and again.page == 1 and again.rescale_factor == 0.5
    with pytest.raises(ValueError, match="rescale_factor is"):
        SegformerImageProcessor(rescale_factor=np.complex64(1))


class InterpolationMode(Enum):
    """As torchvision has it."""

    BICUBIC = "bicubic"


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("bilinear", 2),
        ("BICUBIC", 3),
        ("nearest", 0),
        ("nearest-exact", 0),
        ("lanczos", 1),
        (InterpolationMode.BICUBIC, 3),
    ],
)
def test_a_filter_may_be_given_by_its_name(tmp_path, given, number):
    assert SegformerImageProcessor(resample=given).resample == number
    if isinstance(given, str):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"resample": given}))
        assert SegformerImageProcessor.from_pretrained(tmp_path).resample == number


@pytest.mark.parametrize("given", ["cubic", "2", "", None, [2]])
def test_a_filter_of_another_name_is_refused(given):
    with pytest.raises(
        ValueError, match=r"resample is .*; expected one of Pillow's filters, a number from 0 to 5 or its"
    ):
        SegformerImageProcessor(resample=given)
