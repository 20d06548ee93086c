"""These models beside transformers 5's PyTorch classes, live: the same weights, the same numbers, files both ways.

Short form: b0 and b2. Long form, b0 to b5: SEGFORMER_TF_PARITY=long.
"""

import os

import numpy as np
import pytest
import torch
import transformers
from random_weights import randomise
from reference import FIXTURES, relative_difference

from segformer_tf import (
    SegformerConfig,
    SegformerImageProcessor,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
    TFSegformerModel,
)
from segformer_tf.convert import convert

# The fixtures of NVlabs' code are tiny models.
pytestmark = pytest.mark.filterwarnings("ignore:The configuration of .* is read off its tensors")
VARIANTS = [f"b{i}" for i in range(6)] if os.environ.get("SEGFORMER_TF_PARITY") == "long" else ["b0", "b2"]
SIZES = ((512, 512), (287, 421))
TASKS = {
    "hf4-seg": (TFSegformerForSemanticSegmentation, transformers.SegformerForSemanticSegmentation),
    "hf4-cls": (TFSegformerForImageClassification, transformers.SegformerForImageClassification),
}
CLOSE = 1e-5  # of the largest expected value; 4e-6 is reached


def pictures(*size: int) -> np.ndarray:
    """(1, 3, H, W)"""
    return np.random.default_rng(sum(size)).normal(size=(1, 3, *size)).astype("float32")


def loaded_without_a_rest(cls, directory):
    """transformers' model of a directory; every tensor must find its place, and every place its tensor."""
    model, report = cls.from_pretrained(directory, output_loading_info=True)
    assert not any(report.values()), report
    return model.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_saved_loads_there_and_gives_the_same_logits(variant, tmp_path):
    model = TFSegformerForSemanticSegmentation(SegformerConfig.from_variant(variant), data_format="channels_first")
    randomise(model)
    model.save_pretrained(tmp_path)
    reference = loaded_without_a_rest(transformers.SegformerForSemanticSegmentation, tmp_path)
    for size in SIZES:
        pixels = pictures(*size)
        with torch.no_grad():
            expected = reference(torch.from_numpy(pixels)).logits.numpy()
        assert expected.std() > 0.1
        assert relative_difference(model(pixels).logits, expected) < CLOSE


@pytest.mark.parametrize("variant", VARIANTS[:2])
def test_what_transformers_saves_loads_here_and_gives_the_same_logits(variant, tmp_path):
    source = TFSegformerForSemanticSegmentation(SegformerConfig.from_variant(variant), data_format="channels_first")
    randomise(source, seed=1)
    source.save_pretrained(tmp_path / "here")
    reference = loaded_without_a_rest(transformers.SegformerForSemanticSegmentation, tmp_path / "here")
    reference.save_pretrained(tmp_path / "there")
    model, report = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path / "there", output_loading_info=True)
    assert not any(report.values()), report
    for variable, original in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(variable, original)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_is_trained_from_half_precision_loads_there_in_float32(dtype, tmp_path):
    transformers.SegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg").to(dtype).save_pretrained(
        tmp_path / "half"
    )
    model = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path / "half", data_format="channels_first")
    randomise(model)
    model.save_pretrained(tmp_path / "saved")
    convert(tmp_path / "half", tmp_path / "converted")
    reference = loaded_without_a_rest(transformers.SegformerForSemanticSegmentation, tmp_path / "saved")
    pixels = pictures(64, 96)
    with torch.no_grad():
        expected = reference(torch.from_numpy(pixels)).logits
    assert expected.dtype == torch.float32
    assert relative_difference(model(pixels).logits, expected.numpy()) < CLOSE
    converted = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path / "converted")
    assert converted.dtype == torch.float32


