"""Variables of keras-hub's MiT and SegFormer models, from the `.weights.h5` files that they save or their presets hold.

No table of `layouts`, whose names alone say where a tensor belongs: keras-hub counts blocks and projections through all
stages, so the stage is read off the shapes, and the order of a layer's variables says which is which.
"""

import re
from collections.abc import Mapping

import numpy as np

# A part's name in keras-hub -> here.
_BLOCK = {
    "norm1": "layer_norm_1",
    "attn/q": "attention/query",
    "attn/k": "attention/key",
    "attn/v": "attention/value",
    "attn/sr": "attention/sr",
    "attn/norm": "attention/layer_norm",
    "attn/proj": "attention/output",
    "norm2": "layer_norm_2",
    "mlp/fc1": "mlp/dense1",
    "mlp/dwconv": "mlp/dwconv",
    "mlp/fc2": "mlp/dense2",
}
_ENCODER = re.compile(
    r"(?:.*/)?(?:overlapping_patching_and_embedding(?P<patch>_\d+)?/(?P<patch_part>proj|norm)"
    r"|hierarchical_transformer_encoder(?P<block>_\d+)?/(?P<block_part>" + "|".join(_BLOCK) + ")"
    r"|layer_normalization(?P<norm>_\d+)?)/vars/(?P<leaf>\d)"
)
_BACKBONE = r"(?:.*/)?seg_former_backbone/layers/"
_HEAD = (
    (re.compile(_BACKBONE + r"sequential/layers/conv2d/vars/(\d)"), "decode_head/linear_fuse"),
    (re.compile(_BACKBONE + r"sequential/layers/batch_normalization/vars/(\d)"), "decode_head/batch_norm"),
    (re.compile(r"layers/conv2d/vars/(\d)"), "decode_head/classifier"),
    (re.compile(r"layers/dense/vars/(\d)"), "classifier"),
)
_LINEAR = re.compile(_BACKBONE + r"(dense(?:_\d+)?)/vars/(\d)")


def is_keras_hub(names: Mapping[str, object]) -> bool:
    """Whether these datasets of a Keras 3 weights file are one of keras-hub's."""
    return any("hierarchical_transformer_encoder" in name for name in names)


def to_variables(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """keras-hub's arrays under this package's variable paths, and the names that have no place in a SegFormer.

    A block's stage is the one that has its number of channels.
    Raises ValueError where two stages have the same number.
    """
    sizes = _stage_sizes(tensors)
    stages = _stages_of_blocks(tensors, sizes)
    variables, unexpected = {}, []
    for name, array in tensors.items():
        path = _path(name, tensors, sizes, stages)
        if path:
            pointwise = array.ndim == 4 and array.shape[:2] == (1, 1) and path.startswith("decode_head")
            variables[path] = array[0, 0] if pointwise else array
        elif not name.startswith("optimizer/"):
            unexpected.append(name)
    return variables, unexpected


def _number(text: str | None) -> int:
    return int(text[1:]) if text else 0  # "", "_1", "_2", ...


def _stage_sizes(tensors: Mapping[str, np.ndarray]) -> list[int]:
    sizes = {}
    for name, array in tensors.items():
        match = _ENCODER.fullmatch(name)
        if match and match["patch_part"] == "proj" and match["leaf"] == "1":
            sizes[_number(match["patch"])] = array.shape[0]
    if len(set(sizes.values())) != len(sizes):
        raise ValueError(
            f"Two stages have the same number of channels ({list(sizes.values())}), so keras-hub's count of blocks "
            "does not tell to which a block belongs; expected different numbers, so convert the weights yourself."
        )
    return [sizes[stage] for stage in sorted(sizes)]


def _stages_of_blocks(tensors: Mapping[str, np.ndarray], sizes: list[int]) -> dict[int, tuple[int, int]]:
    """keras-hub's number of a block -> (stage, layer in the stage)."""
    channels = {}
    for name, array in tensors.items():
        match = _ENCODER.fullmatch(name)
        if match and match["block_part"] == "norm1":
            channels[_number(match["block"])] = array.shape[0]
    places, layers = {}, [0] * len(sizes)
    for number in sorted(channels):
        stage = sizes.index(channels[number])
        places[number] = (stage, layers[stage])
        layers[stage] += 1
    return places


def _path(name: str, tensors: Mapping[str, np.ndarray], sizes: list[int], stages: dict) -> str | None:
    for pattern, part in _HEAD:
        if match := pattern.fullmatch(name):
            return f"{part}/{_leaf(part, match[1])}"
    if match := _LINEAR.fullmatch(name):
        kernel = tensors[name.removesuffix(match[2]) + "0"]
        return f"decode_head/linear_c_{sizes.index(kernel.shape[0])}/{_leaf('', match[2])}"
    match = _ENCODER.fullmatch(name)
    if not match:
        return None
    if match["patch_part"]:
        part = f"patch_embeddings_{_number(match['patch'])}/{'proj' if match['patch_part'] == 'proj' else 'layer_norm'}"
    elif match["block_part"]:
        part = "block_{}_{}/".format(*stages[_number(match["block"])]) + _BLOCK[match["block_part"]]
    else:
        part = f"layer_norm_{_number(match['norm'])}"
    return f"{part}/{_leaf(part, match['leaf'])}"


def _leaf(part: str, number: str) -> str:
    is_norm = "norm" in part.rpartition("/")[2]
    leaves = ("gamma", "beta", "moving_mean", "moving_variance") if is_norm else ("kernel", "bias")
    return leaves[int(number)]
