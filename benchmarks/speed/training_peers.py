"""One training step of one library, ready to be timed: `python training_peers.py PEER VARIANT SIZE BATCH DTYPE`.

Answers as `timing.serve` does; the loss of the first step goes to a file, which `training.py` compares. Dropout and
stochastic depth are 0, so that all see the same; AdamW 6e-5, weight decay 0.01; random pictures and labels.
"""

import dataclasses
import sys

import numpy as np
from model_peers import LABELS, Job
from timing import THREADS, serve

STEPS = 4  # of a run of ours: `fit` itself takes some milliseconds
RATES = ("drop_path_rate", "classifier_dropout_prob")
WITHOUT_DROPPING = dict.fromkeys(RATES, 0.0)


def labels(job: Job) -> np.ndarray:
    ids = np.random.default_rng(1).integers(0, LABELS, (job.batch, job.size // 8, job.size // 8))
    ids = ids.repeat(8, 1).repeat(8, 2)
    ids[:, :4] = 255  # not labelled
    return ids


def segformer_tf(job: Job, **compiled):
    """What a person gets of `compile()` and `fit`; the loss of the first step, then of the others."""
    import tensorflow as tf

    from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation

    dtype = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[job.dtype]
    config = SegformerConfig.from_pretrained(job.weights, **WITHOUT_DROPPING)
    model = TFSegformerForSemanticSegmentation.from_pretrained(
        job.weights, config=config, data_format="channels_last", dtype=dtype
    )
    model.compile(**compiled)  # the default: AdamW at 6e-5, weight decay 0.01, the mean IoU
    x, y = job.pixels(), labels(job)
    # Four steps are few: where a data set ends, `tf.data` may wait for its tuner, for as long as they took.
    options = tf.data.Options()
    options.autotune.enabled = False
    seen = tf.data.Dataset.from_tensors((x, y)).repeat().with_options(options)
    first = []

    def run():
        history = model.fit(seen, steps_per_epoch=STEPS if first else 1, verbose=0).history
        first.append(history["loss"][0])
        return first[-1]

    return run


def segformer_tf_without_metrics(job: Job):
    return segformer_tf(job, metrics=[])


def transformers_torch(job: Job, compiled: bool = False):
    import torch
    from transformers import SegformerForSemanticSegmentation

    torch.set_num_threads(THREADS)
    model = SegformerForSemanticSegmentation.from_pretrained(job.weights, **WITHOUT_DROPPING).train()
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), 6e-5, weight_decay=0.01)
    x, y = torch.from_numpy(job.pixels(channels_first=True)), torch.from_numpy(labels(job))

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=job.dtype == "bfloat16"):
            loss = forward(x, labels=y).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def transformers_torch_compiled(job: Job):
    return transformers_torch(job, compiled=True)


@dataclasses.dataclass
class Loss:
    """Writes the first step's loss, where `training.py` finds it."""

    name: str
    job: Job

    def __call__(self, loss: float) -> None:
        np.save(self.job.exports / f"loss-{self.name}-{self.job.dtype}.npy", loss)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    what = Job(*arguments)
    what.exports.mkdir(parents=True, exist_ok=True)
    serve(lambda: globals()[name](what), Loss(name, what), STEPS if name.startswith("segformer_tf") else 1)
