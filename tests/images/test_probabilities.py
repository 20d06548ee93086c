import numpy as np
import pytest

from segformer_tf.images.probabilities import class_scores, sigmoid, softmax, votes

LOGITS = np.array([[0.0, 1.0, -1.0], [100.0, -100.0, 100.0]], "float32")


def test_softmax_and_sigmoid_are_their_formulas_without_overflow():
    exponentials = np.exp(LOGITS[0].astype("float64"))
    np.testing.assert_allclose(softmax(LOGITS)[0], exponentials / exponentials.sum(), rtol=1e-6)
    np.testing.assert_allclose(softmax(LOGITS)[1], [0.5, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(sigmoid(LOGITS)[0], 1 / (1 + np.exp(-LOGITS[0])), rtol=1e-6)
    np.testing.assert_allclose(sigmoid(np.array([-1e4, 1e4])), [0, 1])


@pytest.mark.parametrize("problem_type", [None, "regression", "multi_label_classification"])
def test_one_class_has_a_score_of_its_own(problem_type):
    np.testing.assert_allclose(class_scores(LOGITS[:, :1], problem_type), sigmoid(LOGITS[:, :1]))


def test_one_logit_votes_by_its_sign():
    assert votes(LOGITS).tolist() == [1, 0]
    assert votes(LOGITS[..., None]).tolist() == [[0, 1, 0], [1, 0, 1]]
