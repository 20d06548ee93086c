"""A configuration read off the shapes of the tensors, for files that carry none."""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.checkpoints.layouts import LAYOUTS, TASKS
from segformer_tf.checkpoints.names import task_of, tensor_name
from segformer_tf.config import VARIANTS, SegformerConfig
from segformer_tf.storage.read import understanding

FIRST_BIAS = "block_{}_0/mlp/dense1/bias"
OF_STAGE = re.compile(r"(?:patch_embeddings|block|layer_norm|decode_head/linear_c)_(\d+)")


def infer_config(
    variables: Mapping[str, np.ndarray],
    layout: str,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A Hub-style config dict for variables by path; class names come from a `.pth` file's metadata where it has them.

    Heads and strides cannot be read off shapes: they are taken as [1, 2, 5, 8] and [4, 2, 2, 2]. NVlabs' code runs
    the norms before attention and Mix-FFN and after each stage at epsilon 1e-6, which `encoder_norm_eps` records
    (keras-hub only the first two, the last at 1e-5; its GELU is the approximation by tanh).
    """
    stages = 0
    while f"patch_embeddings_{stages}/proj/kernel" in variables:
        stages += 1
    if stages == 0:
        raise ValueError(
            "The checkpoint has no patch embedding of stage 0, so its configuration cannot be read off its tensors; "
            "put a config.json beside it."
        )
    proj = [variables[f"patch_embeddings_{s}/proj/kernel"].shape for s in range(stages)]
    sizes = [shape[-1] for shape in proj]
    blocks = [match for path in variables if (match := re.match(r"block_(\d+)_(\d+)/", path))]
    depths = [1 + max((int(block[2]) for block in blocks if int(block[1]) == s), default=-1) for s in range(stages)]
    sr = [variables.get(f"block_{s}_0/attention/sr/kernel", np.empty((1,))).shape[0] for s in range(stages)]
    hidden = [variables.get(FIRST_BIAS.format(s), np.empty((0,))).shape[0] for s in range(stages)]
    ratios = [wide // size if wide % size == 0 else wide / size for wide, size in zip(hidden, sizes, strict=True)]
    task = TASKS[task_of(variables)]
    config: dict[str, Any] = {
        "architectures": [task.architecture],
        "model_type": "segformer",
        "num_channels": proj[0][2],
        "num_encoder_blocks": stages,
        "depths": depths,
        "hidden_sizes": sizes,
        "patch_sizes": [shape[0] for shape in proj],
        "strides": [4, 2, 2, 2],
        "sr_ratios": sr,
        "mlp_ratios": ratios,
        "num_attention_heads": [1, 2, 5, 8],
    }
    if "decode_head/linear_fuse/kernel" in variables:
        config["decoder_hidden_size"] = variables["decode_head/linear_fuse/kernel"].shape[-1]
    if task.bias in variables:
        config |= _labels(variables[task.bias].shape[0], metadata or {})
    if layout in ("nvlabs", "mmseg", "keras_hub"):
        config["encoder_norm_eps"] = 1e-6
    if layout == "keras_hub":
        config["hidden_act"] = "gelu_pytorch_tanh"
    return config


def check_inferred(config: Mapping[str, Any], variables: Mapping[str, np.ndarray], layout: str, source: Path) -> None:
    """Of a config read off tensors: ValueError where a stage is missing, a warning where no published model has it."""
    stages = {*range(4), *(int(match[1]) for path in variables if (match := OF_STAGE.match(path)))}
    needed = [path.format(s) for s in sorted(stages) for path in ("patch_embeddings_{}/proj/kernel", FIRST_BIAS)]
    if lost := [path for path in needed if path not in variables]:
        name = tensor_name(lost[0], layout if layout in LAYOUTS else "hub", task_of(variables))
        raise ValueError(
            f"{source} has no tensor {name}, expected one for each stage, 4 where no configuration says otherwise: "
            "take the whole file, or put a config.json beside it."
        )
    read = {key: config[key] for key in ("depths", "sr_ratios")}
    if read["depths"] not in [depths for depths, *_ in VARIANTS.values()] or read["sr_ratios"] != [8, 4, 2, 1]:
        told = ", ".join(f"{key}={value}" for key, value in read.items())
        warnings.warn(
            f"The configuration of {source} is read off its tensors, and no published SegFormer has {told}: where "
            "tensors are missing, the model is smaller than it was; put its config.json beside it.",
            UserWarning,
            stacklevel=6,
        )


def _labels(number: int, metadata: Mapping[str, Any]) -> dict[str, Any]:
    names = metadata.get("CLASSES") or (metadata.get("dataset_meta") or {}).get("classes") or ()
    if len(names) != number:
        names = [f"LABEL_{label}" for label in range(number)]
    return {
        "id2label": {str(label): str(name) for label, name in enumerate(names)},
        "label2id": {str(name): label for label, name in enumerate(names)},
    }


def expected_shapes(config: SegformerConfig, task: str | None) -> dict[str, tuple[int, ...]]:
    """Shapes by path of the variables that a config asks for, with a head (`names.task_of`)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def product(path: str, *kernel: int) -> None:
        shapes[f"{path}/kernel"] = kernel
        shapes[f"{path}/bias"] = (kernel[-1],)

    def norm(path: str, size: int, *more: str) -> None:
        shapes.update({f"{path}/{leaf}": (size,) for leaf in ("gamma", "beta", *more)})

    channels, fused = config.num_channels, config.decoder_hidden_size
    for s, size in enumerate(config.hidden_sizes):
        patch, sr, wide = config.patch_sizes[s], config.sr_ratios[s], int(size * config.mlp_ratios[s])
        product(f"patch_embeddings_{s}/proj", patch, patch, channels, size)
        norm(f"patch_embeddings_{s}/layer_norm", size)
        for block in (f"block_{s}_{layer}" for layer in range(config.depths[s])):
            norm(f"{block}/layer_norm_1", size)
            for name in ("query", "key", "value", "output"):
                product(f"{block}/attention/{name}", size, size)
            if sr > 1:
                product(f"{block}/attention/sr", sr, sr, size, size)
                norm(f"{block}/attention/layer_norm", size)
            norm(f"{block}/layer_norm_2", size)
            product(f"{block}/mlp/dense1", size, wide)
            shapes |= {f"{block}/mlp/dwconv/kernel": (3, 3, wide, 1), f"{block}/mlp/dwconv/bias": (wide,)}
            product(f"{block}/mlp/dense2", wide, size)
        norm(f"layer_norm_{s}", size)
        channels = size
    if task == "classifier":
        product("classifier", channels, config.num_labels)
    elif task == "decode_head":
        for s, size in enumerate(config.hidden_sizes):
            product(f"decode_head/linear_c_{s}", size, fused)
        shapes["decode_head/linear_fuse/kernel"] = (fused * config.num_encoder_blocks, fused)
        norm("decode_head/batch_norm", fused, "moving_mean", "moving_variance")
        product("decode_head/classifier", fused, config.num_labels)
    return shapes


class Room:
    """How much a weight file may hold beside its config, and must: looked at before tensors are read or a model built.

    The tensors of another head than the model's, of an optimizer or of another number of classes have room.
    """

    TIMES, NUMBERS, TENSORS = 4, 2**24, 1000

    def __init__(self, config: Mapping[str, Any], weights: Path):
        with understanding(f"The config.json of {weights}", "the configuration of a SegFormer"):
            shapes = expected_shapes(SegformerConfig.from_dict(dict(config)), "decode_head")
        self.weights, self.tensors, self.found = weights, 0, 0
        self.wanted_tensors, self.wanted = len(shapes), sum(map(math.prod, shapes.values()))

    def take(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Counts tensors that are going to be read; ValueError for more than there is room for."""
        self.tensors += len(shapes)
        self.found += sum(map(math.prod, shapes.values()))
        self._expect(self.found, self.wanted, self.tensors, self.wanted_tensors)

    def check_filled(self) -> None:
        """ValueError where the config asks for far more than the file holds."""
        self._expect(self.wanted, self.found, self.wanted_tensors, self.tensors)

    def _expect(self, numbers: int, room: int, tensors: int, places: int) -> None:
        if numbers > self.TIMES * room + self.NUMBERS or tensors > self.TIMES * places + self.TENSORS:
            raise ValueError(
                f"{self.weights} holds {self.found:,} numbers in {self.tensors:,} tensors, and its config.json asks "
                f"for {self.wanted:,} in {self.wanted_tensors:,}: give weights and configuration of one model."
            )
