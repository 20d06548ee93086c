"""The old library itself beside this one: transformers 4.57's TensorFlow classes on tf-keras, the same random weights.

Gradients and training steps are compared with its PyTorch classes too.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import torch
import transformers
from random_weights import randomise
from reference import FIXTURES, TINY, relative_difference

import segformer_tf
from segformer_tf.bounds import ACTIVATIONS
from segformer_tf.checkpoints import names
from segformer_tf.convert import convert

# The fixtures of NVlabs' code are tiny models.
pytestmark = pytest.mark.filterwarnings("ignore:The configuration of .* is read off its tensors")
CLOSE = 1e-5  # of the largest expected value; 1e-6 is reached
AFTER_TEN_STEPS = 1e-4  # every step doubles what rounding made of the one before
NO_DROPPING = {"drop_path_rate": 0.0, "classifier_dropout_prob": 0.0}
random = np.random.default_rng(0)
PIXELS = random.normal(size=(2, 3, 64, 96)).astype("float32")
MAPS = random.integers(0, 5, size=(2, 64, 96))
CASES = {
    "TFSegformerForSemanticSegmentation": MAPS,
    "TFSegformerForImageClassification": np.array([1, 4]),
    "TFSegformerModel": None,
}


with_a_loss = pytest.mark.parametrize("saved", [name for name in CASES if CASES[name] is not None], indirect=True)


@pytest.fixture(params=CASES)
def saved(request, tmp_path):
    """(name, model of this package, directory with its tf_model.h5 and its model.safetensors)"""
    config = segformer_tf.SegformerConfig(**{**TINY, **NO_DROPPING})
    model = getattr(segformer_tf, request.param)(config, data_format="channels_first")
    randomise(model)
    model.save_pretrained(tmp_path / "h5", safe_serialization=False)
    model.save_pretrained(tmp_path / "safetensors")
    return request.param, model, tmp_path


def test_outputs_and_losses_equal_those_of_the_tensorflow_classes(saved):
    name, model, directory = saved
    old, report = getattr(transformers, name).from_pretrained(directory / "h5", output_loading_info=True)
    assert not any(report.values()), report
    arguments = {"output_hidden_states": True, "output_attentions": True}
    if CASES[name] is not None:
        arguments["labels"] = CASES[name]
    found, expected = model(PIXELS, **arguments), old(PIXELS, **arguments)
    assert list(found) == list(expected)
    if "labels" in arguments:
        expected["loss"] = tf.reduce_mean(expected["loss"])  # of shape (1,), or one a picture, there
    for one, other in zip(tf.nest.flatten(found.to_tuple()), tf.nest.flatten(expected.to_tuple()), strict=True):
        assert relative_difference(one, other) < CLOSE
    as_tuple = old(PIXELS, return_dict=False, **arguments)
    assert len(as_tuple) in (len(expected), len(expected) - 1)  # two of its classes forget the attention maps there
    assert len(model(PIXELS, return_dict=False, **arguments)) == len(found)


def test_what_the_tensorflow_classes_save_loads_here(saved, tmp_path):
    name, model, directory = saved
    old = getattr(transformers, name).from_pretrained(directory / "h5")
    for safe, size in ((False, "10GB"), (True, "10GB"), (False, "20KB"), (True, "20KB")):  # whole, and in shards
        saved_here = tmp_path / f"{safe} {size}"
        old.save_pretrained(saved_here, safe_serialization=safe, max_shard_size=size)
        assert len([*saved_here.glob("*.index.json")]) == (size == "20KB")
        again = getattr(segformer_tf, name).from_pretrained(saved_here, data_format="channels_first")
        for variable in model.weights:
            other = next(each for each in again.weights if each.path == variable.path)
            np.testing.assert_array_equal(other, variable)


def test_parameters_are_counted_alike(saved):
    name, model, directory = saved
    old = getattr(transformers, name).from_pretrained(directory / "h5")
    for only_trainable in (False, True):
        assert model.num_parameters(only_trainable) == old.num_parameters(only_trainable)


def in_torch(name, directory):
    cls = getattr(transformers, name.removeprefix("TF"))
    return cls.from_pretrained(directory / "safetensors", attn_implementation="eager").train()


def by_hub_name(values, model):
    """Arrays of a model's variables, trainable ones first, under the Hub's names."""
    paths = [variable.path for variable in (*model.trainable_variables, *model.non_trainable_variables)]
    return names.from_variables({path: np.asarray(value) for path, value in zip(paths, values, strict=False)}, "hub")


def assert_close(found, expected, share=CLOSE):
    """Arrays by name, within a share of the largest of all."""
    assert found.keys() == expected.keys()
    scale = max((float(np.abs(array).max()) for array in expected.values()), default=1.0)
    far = {key: float(np.abs(np.asarray(found[key]) - array).max() / scale) for key, array in expected.items()}
    assert all(each < share for each in far.values()), sorted(far.items(), key=lambda each: -each[1])[:5]


def running(arrays):
    """BatchNorm's statistics among arrays by any name."""
    return {key: array for key, array in arrays.items() if "running_" in key or "moving_" in key}


