"""Whether two names are one class, and which class of a model each class of a data set is."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral

import numpy as np

from segformer_tf.data.splits import UNLABELLED
from segformer_tf.images.classes import find_class, plain

TWO = ("background", "foreground")  # of masks of one foreground class that nobody named
MOST_IDS = 2**16  # of a mask of 16 bits
UNNAMED = np.iinfo(np.int64).min  # in a table of ids: nothing says which class it is
Classes = Mapping[int, str]


def ids_to_model(
    model: Classes,
    data: Classes,
    given: Mapping[str | int, str | int | None] | None = None,
    ignore_index: int = 255,
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from the data set's ids to the model's; what has no class there becomes `ignore_index`.

    Args:
        model, data: Names by id. A data set without names, and names that were never given (LABEL_0 ...; background and
            foreground of `--binary`), fit anything; of two classes with one name, "background" fits any other.
        given: The model's class of each class of the data set, both by name or id; None leaves a class out. A class
            that it does not name is the model's class of the same name.

    Raises:
        ValueError: Names that differ, when nothing is given; a class that is not there, is named twice, or is not named
            and has no class of its name. The function raises it for an id that neither the data set nor `given` names.
    """
    if given is None:
        _check_same(model, data)
        return lambda labels: labels
    pairs = _pairs(model, data, given)
    table = np.full(max([UNLABELLED, *pairs]) + 2, UNNAMED)  # the last for all higher ids
    table[UNLABELLED] = ignore_index
    for own, other in pairs.items():
        table[own] = ignore_index if other is None else other

    def ids_of(labels: np.ndarray) -> np.ndarray:
        # Negative ids, as some ignore indices are, are no class either.
        found = np.where(labels < 0, ignore_index, table[np.clip(labels, 0, len(table) - 1)])
        if (unnamed := found == UNNAMED).any():
            what = "is none of its classes: correct them" if data else "map_classes does not name: name it, or null"
            raise ValueError(f"the data set has the id {np.extract(unnamed, labels)[0]}, which {what}.")
        return found

    return ids_of


def _pairs(model: Classes, data: Classes, given: Mapping[str | int, str | int | None]) -> dict[int, int | None]:
    """The model's id of each of the data set's ids, None for a class that is left out."""
    pairs: dict[int, int | None] = {}
    spelt: dict[int, str | int] = {}
    for name, other in given.items():
        own = _id_of(name, data, "data set")
        if own in spelt:
            raise ValueError(
                f"map_classes names the class {data.get(own, own)!r} twice, as {spelt[own]!r} and {name!r}, expected "
                "it once: take one of them out."
            )
        spelt[own], pairs[own] = name, None if other is None else _id_of(other, model, "model")
    rest = {i: find_class(name, model) for i, name in data.items() if i not in pairs}
    if lacking := [data[i] for i, other in rest.items() if other is None]:
        raise ValueError(
            f"map_classes does not name {', '.join(map(repr, lacking))}, and the model has no class of that name, only "
            f"{_listed(model)}: name it, or null to leave it out."
        )
    return pairs | rest


def _check_same(model: Classes, data: Classes) -> None:
    names, own = ([classes[i] for i in sorted(classes)] for classes in (model, data))
    if not data or (made_up(names) and len(own) <= len(names)) or (made_up(own) and len(own) == len(names)):
        return
    same = {i for i, name in data.items() if i in model and plain(model[i]) == plain(name)}
    rest = {0} if len(names) == len(own) == 2 and TWO[0] in (plain(names[0]), plain(own[0])) else set()
    if same | rest == set(data):
        return
    raise ValueError(
        f"the data set's classes are {_listed(data)}, and the model's are {_listed(model)}: take data with the model's "
        "classes, or say with map_classes which is which."
    )


def _id_of(name: str | int, classes: Classes, whose: str) -> int:
    found = id_of(name, classes)
    if found is None:
        expected = _listed(classes) if classes else "an id, since it names none"
        raise ValueError(f"map_classes names {name!r}, which is no class of the {whose}; expected {expected}.")
    return found


def id_of(name: str | int, classes: Classes) -> int | None:
    """The id of a class by its name, or by its id as a number or text; None: there is none.

    Where there are no names, any id that a mask may have.
    """
    if isinstance(name, str):
        if (found := find_class(name, classes)) is not None:
            return found
        name = int(name) if re.fullmatch(r"\d{1,5}", name) else -1
    if isinstance(name, bool) or not isinstance(name, Integral):
        return None
    return int(name) if name in (classes or range(MOST_IDS)) else None


def made_up(names: Sequence[str]) -> bool:
    """Whether nobody gave a model or a data set these names, so that they say nothing of what the classes are."""
    numbered = all(re.fullmatch(rf"(?i:LABEL_\d+)|class {i}", name) for i, name in enumerate(names))
    return numbered or tuple(names) in (TWO, (TWO[0], "LABEL_0"))  # the second: a model of one logit


def one_spelling(names: Iterable[str]) -> dict[str, str]:
    """Each name -> the first of those that are alike by `plain`, but for separators between digits (1-1 is not 11)."""
    first: dict[str, str] = {}
    return {name: first.setdefault(plain(re.sub(r"(?<=\d)[\s_-]+(?=\d)", ".", name)) or name, name) for name in names}


def _listed(classes: Classes) -> str:
    return ", ".join(f"{i} {name}" for i, name in classes.items()) or "none"
