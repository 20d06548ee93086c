"""Small checkpoints with random values and any shape a SegFormer may have."""

import numpy as np
from hypothesis import strategies as st

from segformer_tf.checkpoints.infer import expected_shapes
from segformer_tf.checkpoints.layouts import TASKS
from segformer_tf.config import SegformerConfig


def random_variables(config: dict, task: str | None, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = expected_shapes(SegformerConfig.from_dict(config), task)
    return {path: generator.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}


@st.composite
def checkpoints(draw):
    """(config, task, variables) of a small model of any shape."""
    stages = 4
    heads = [1, 2, 5, 8]
    four = st.lists(st.integers(1, 3), min_size=stages, max_size=stages)
    task = draw(st.sampled_from([None, "classifier", "decode_head"]))
    labels = draw(st.integers(1, 4))
    config = {
        "architectures": [TASKS[task].architecture],
        "model_type": "segformer",
        "num_channels": draw(st.integers(1, 5)),
        "num_encoder_blocks": stages,
        "depths": draw(four),
        "hidden_sizes": [n * head for n, head in zip(draw(four), heads, strict=True)],
        "patch_sizes": [draw(st.sampled_from([3, 7])) for _ in range(stages)],
        "strides": [4, 2, 2, 2],
        "sr_ratios": [draw(st.sampled_from([1, 2, 4])) for _ in range(stages)],
        "mlp_ratios": draw(four),
        "num_attention_heads": heads,
    }
    if task:
        config["id2label"] = {str(label): f"LABEL_{label}" for label in range(labels)}
        config["label2id"] = {f"LABEL_{label}": label for label in range(labels)}
    if task == "decode_head":
        config["decoder_hidden_size"] = draw(st.integers(1, 6))
    return config, task, random_variables(config, task, draw(st.integers(0, 99)))