@with_a_loss
def test_gradients_of_every_variable_equal_those_of_pytorch(saved):
    name, model, directory = saved
    reference = in_torch(name, directory)
    reference(pixel_values=torch.from_numpy(PIXELS), labels=torch.from_numpy(CASES[name])).loss.backward()
    expected = {key: parameter.grad.numpy() for key, parameter in reference.named_parameters()}
    with tf.GradientTape() as tape:
        loss = model(PIXELS, labels=CASES[name], training=True).loss
    found = by_hub_name(tape.gradient(loss, [variable.value for variable in model.trainable_variables]), model)
    assert_close(found, expected)
    buffers = {key: buffer.numpy() for key, buffer in reference.named_buffers() if buffer.ndim}
    statistics = running(by_hub_name([*model.trainable_variables, *model.non_trainable_variables], model))
    for key, array in buffers.items():  # after one step: a momentum or a variance of another kind shows
        assert relative_difference(statistics[key], array) < CLOSE, key
    assert statistics.keys() == buffers.keys() and bool(buffers) == ("Segmentation" in name)


def by_path(values, old):
    """Arrays of an old TensorFlow class's variables, trainable ones first, under this package's paths."""
    variables = (*old.trainable_variables, *old.non_trainable_variables)
    arrays = {variable.name: np.asarray(value) for variable, value in zip(variables, values, strict=False)}
    variables, unexpected = names.to_variables(arrays, "tf")
    assert not unexpected
    return variables


@with_a_loss
def test_gradients_and_ten_steps_equal_those_of_the_tensorflow_classes(saved):
    name, model, directory = saved
    labels = CASES[name]
    old = getattr(transformers, name).from_pretrained(directory / "h5")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(old(PIXELS, labels=labels, training=True).loss)
    expected = by_path(tape.gradient(loss, old.trainable_variables), old)
    with tf.GradientTape() as tape:
        loss = model(PIXELS, labels=labels, training=True).loss
    found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert_close({variable.path: g for variable, g in zip(model.trainable_variables, found, strict=True)}, expected)
    # Both have seen one batch in training mode now, so BatchNorm's running statistics agree.
    statistics = running(by_path([*old.trainable_variables, *old.non_trainable_variables], old))
    assert len(statistics) == (2 if "Segmentation" in name else 0)
    assert_close(running({variable.path: variable for variable in model.weights}), statistics)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    old.compile(tf_keras.optimizers.SGD(0.01, momentum=0.9))
    losses = []
    for _ in range(10):
        model.reset_metrics()
        ours = model.train_on_batch(PIXELS, labels, return_dict=True)["loss"]
        theirs = old.train_on_batch({"pixel_values": PIXELS, "labels": labels}, return_dict=True)["loss"]
        losses.append((float(ours), float(theirs)))
    # Every step doubles what rounding made of the one before, while the loss falls.
    assert losses == [pytest.approx((theirs, theirs), abs=1e-3 * losses[0][1]) for _, theirs in losses]
    assert losses[0][0] == pytest.approx(losses[0][1], rel=1e-5)
    trained = by_path(old.trainable_variables, old)
    assert_close({variable.path: variable for variable in model.trainable_variables}, trained, AFTER_TEN_STEPS)


