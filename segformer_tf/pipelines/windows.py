"""The overlapping windows that a large picture is cut into."""

from collections.abc import Iterator

WINDOW, STRIDE = (1024, 1024), (768, 768)  # as the authors' evaluation of Cityscapes has them


def spans(length: int, window: int, stride: int) -> Iterator[tuple[int, int]]:
    """Start and end of each window along one side; the last one is moved back so that it ends with the picture."""
    for index in range(max(length - window + stride - 1, 0) // stride + 1):
        end = min(index * stride + window, length)
        yield max(end - window, 0), end


def check_windows(window: tuple[int, int], stride: tuple[int, int]) -> None:
    """Raises ValueError unless both are (height, width) in pixels and windows leave no gap."""
    for name, sides in (("window", window), ("stride", stride)):
        if len(sides) != 2 or any(side < 1 or side != int(side) for side in sides):
            raise ValueError(f"{name} is {tuple(sides)}; expected (height, width) in whole pixels, each at least 1.")
    if any(step > side for step, side in zip(stride, window, strict=True)):
        raise ValueError(
            f"stride is {tuple(stride)}; expected at most the window, {tuple(window)}, or pixels are missed."
        )
