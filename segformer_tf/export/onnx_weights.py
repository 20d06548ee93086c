"""Smaller weights in an ONNX file: float16, or int8 with a scale for each output channel; computing stays float32."""

from pathlib import Path

import numpy as np

SMALLEST = 512  # values; what is smaller than this does not matter for the file's size


def compress(path: Path, weights: str) -> None:
    """Rewrites the file with every kernel as "float16" behind a Cast, or "int8" behind a DequantizeLinear."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    users = {name: node for node in model.graph.node for name in node.input}
    kept, nodes = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST or values.ndim < 2:
            kept.append(tensor)
        elif weights == "float16":
            small = f"{tensor.name}_float16"
            kept.append(numpy_helper.from_array(values.astype(np.float16), small))
            nodes.append(helper.make_node("Cast", [small], [tensor.name], to=onnx.TensorProto.FLOAT))
        else:
            axis = 0 if users[tensor.name].op_type == "Conv" else values.ndim - 1  # the axis of output channels
            small, scale = _to_int8(values, axis)
            names = [f"{tensor.name}_int8", f"{tensor.name}_scale"]
            kept += [numpy_helper.from_array(array, name) for array, name in zip((small, scale), names, strict=True)]
            nodes.append(helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    computed = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *computed])
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _to_int8(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / 127.0, 1.0).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), scale.reshape(-1)