@with_a_loss
def test_ten_training_steps_equal_those_of_pytorch(saved):
    name, model, directory = saved
    reference = in_torch(name, directory)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.01, momentum=0.9)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = reference(pixel_values=torch.from_numpy(PIXELS), labels=torch.from_numpy(CASES[name])).loss
        loss.backward()
        optimizer.step()
        losses.append((model.train_on_batch(PIXELS, CASES[name], return_dict=True)["loss"], float(loss)))
        model.reset_metrics()
    found, expected = np.array(losses).T
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    trained = {key: parameter.detach().numpy() for key, parameter in reference.named_parameters()}
    moved = by_hub_name(model.trainable_variables, model)
    assert_close(moved, trained, AFTER_TEN_STEPS)


def test_a_pth_becomes_a_file_that_the_tensorflow_class_reads(tmp_path):
    with np.load(FIXTURES / "nvlabs" / "golden.npz") as golden:
        pixels, expected = golden["pixel_values.0"], golden["logits.0"]
    convert(FIXTURES / "nvlabs" / "segformer.pth", tmp_path, format="h5")
    cls = transformers.TFSegformerForSemanticSegmentation
    old, report = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    # Its norms run at another epsilon than the authors'.
    assert CLOSE < relative_difference(old(pixels).logits, expected) < 1e-4
    again = segformer_tf.TFSegformerForSemanticSegmentation.from_pretrained(tmp_path, data_format="channels_first")
    assert relative_difference(again(pixels).logits, expected) < CLOSE


def test_live_modules_of_transformers_4_are_read(saved):
    name, model, directory = saved
    again = getattr(segformer_tf, name).from_torch_module(in_torch(name, directory), data_format="channels_first")
    assert again.config.depths == model.config.depths and again.config.id2label == model.config.id2label
    for variable, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(variable, other)


def test_what_was_broken_there_is_broken_still_so_that_the_page_says_true(tmp_path):
    model = segformer_tf.TFSegformerForSemanticSegmentation(segformer_tf.SegformerConfig(**TINY))
    model.save_pretrained(tmp_path, safe_serialization=False)
    old = transformers.TFSegformerForSemanticSegmentation.from_pretrained(tmp_path)
    ignored = np.full((2, 64, 96), 255)
    with pytest.raises(tf.errors.InvalidArgumentError):
        old(PIXELS, labels=ignored)
    assert float(model(PIXELS.transpose(0, 2, 3, 1), labels=ignored).loss) == 0.0
    pytorch = tmp_path / "pt"
    transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(**TINY)).save_pretrained(pytorch)
    with pytest.raises(TypeError, match="safe_open"):
        transformers.TFSegformerForSemanticSegmentation.from_pretrained(pytorch)
    assert segformer_tf.TFSegformerForSemanticSegmentation.from_pretrained(pytorch).num_parameters() > 0


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_loads_in_the_tensorflow_class(name, tmp_path):
    model = segformer_tf.TFSegformerForSemanticSegmentation(
        segformer_tf.SegformerConfig(**TINY, hidden_act=name), data_format="channels_first"
    )
    randomise(model)
    model.save_pretrained(tmp_path, safe_serialization=False)
    old = transformers.TFSegformerForSemanticSegmentation.from_pretrained(tmp_path)
    assert relative_difference(model(PIXELS).logits, old(PIXELS).logits) < CLOSE
