"""How pictures come to the model when it is scored, as the field's programs do it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from segformer_tf.pipelines.predict import How
from segformer_tf.pipelines.runtimes.runtime import Runtime
from segformer_tf.storage.keywords import spell_checked


class Row(NamedTuple):
    """One protocol: the rule that pictures are resized by, whether whole or in windows, in words; a side's least.

    `windows`: window and stride where the protocol fixes them.
    """

    resize: str | tuple[int, int]
    mode: str
    words: str
    least: int = 1
    windows: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None)


IN_WINDOWS = "windows of {0} x {1} every {2} x {3} pixels"
PROTOCOLS = {
    "plain": Row("none", "whole", "whole picture at its own size"),
    "processor": Row(
        "processor", "whole", "whole picture, resized as the model's processor does (without one, to 512 x 512)"
    ),
    "hf-512": Row((512, 512), "whole", "whole picture, squashed to 512 x 512 whatever its ratio"),
    "ade20k": Row("ade20k", "whole", "whole picture, fitted into 2048 x 512 as MMSegmentation does"),
    "ade20k-aligned": Row(
        "ade20k-aligned", "whole", "whole picture, fitted into 2048 x 512, sides rounded up to a multiple of 32"
    ),
    "cityscapes": Row("none", "slide", IN_WINDOWS, 1024, ((1024, 1024), (768, 768))),  # as the authors' evaluation
    "cityscapes-whole": Row("none", "whole", "whole picture at its own size, 1024 pixels high and wide or more", 1024),
    "slide": Row("none", "slide", IN_WINDOWS),
}


@spell_checked
@dataclass(frozen=True)
class Protocol:
    """How a picture comes to the model. The prediction is always compared at the mask's own size.

    Args:
        name: "plain": whole, at its own size; "processor": whole, as the model's processor resizes it (without one, to
            512 x 512, as pipelines do); "hf-512": whole, squashed to 512 x 512; "ade20k": whole, fitted into 2048 x
            512; "ade20k-aligned": the same, sides rounded up to 32; "cityscapes": in windows of 1024 x 1024 every 768;
            "cityscapes-whole"; "slide": in windows of any size. The two of Cityscapes take no picture under 1024 pixels
            high or wide.
        window, stride: Height and width, for "slide"; by default as those of `How`.
        scales, flip: Several sizes, and mirror images; class probabilities are averaged.
    """

    name: str = "plain"
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise ValueError(f"protocol is {self.name!r}, expected {', '.join(PROTOCOLS)}: choose one of these.")
        if self.name != "slide" and (self.window, self.stride) != (None, None):
            raise ValueError(
                f"protocol is {self.name!r}, whose windows cannot be changed: leave window and stride out, or choose "
                "slide."
            )
        _ = self.how.windows()  # which checks the numbers

    @property
    def how(self) -> How:
        """The same for a predictor."""
        row = PROTOCOLS[self.name]
        windows = (self.window, self.stride) if self.name == "slide" else row.windows
        return How(row.mode, row.resize, *windows, self.scales, self.flip)

    def of(self, runtime: Runtime) -> "Protocol":
        """The same with the windows that a runtime's pictures are cut into, which a file of one size decides."""
        if self.name != "slide":
            return self
        window, stride = self.how.windows(runtime.size, runtime.smallest_side)
        return replace(self, window=window, stride=stride)

    def check(self, size: tuple[int, int], picture: str) -> None:
        """ValueError where the protocol is not meant for a picture of this (height, width)."""
        least = PROTOCOLS[self.name].least
        if min(size) < least:
            raise ValueError(
                f"{picture} is {size[0]} x {size[1]}, and protocol {self.name} is for pictures of {least} x {least} "
                "pixels or more (Cityscapes' are 1024 x 2048): choose plain, or slide with a smaller window."
            )

    def check_classifier(self) -> None:
        """ValueError unless it is one that a classifier can be scored by: whole, as its processor resizes it."""
        if self.name not in ("plain", "processor") or self.how.scales != (1.0,) or self.flip:
            raise ValueError(
                f"protocol is {self}, and the data set has a class for each picture, no masks; expected processor, "
                "without scales or flip: leave them out."
            )

    def __str__(self) -> str:
        window, stride = self.how.windows()
        how = PROTOCOLS[self.name].words.format(*window, *stride)
        single = tuple(self.scales) == (1.0,)
        scales = "single scale" if single else f"scales {', '.join(f'{scale:g}' for scale in self.scales)}"
        flip = "flip" if self.flip else "no flip"
        end = "" if len(self.scales) == 1 and not self.flip else ", class probabilities averaged"
        return f"{self.name}: {how}; {scales}, {flip}, logits resized bilinearly to the mask's size{end}"
