"""Weights out of a PyTorch module that is in memory, without a file."""

from pathlib import Path
from typing import Any

from segformer_tf.checkpoints.store import Checkpoint, understand


def from_torch_module(module: Any, config: dict[str, Any] | None = None) -> Checkpoint:
    """Config and variables of a SegFormer `torch.nn.Module`: transformers' 4 or 5, NVlabs' or MMSegmentation's.

    `config` (Hub keys) is the module's own unless given, or is read off its tensors where it has none.
    Raises ValueError for a module that is not a SegFormer.
    """
    tensors = {}
    for name, tensor in module.state_dict().items():
        tensor = tensor.detach().cpu()
        tensors[name] = (tensor.float() if tensor.is_floating_point() else tensor).numpy().copy()
    if config is None and hasattr(getattr(module, "config", None), "to_diff_dict"):
        config = module.config.to_diff_dict()
    return understand(tensors, config, {}, Path(type(module).__name__))
