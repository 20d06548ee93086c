"""The only way a file is written here: whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft_directory(directory: str | os.PathLike) -> Iterator[Path]:
    """A hidden directory inside `directory`, which is made if need be; what is left in it is removed at the end.

    Raises OSError where the directory cannot be written.
    """
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Hidden, so that TF Serving, which looks for directories named by integers, never sees it.
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=directory))
    except OSError as error:
        raise OSError(f"Cannot write to the directory {directory} ({error.strerror}); choose another.") from error
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def staged(directory: str | os.PathLike) -> Iterator[Path]:
    """A directory to write files into; they move up into `directory` when the block succeeds.

    Raises OSError where the directory cannot be written.
    """
    with draft_directory(directory) as draft:
        yield draft
        for file in sorted(draft.iterdir()):
            os.replace(file, Path(directory) / file.name)


def write_text(path: str | os.PathLike, text: str) -> None:
    """A UTF-8 text file, such as config.json."""
    with staged(Path(path).parent) as stage:
        (stage / Path(path).name).write_text(text, "utf-8")