@pytest.mark.parametrize("name", TASKS)
def test_a_module_in_memory_is_read(name):
    cls, reference_class = TASKS[name]
    model = cls.from_torch_module(reference_class.from_pretrained(FIXTURES / name), data_format="channels_first")
    original = cls.from_pretrained(FIXTURES / name, data_format="channels_first")
    assert model.config.id2label == original.config.id2label and model.config.depths == original.config.depths
    for variable, expected in zip(model.weights, original.weights, strict=True):
        np.testing.assert_array_equal(variable, expected)
    with pytest.raises(ValueError, match="Linear: These are not the tensors of a SegFormer checkpoint"):
        cls.from_torch_module(torch.nn.Linear(2, 3))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("cls", "reference_class"),
    [
        (TFSegformerForImageClassification, transformers.SegformerForImageClassification),
        (TFSegformerModel, transformers.SegformerModel),
    ],
)
def test_the_classifier_and_the_encoder_alone_too(cls, reference_class, size, tmp_path):
    model = cls(SegformerConfig.from_variant("b0", num_labels=1000), data_format="channels_first")
    randomise(model)
    model.save_pretrained(tmp_path)
    reference = loaded_without_a_rest(reference_class, tmp_path)
    pixels = pictures(*size)
    with torch.no_grad():
        expected = reference(torch.from_numpy(pixels), output_hidden_states=True)
    found = model(pixels, output_hidden_states=True)
    assert relative_difference(found[0], expected[0].numpy()) < CLOSE
    for map_, expected_map in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert relative_difference(map_, expected_map.numpy()) < CLOSE


@pytest.mark.parametrize("task", ["Model", "ForImageClassification", "ForSemanticSegmentation"])
def test_the_last_stage_comes_as_tokens_where_it_does_there(task, tmp_path):
    import segformer_tf

    config = SegformerConfig.from_variant("b0", num_labels=5, reshape_last_stage=False)
    model = getattr(segformer_tf, f"TFSegformer{task}")(config, data_format="channels_first")
    randomise(model)
    model.save_pretrained(tmp_path)
    reference = loaded_without_a_rest(getattr(transformers, f"Segformer{task}"), tmp_path)
    # transformers' decode head makes a map of tokens only where there are as many as channels, a square number
    pixels = pictures(512, 512) if task == "ForSemanticSegmentation" else pictures(96, 128)
    with torch.no_grad():
        expected = reference(torch.from_numpy(pixels), output_hidden_states=True)
    found = model(pixels, output_hidden_states=True)
    assert found.hidden_states[-1].shape[1:] == ((256, 256) if task == "ForSemanticSegmentation" else (12, 256))
    assert relative_difference(found[0], expected[0].numpy()) < CLOSE
    for map_, expected_map in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert relative_difference(map_, expected_map.numpy()) < CLOSE


@pytest.mark.parametrize("odd", [
    {"mlp_ratios": [4.0, 4, 2.0, 1.0]},
    {"initializer_range": 0, "layer_norm_eps": 0, "drop_path_rate": 0},
    dict.fromkeys(("reshape_last_stage", "output_attentions", "output_hidden_states", "return_dict")),
    {"reshape_last_stage": 0, "return_dict": 1},
    {"id2label": {"0": "sky", "1": 7}},
])  # fmt: skip
def test_what_this_package_accepts_passes_the_strict_types_there(odd, tmp_path):
    config = SegformerConfig(**odd)
    config.save_pretrained(tmp_path)
    there = transformers.SegformerConfig.from_pretrained(tmp_path)
    for key in odd:
        assert getattr(there, key) == getattr(config, key)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_one_number_as_mean_gives_the_bits_of_transformers(channels):
    from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

    image = np.random.default_rng(channels).integers(0, 256, (40, 60, channels), np.uint8)
    # It hands arrays of four channels to Pillow as RGBA, which weighs colours by the last of them.
    settings = {"image_mean": 0.3, "image_std": 0.7, "size": {"height": 17, "width": 23}, "do_resize": channels < 4}
    expected = SegformerImageProcessorPil(**settings)(image, input_data_format="channels_last", return_tensors="np")
    found = SegformerImageProcessor(**settings, data_format="channels_first")(image, return_tensors="np")
    np.testing.assert_array_equal(found.pixel_values, expected.pixel_values)


