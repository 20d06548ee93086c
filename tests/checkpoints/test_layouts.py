import pytest
from reference import TINY

import segformer_tf
from segformer_tf import SegformerConfig
from segformer_tf.checkpoints.infer import expected_shapes
from segformer_tf.checkpoints.layouts import TASKS


@pytest.mark.parametrize("head", TASKS)
def test_a_row_of_the_tasks_says_what_its_model_has(head):
    task, config = TASKS[head], SegformerConfig(**TINY)
    model = getattr(segformer_tf, task.class_name)(config)
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights if "seed" not in weight.path}
    assert shapes == expected_shapes(config, head)
    assert (head in [layer.name for layer in model.layers]) == (head is not None)
    assert shapes.get(task.bias) == ((config.num_labels,) if head else None)


def test_tasks_are_called_by_the_fields_words():
    words = {"decode_head": "segmentation", "classifier": "classification", None: "encoding"}
    assert {head: task.name for head, task in TASKS.items()} == words
