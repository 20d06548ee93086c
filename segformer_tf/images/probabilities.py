"""Logits as probabilities, over the last axis."""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Of classes that exclude each other."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of classes that each hold or not."""
    small = np.exp(-np.abs(logits))  # no overflow for either sign
    return np.where(logits >= 0, 1, small) / (1 + small)


def entropy(rates: np.ndarray) -> np.ndarray:
    """Of probabilities (..., C): how unsure they are, from 0 (sure) to 1 (all classes alike)."""
    return -(rates * np.log(np.maximum(rates, 1e-30))).sum(-1) / np.float32(np.log(rates.shape[-1]))


def class_scores(logits: np.ndarray, problem_type: str | None) -> np.ndarray:
    """The scores of classes, as transformers' pipelines give them.

    The sigmoid where several classes may hold (`multi_label_classification`) or there is one, otherwise the softmax.
    """
    several = problem_type == "multi_label_classification" or logits.shape[-1] == 1
    return sigmoid(logits) if several else softmax(logits)


def votes(logits: np.ndarray) -> np.ndarray:
    """The likeliest class; of one logit 1 where it is above 0."""
    return logits.argmax(-1) if logits.shape[-1] > 1 else (logits[..., 0] > 0).astype(np.int64)
