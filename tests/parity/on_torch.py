"""Run by test_torch_classes.py under KERAS_BACKEND=torch: one check, named on the command line."""

import sys
from pathlib import Path

import numpy as np
import torch
import transformers

import segformer_tf
from segformer_tf.checkpoints import names

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
    compare(*both("SegformerForSemanticSegmentation", "hf4-seg"), LABELS)


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


CHECKS = {each.__name__: each for each in (segmentation, classification, encoder_and_head, training)}
CHECKS[sys.argv[1]]()
