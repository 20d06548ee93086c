"""Pictures to answers, in the words of the page: who looks at it has no shell and no Python."""

import io
import re
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from segformer_tf.page import view
from segformer_tf.page.uploads import Picture
from segformer_tf.pipelines.files import name_of
from segformer_tf.pipelines.pipeline import SegmentationPipeline

# What messages about pictures advise in Python or the shell, and what can be done on the page.
WORDS = (
    (r": give page=\d.*", ": save the page that you mean as a picture of its own, and give that."),
    (r", or set PIL\.Image\.\w+ higher where you trust it", ""),
    (r"; `segformer-tf video` labels all\.", "."),
    (r"(Save it as a TIFF and give|Give) value_range=.*", "Convert it to 8 bits, and give that."),
    (r"( whose bands Pillow does not read): pip install .*", r"\1: save it as a PNG, and give that."),
    (r", which needs imagecodecs: pip install .*", ": save it as a PNG, and give that."),
    (r", or use a model with num_channels=\d+", ""),
)


def in_words_of_the_page(message: str) -> str:
    for pattern, words in WORDS:
        message = re.sub(pattern, words, message)
    return message


class Labeller:
    """Pictures to the HTML of their answers; opens each model and runtime once, and labels one picture at a time."""

    def __init__(self, open_model: Callable[..., Any] = SegmentationPipeline.from_pretrained):
        self._open, self._opened, self._lock = open_model, {}, threading.Lock()

    def open(self, model: str, runtime: str) -> Any:
        """The pipeline; errors are `SegmentationPipeline.from_pretrained`'s."""
        key = (model, runtime)
        if key not in self._opened:
            self._opened[key] = self._open(model, runtime=runtime)
        return self._opened[key]

    def __call__(self, picture: Picture, model: str, runtime: str) -> str:
        """The answer's HTML, or one sentence that says why there is none."""
        source = io.BytesIO(picture.data)
        source.name = picture.name  # messages call it so
        try:
            with self._lock:
                pipeline = self.open(model, runtime)
                start = time.perf_counter()
                with _noted(picture.name) as notes:
                    result = pipeline(source, scores=True)
                seconds = time.perf_counter() - start
            return view.answer(result.renamed(name_of(picture.name)), seconds, picture.name, notes)
        except MemoryError:
            return view.problem(f"{picture.name} takes more memory than there is here; make it smaller.")
        except (OSError, ValueError, ImportError) as error:
            return view.problem(in_words_of_the_page(str(error)))
        except Exception:
            traceback.print_exc()
            return view.problem(f"{picture.name} could not be labelled; the log of the server says why.")


@contextmanager
def _noted(name: str) -> Iterator[list[str]]:
    """A list that gets the warnings about a picture, as sentences for the page; others go to the log."""
    notes: list[str] = []
    warned: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.filterwarnings("always", category=UserWarning)
            yield notes
    finally:
        for each in warned:
            said = in_words_of_the_page(str(each.message))
            if not said.startswith(name):
                warnings.showwarning(each.message, each.category, each.filename, each.lineno)
            elif said not in notes:
                notes.append(said)
