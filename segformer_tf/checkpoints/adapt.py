"""A checkpoint's first convolution for pictures of another number of channels."""

import numpy as np

FIRST_KERNEL = "patch_embeddings_0/proj/kernel"


def adapt_channels(variables: dict[str, np.ndarray], num_channels: int) -> tuple[dict[str, np.ndarray], str | None]:
    """The variables with a first kernel for `num_channels`, and a sentence that says what was done (None: nothing).

    For one channel the kernels are summed, so that a grey picture gives what it gave as three equal channels. For
    more they are repeated in turn and scaled so that equal channels still give the same.
    """
    kernel = variables.get(FIRST_KERNEL)
    if kernel is None or kernel.ndim != 4 or kernel.shape[2] == num_channels:
        return variables, None
    had = kernel.shape[2]
    if num_channels == 1:
        new, how = kernel.sum(axis=2, keepdims=True), f"is the sum of the {had} it had"
    else:
        turns = np.arange(num_channels) % had
        # Each of the old kernels shares its weight among the channels that repeat it; with fewer channels than kernels
        # those left are scaled up instead.
        shares = (
            np.bincount(turns, minlength=had)[turns]
            if num_channels > had
            else np.full(num_channels, num_channels / had)
        )
        new = kernel[:, :, turns] / shares[:, None]
        how = (
            f"repeats the {had} it had in turn, rescaled"
            if num_channels > had
            else f"keeps the first of {had}, rescaled"
        )
    message = f"The first convolution's kernel for {num_channels} channels {how}: {FIRST_KERNEL}."
    return {**variables, FIRST_KERNEL: new.astype(kernel.dtype)}, message
