"""Picture in, classes out."""

import os
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from segformer_tf.checkpoints.layouts import CLASSIFICATION
from segformer_tf.images.probabilities import class_scores
from segformer_tf.pipelines import overlap
from segformer_tf.pipelines.pipeline import Pipeline
from segformer_tf.pipelines.predict import How
from segformer_tf.pipelines.result import ClassificationResult
from segformer_tf.storage.keywords import spell_checked


@spell_checked
class ImageClassificationPipeline(Pipeline):
    """Pictures to their classes: `[{"id", "label", "score"}]`, the likeliest first, with `class_scores`."""

    task = CLASSIFICATION.name
    class_name = CLASSIFICATION.class_name

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike | None = None, **kwargs: Any):
        """As `Pipeline.from_pretrained`; TypeError without a name, for no classifier is bundled."""
        if name_or_path is None:
            raise TypeError("No classifier is bundled: give from_pretrained a Hub id, a directory or an exported file.")
        return super().from_pretrained(name_or_path, **kwargs)

    def _work(self, finish: Callable[[Any, list], Any] | None, top_k: int = 5) -> overlap.Task:
        if not isinstance(top_k, Integral) or top_k < 1:
            raise ValueError(f"top_k is {top_k!r}; expected a whole number, at least 1.")

        def likeliest(picture: Any, pixels: np.ndarray, found: Any) -> Any:
            logits = found.logits / np.float32(self.runtime.description.temperature)
            scores = class_scores(logits, self.config.problem_type)
            names = self.config.id2label
            best = np.argsort(-scores, kind="stable")[:top_k]
            answer = ClassificationResult(
                {"id": int(i), "label": names[int(i)], "score": float(scores[i])} for i in best
            )
            return answer if finish is None else finish(picture, answer)

        return overlap.Task(self._read, likeliest, How())
