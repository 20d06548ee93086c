"""What the commands that label have in common: the model, the directory of their files, what fails."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segformer_tf.cli.app import load_tensorflow, say, wrong_call
from segformer_tf.cli.options import Runtime

EXPORTED = (".xml", ".onnx", ".tflite")  # files that are run without TensorFlow


def skipped_classes(names: list[str] | None, id2label: dict[int, str]) -> tuple[str, ...]:
    """The classes that an overlay leaves out; ends as a wrong call where --skip-class names none of the model."""
    from segformer_tf.images.classes import BACKGROUND, skipped

    with wrong_call("--skip-class"):
        return skipped(names or BACKGROUND, id2label)


@contextmanager
def directory_for(path: Path) -> Iterator[None]:
    """A directory, so that what cannot be written is found before the work; gone again where nothing came into it."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path} cannot be made a directory to write into ({error.strerror}); give another.") from error
    try:
        yield
    finally:
        with suppress(OSError):  # it holds something
            for each in missing:
                each.rmdir()


def say_failure(error: Exception, shown: str, output: Path | None, done: str, go_on: str) -> None:
    """Tells why one picture or video failed; the others are done.

    Raises OSError where the disk of `output` is full: then all others would fail. It says how many are `done`, such as
    "1 of 2 pictures are done", and how to `go_on`.
    """
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        raise OSError(f"The disk of {output} is full ({os.strerror(number)}): {done}; make room{go_on}.") from error
    message = str(error) or type(error).__name__
    say(message if shown in message else f"{shown}: {message}")


def load_pipeline(
    name: str,
    model: str,
    runtime: Runtime,
    merging: dict[str, list[int]] | None = None,
    pictures: int | None = None,
    options: dict[str, Any] | None = None,
    page: int | None = None,
) -> Any:
    """A model and its processor; of one for another task it is said which command takes it.

    `merging` is what `cli.options.merged` gives, `page` what the processor then takes of TIFFs.
    Where all is done when `pictures` with these `options` are, `auto` takes NumPy for a few.
    """
    import segformer_tf
    from segformer_tf.pipelines.loading import WrongTask, soon_in_numpy

    if runtime is Runtime.AUTO and pictures and not merging and soon_in_numpy(model, pictures, options or {}):
        runtime = Runtime.NUMPY
    if runtime is not Runtime.NUMPY and not model.lower().endswith(EXPORTED):
        load_tensorflow()
    try:
        chosen: dict[str, Any] = {} if runtime is Runtime.AUTO else {"runtime": runtime.value}
        pipeline = getattr(segformer_tf, name).from_pretrained(model, **chosen, **(merging or {}))
    except WrongTask as error:
        command = "classify" if name == "SegmentationPipeline" else "segment"
        raise ValueError(f"{error} If it is a model for `segformer-tf {command}`, run that.") from error
    if page is not None:
        pipeline.processor.page = page
    return pipeline
