"""What the loss of a training step finds by the way, for the metric of the same step: the likeliest classes."""

import contextlib
import contextvars
from collections.abc import Iterator

# By the id of the logits, which are kept too: an id belongs to a living object.
_found: contextvars.ContextVar[dict | None] = contextvars.ContextVar("found", default=None)


@contextlib.contextmanager
def one_step(wanted: bool = True) -> Iterator[None]:
    """Inside, in this thread, a loss keeps the labels that it finds, if they are wanted; afterwards they are gone."""
    before = _found.set({} if wanted else None)
    try:
        yield
    finally:
        _found.reset(before)


def wants_labels() -> bool:
    """Whether labels that are kept now can be had."""
    return _found.get() is not None


def keep(logits, labels) -> None:
    """`labels` (B, H, W) are the likeliest classes of the logits (B, h, w, C), resized to H x W; or None."""
    found = _found.get()
    if found is not None and labels is not None:
        found[id(logits)] = logits, labels


def kept(logits, truth):
    """The likeliest classes of these very logits at the size of `truth` (B, H, W, ...), or None.

    None also where a size is known only when the graph runs.
    """
    _, labels = (_found.get() or {}).get(id(logits), (None, None))
    if labels is None or None in labels.shape[1:] or tuple(labels.shape[1:]) != tuple(truth.shape[1:3]):
        return None
    return labels
