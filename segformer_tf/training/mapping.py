"""Which class of a model each class of a data set is."""

import re
from collections.abc import Callable, Mapping

import numpy as np

Classes = Mapping[int, str]


def label_map(
    model: Classes,
    data: Classes,
    given: Mapping[str | int, str | int | None] | None = None,
    ignore_index: int = 255,
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from the data set's ids to the model's; what has no class there becomes `ignore_index`.

    Args:
        model, data: Names by id. A data set without names, and a model whose names were never given (LABEL_0, ...), fit
            anything.
        given: The model's class of each class of the data set, both by name or id; None leaves a class out, and so does
            not naming it.

    Raises:
        ValueError: Names that differ, when nothing is given; a class that is not there.
    """
    if given is None:
        _check_same(model, data)
        return lambda labels: labels
    pairs = {_id_of(own, data, "data set"): _id_of(other, model, "model") for own, other in given.items()}
    table = np.full(max(pairs, default=0) + 2, ignore_index, np.int64)  # the last for all higher ids
    for own, other in pairs.items():
        if own is not None and other is not None:
            table[own] = other
    # Negative ids, as some ignore indices are, are no class either.
    return lambda labels: np.where(labels < 0, ignore_index, table[np.clip(labels, 0, len(table) - 1)])


def _check_same(model: Classes, data: Classes) -> None:
    unnamed = all(re.fullmatch(r"LABEL_\d+", name) for name in model.values())
    if not data or (unnamed and len(data) <= len(model)):
        return
    if all(i in model and _plain(model[i]) == _plain(name) for i, name in data.items()):
        return
    raise ValueError(
        f"the data set's classes are {_listed(data)}, and the model's are {_listed(model)}: take data with the model's "
        "classes, or say with map_classes which is which."
    )


def _id_of(name: str | int | None, classes: Classes, whose: str) -> int | None:
    if name is None or (not classes and isinstance(name, int)):
        return name
    found = [i for i, own in classes.items() if i == name or own == name or str(i) == str(name)]
    if not found:
        raise ValueError(f"map_classes names {name!r}, which is no class of the {whose}; expected {_listed(classes)}.")
    return found[0]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().lower()


def _listed(classes: Classes) -> str:
    return ", ".join(f"{i} {name}" for i, name in classes.items()) or "none"