@pytest.mark.parametrize("mixed", [{"image_mean": 0.3}, {"image_std": 0.7}], ids=str)
def test_one_number_beside_three_gives_the_bits_of_transformers(mixed, tmp_path):
    from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    there = SegformerImageProcessorPil(**mixed, size={"height": 17, "width": 23})
    there.save_pretrained(tmp_path)
    expected = there(image, input_data_format="channels_last", return_tensors="np").pixel_values
    found = SegformerImageProcessor.from_pretrained(tmp_path, data_format="channels_first")(image, return_tensors="np")
    np.testing.assert_array_equal(found.pixel_values, expected)


def at_boundary(map_, data_format: str):
    return map_.transpose(0, 2, 3, 1) if data_format == "channels_last" else map_


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("file", ["model.safetensors", "tf_model.h5", "pytorch_model.bin"])
@pytest.mark.parametrize("name", TASKS)
def test_every_file_of_transformers_4_gives_its_numbers(name, file, data_format):
    golden = np.load(FIXTURES / name / "golden.npz")
    model = TASKS[name][0].from_pretrained(FIXTURES / name / file, data_format=data_format)
    for i in range(3):
        output = model(at_boundary(golden[f"pixel_values.{i}"], data_format), labels=golden[f"labels.{i}"])
        expected = golden[f"logits.{i}"]
        expected = at_boundary(expected, data_format) if expected.ndim == 4 else expected
        assert relative_difference(output.logits, expected) < CLOSE
        assert relative_difference(output.loss, golden[f"loss.{i}"]) < CLOSE


@pytest.mark.parametrize("name", TASKS)
def test_hidden_states_attentions_and_loss_equal_those_of_transformers_5(name):
    golden = np.load(FIXTURES / name / "golden.npz")
    cls, reference_class = TASKS[name]
    model = cls.from_pretrained(FIXTURES / name, data_format="channels_first")
    reference = reference_class.from_pretrained(FIXTURES / name, attn_implementation="eager").eval()
    for i in range(3):
        pixels, labels = golden[f"pixel_values.{i}"], golden[f"labels.{i}"]
        arguments = {"output_hidden_states": True, "output_attentions": True}
        with torch.no_grad():
            expected = reference(torch.from_numpy(pixels), labels=torch.from_numpy(labels), **arguments)
        found = model(pixels, labels=labels, **arguments)
        assert list(found) == list(expected)
        assert relative_difference(found.loss, expected.loss.numpy()) < CLOSE
        assert relative_difference(found.logits, expected.logits.numpy()) < CLOSE
        for field in ("hidden_states", "attentions"):
            for map_, expected_map in zip(found[field], expected[field], strict=True):
                assert relative_difference(map_, expected_map.numpy()) < CLOSE


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_segmentation_pth_gives_the_numbers_of_the_authors_code(data_format, tmp_path):
    golden = np.load(FIXTURES / "nvlabs" / "golden.npz")
    file = FIXTURES / "nvlabs" / "segformer.pth"
    model = TFSegformerForSemanticSegmentation.from_pretrained(file, data_format=data_format)
    assert model.config.encoder_norm_eps == 1e-6
    model.save_pretrained(tmp_path)
    again = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path, data_format=data_format)
    assert again.config.encoder_norm_eps == 1e-6
    for i in range(3):
        pixels = at_boundary(golden[f"pixel_values.{i}"], data_format)
        expected = at_boundary(golden[f"logits.{i}"], data_format)
        assert relative_difference(model(pixels).logits, expected) < CLOSE
        assert relative_difference(again(pixels).logits, expected) < CLOSE


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_an_encoder_pth_gives_the_features_of_the_authors_code(data_format):
    golden = np.load(FIXTURES / "nvlabs" / "mit_golden.npz")
    file = FIXTURES / "nvlabs" / "mit.pth"
    model = TFSegformerForImageClassification.from_pretrained(file, data_format=data_format)
    assert model.config.encoder_norm_eps == 1e-6
    maps = model(at_boundary(golden["pixel_values"], data_format), output_hidden_states=True).hidden_states
    for stage, map_ in enumerate(maps):
        assert relative_difference(map_, at_boundary(golden[f"features.{stage}"], data_format)) < CLOSE
