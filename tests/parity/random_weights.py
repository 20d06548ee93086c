"""Random weights of real spread: every tensor matters, and activations neither vanish nor explode."""

import math

import numpy as np


def spread(path: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """A value for one variable: kernels keep the variance of what they multiply; the rest lies around 0 or 1."""
    leaf = path.rpartition("/")[2]
    if leaf == "kernel":
        reached = math.prod(shape[:2] if "dwconv" in path else shape[:-1])
        value = random.normal(scale=reached**-0.5, size=shape)
    elif leaf in ("gamma", "moving_variance"):
        value = random.uniform(0.5, 1.5, size=shape)
    else:
        value = random.normal(scale=0.2, size=shape)
    return value.astype("float32")


def randomise(model, seed: int = 0) -> None:
    """Gives every weight of a built model such a value."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" not in variable.path:
            variable.assign(spread(variable.path, tuple(variable.shape), random))
