"""What a report tells of a classifier: its classes, what it takes for what, and where it is surely wrong."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor, views
from segformer_tf.training.evaluate import runtime_of
from segformer_tf.training.report.charts import draw_confusion
from segformer_tf.training.report.page import Block, Heading, Picture, Table, Text
from segformer_tf.training.scoring.accuracy import LEFT_OUT, PROTOCOL, outcomes
from segformer_tf.training.sources import chosen, readers

SHOWN = 8  # pictures that are wrong
WRONG = "picture_wrong.png"
TABLE_CLASSES = 30  # up to which the matrix is a table too


def classification(
    draft: Path, model, source: Split, processor: SegformerImageProcessor, with_charts: bool
) -> Iterator[Block]:
    """Table and matrix of the classes and the surest wrong answers, their pictures written into `draft`."""
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    total = np.zeros((len(names), len(names)), np.int64)
    wrong: list[tuple[float, int, str]] = []  # probability, number, what is told
    found = outcomes(runtime_of(model), model.config, source, processor, None, batch_size=8)
    for number, (true, logits) in enumerate(found):
        if true == LEFT_OUT:
            continue
        answer = int(logits.argmax())
        total[true, answer] += 1
        if answer != true:
            sure = float(1 / np.exp(logits - logits.max()).sum())
            wrong.append((sure, number, f"{names[answer]} {sure:.0%}, is {names[true]}"))
    right, of_class, answered = np.diag(total), total.sum(1), total.sum(0)
    yield Heading("Classes")
    yield Text(f"{total.sum()} validation pictures; {PROTOCOL}.")
    yield Table(
        ("class", "pictures", "recall", "precision"),
        [
            [name, str(of_class[i]), _share(right[i], of_class[i]), _share(right[i], answered[i])]
            for i, name in enumerate(names)
        ],
    )
    yield Text(f"Pictures right: {_share(right.sum(), total.sum())}.")
    yield Heading("Confusion")
    if with_charts:
        draw_confusion(total, names, draft / "confusion.png", "pictures")
        yield Picture("confusion.png", "confusion matrix: each row a true class, each column a predicted one")
    if len(names) <= TABLE_CLASSES:
        yield Table(("true \\ predicted", *names), [[n, *map(str, row)] for n, row in zip(names, total, strict=True)])
    yield Heading("Surest wrong answers")
    if not wrong:
        yield Text("None: every picture was given its class.")
        return
    surest = sorted(sorted(wrong, reverse=True)[:SHOWN], key=lambda one: one[1])
    pictures = readers(chosen(source, [number for _, number, _ in surest]))
    drawn = [np.asarray(views.titled(read()[0], told)) for read, (_, _, told) in zip(pictures, surest, strict=True)]
    views.grid(drawn, 4).save(draft / WRONG)
    yield Picture(WRONG, "the answer, how sure it was, and what is true")
    yield Table(
        ("picture", "answer"), [[str(source.images[number]), told] for _, number, told in sorted(surest, reverse=True)]
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.4f}" if whole else "-"
