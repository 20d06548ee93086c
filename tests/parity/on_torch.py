"""Run by test_torch_classes.py under KERAS_BACKEND=torch: one check, named on the command line."""

import copy
import pickle
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import torch
import transformers

import segformer_tf
from segformer_tf.checkpoints import names
from segformer_tf.models.outputs import TaskOutput

FIXTURES = Path(__file__).parents[1] / "fixtures"
random = np.random.default_rng(0)
PIXELS = torch.from_numpy(random.normal(size=(2, 3, 65, 97)).astype("float32"))
LABELS = torch.from_numpy(random.integers(0, 5, size=(2, 65, 97)))
LABELS[:, :8] = 255


def close(found, expected, scale=None, share=1e-5):
    found, expected = found.detach(), expected.detach()
    assert isinstance(found, torch.Tensor) and found.shape == expected.shape
    difference = (found - expected).abs().max()
    assert difference <= share * (expected.abs().max() if scale is None else scale), difference


def both(name, directory):
    """The model of this package and transformers', without the random parts of training."""
    off = {"drop_path_rate": 0.0, "classifier_dropout_prob": 0.0}
    model = getattr(segformer_tf, name).from_pretrained(FIXTURES / directory, **off)
    reference = getattr(transformers, name).from_pretrained(FIXTURES / directory, attn_implementation="eager", **off)
    assert not model.training
    return model, reference.eval()


def gradients(model, reference):
    """Those of both by the names that the live module has."""
    layout = names.detect_layout(reference.state_dict())
    ours = {variable.path: variable.value.grad.numpy() for variable in model.trainable_variables}
    ours = names.from_variables(ours, layout)
    theirs = {name: parameter.grad for name, parameter in reference.named_parameters()}
    assert ours.keys() == theirs.keys()
    return {name: torch.from_numpy(array.copy()) for name, array in ours.items()}, theirs


def compare(model, reference, labels):
    arguments = {"labels": labels, "output_hidden_states": True, "output_attentions": True}
    for mode in ("eval", "train"):
        getattr(model, mode)(), getattr(reference, mode)()
        model.zero_grad(), reference.zero_grad()
        found, expected = model(pixel_values=PIXELS, **arguments), reference(pixel_values=PIXELS, **arguments)
        assert list(found) == list(expected)
        close(found.loss, expected.loss), close(found.logits, expected.logits)
        for field in ("hidden_states", "attentions"):
            for map_, expected_map in zip(found[field], expected[field], strict=True):
                close(map_, expected_map)
        found.loss.backward(), expected.loss.backward()
        ours, theirs = gradients(model, reference)
        scale = max(float(gradient.abs().max()) for gradient in theirs.values())
        for name, gradient in theirs.items():
            close(ours[name], gradient, scale)


def segmentation():
    model, reference = both("SegformerForSemanticSegmentation", "hf4-seg")
    assert model.device == reference.device
    compare(model, reference, LABELS)


def classification():
    compare(*both("SegformerForImageClassification", "hf4-cls"), torch.tensor([1, 4]))


def encoder_and_head():
    model, reference = both("SegformerModel", "hf4-seg")
    found, expected = (each(PIXELS, output_hidden_states=True) for each in (model, reference))
    close(found.last_hidden_state, expected.last_hidden_state)
    head = segformer_tf.SegformerDecodeHead.from_pretrained(FIXTURES / "hf4-seg")
    whole = transformers.SegformerForSemanticSegmentation.from_pretrained(FIXTURES / "hf4-seg").eval()
    close(head(found.hidden_states), whole.decode_head(expected.hidden_states))


def training():
    """Ten steps of a plain loop move both to the same weights."""
    model, reference = both("SegformerForSemanticSegmentation", "hf4-seg")
    optimizers = [torch.optim.SGD(each.parameters(), 0.01, momentum=0.9) for each in (model, reference)]
    losses = []
    layout = names.detect_layout(reference.state_dict())
    for number in range(10):
        step = []
        for each, optimizer in zip((model.train(), reference.train()), optimizers, strict=True):
            optimizer.zero_grad()
            loss = each(pixel_values=PIXELS, labels=LABELS).loss
            loss.backward()
            optimizer.step()
            step.append(float(loss))
        losses.append(step)
        if number == 0:  # before rounding adds up: a momentum or a variance of another kind shows
            now = {variable.path: variable.value.detach().numpy() for variable in model.weights}
            now = names.from_variables(now, layout)
            buffers = {name: buffer for name, buffer in reference.named_buffers() if buffer.ndim}
            assert len(buffers) == 2
            for name, buffer in buffers.items():
                close(torch.from_numpy(now[name].copy()), buffer)
    ours, theirs = np.array(losses).T
    assert theirs[-1] < theirs[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    learned = {variable.path: variable.value.detach().numpy() for variable in model.trainable_variables}
    learned = names.from_variables(learned, layout)
    scale = max(float(parameter.abs().max()) for parameter in reference.parameters())
    for name, parameter in reference.named_parameters():
        close(torch.from_numpy(learned[name].copy()), parameter, scale, share=1e-4)


def keras_methods():
    """Keras' own `fit`, `evaluate` and `predict`, whose answer has the fields of a call."""
    model, reference = both("SegformerForSemanticSegmentation", "hf4-seg")
    expected = reference(PIXELS).logits.detach().numpy()
    for inputs in (PIXELS.numpy(), {"pixel_values": PIXELS.numpy(), "name": np.zeros(2)}):
        answers = model.predict(inputs, batch_size=1, verbose=0), model.predict_on_batch(inputs)
        for answer in answers:
            assert list(answer) == ["logits"] and not model.training
            np.testing.assert_allclose(answer.logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    model.compile()
    data = {"pixel_values": PIXELS.numpy(), "labels": LABELS.numpy(), "label": LABELS.numpy()}
    assert np.isfinite(model.fit(data, batch_size=1, verbose=0).history["loss"]).all()
    assert np.isfinite(model.evaluate(data, verbose=0)).all()
    output = keras.tree.map_structure(lambda x: x + 1, TaskOutput(loss=1, hidden_states=(2, 3)))
    assert output.to_tuple() == (2, (3, 4))


def copies():
    """Copies and files of a model are in the mode that it is in; what Keras loads is in evaluation mode."""
    model, _ = both("SegformerForSemanticSegmentation", "hf4-seg")
    with tempfile.TemporaryDirectory() as directory:
        torch.save(model, f"{directory}/model.pt"), model.save(f"{directory}/model.keras")
        loaded = torch.load(f"{directory}/model.pt", weights_only=False)
        kept = keras.saving.load_model(f"{directory}/model.keras")
    expected = model(PIXELS).logits
    for each in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded, kept):
        assert not each.training
        close(each(PIXELS).logits, expected)
    assert not type(model).from_config(model.get_config()).training
    assert copy.deepcopy(model.train()).training and model.training


CHECKS = {
    each.__name__: each for each in (segmentation, classification, encoder_and_head, training, keras_methods, copies)
}
CHECKS[sys.argv[1]]()
