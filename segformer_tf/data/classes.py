"""What the classes of a data set are called, and their colours, as a file beside the pictures says."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segformer_tf.data.files import Found, named
from segformer_tf.data.naming import one_spelling, plain
from segformer_tf.data.splits import UNLABELLED, Coding
from segformer_tf.storage.read import read_json, read_lines, understanding

BACKGROUND = {"id": 0, "name": "background", "color": [0, 0, 0]}
BACKGROUNDS = ("_background_", "background", "__background__")  # what tools call it
SHAPES = '[{"id": 0, "name": "road", "color": [128, 64, 128]}, ...], ["road", ...] or {"0": "road", ...}'
# What rows of other tools say by which a class would be taken in another way: by `plain`, without plurals.
LEFT_OUT = {"ignore", "ignored", "ignoreineval", "ignoreintraining", "exclude", "excluded", "skip", "void", "isvoid"}
TAKEN = {"evaluate", "train", "training", "use", "used", "include", "included", "enabled"}
NUMBERS = {"trainid", "value", "pixelvalue", "maskvalue", "labelvalue", "index", "labelid", "classid", "categoryid"}
COLOURS = {"color", "colour", "rgb", "rgbcolor", "rgbcolour", "colorrgb", "colourrgb", "hex", "hexcolor", "hexcolour"}
WEIGHTS = {"weight", "classweight", "lossweight"}
JOINED = {"alias", "aliases", "mergeinto", "mergewith", "mapto", "mappedto", "replacedby"}
LISTS = {"class", "classes", "classname", "classnames", "classdict", "label", "labels", "labelmap", "labelnames"}
LISTS |= {"names", "categories", "palette", "colormap", "colourmap", "meta", "objclasstomachinecolor"}


def read_classes(directory: Path, found: Found) -> tuple[list[dict[str, Any]], Coding]:
    """The classes that a file beside the pictures names, or none, and what the masks' colours mean by it.

    What it says of a class besides, and would matter if it were read, is noted in `found`.

    Raises:
        ValueError: The file cannot be understood, which the message says with what was expected.
    """
    for name, read in (("classes.json", read_rows), ("labelmap.txt", read_labelmap), ("_classes.csv", read_csv)):
        if (directory / name).is_file():
            rows = read(directory / name)
            found.notes += _not_read(rows, directory / name)
            return [row for row in rows if row["id"] != UNLABELLED or len(rows) > UNLABELLED], coloured(rows)
    return [], Coding()


def note_lists(directory: Path, found: Found) -> None:
    """Where no list of classes is read, notes those that are there in another form."""
    files = [file for file in sorted(directory.iterdir()) if file.suffix.lower() in (".txt", ".csv", ".json", ".yaml")]
    if others := [file for file in files if plain(file.stem) in LISTS and file.is_file()]:
        found.notes.append(
            f"{named(others)}: not read, classes are those of classes.json, labelmap.txt or _classes.csv; write "
            f"{directory / 'classes.json'}, {SHAPES}."
        )


def _not_read(rows: Sequence[dict[str, Any]], file: Path) -> list[str]:
    """A sentence for each key that is not read and looks as if it should change something; others are but kept."""
    told = []
    for key in dict.fromkeys(key for row in rows for key in row if key not in ("id", "name", "color")):
        meant = [(row, advice) for row in rows if (advice := _meant(plain(str(key)), row.get(key), row))]
        if meant:
            names = named([repr(row["name"]) for row, _ in meant])
            told.append(f'{file} says "{key}" of {names}, which is not read: {meant[0][1]}.')
    return told


def _meant(key: str, value: Any, row: Mapping[str, Any]) -> str:
    """What to do for what another tool's key says of a class, "" where that is nothing."""
    off = value in (False, None, 0, "", "false", "False", "no", "0")
    if row["id"] != UNLABELLED and ((key in LEFT_OUT and not off) or (key in TAKEN and off and value is not None)):
        return (
            f"for what is not labelled masks have {UNLABELLED}, and masks in colours a row of that id; the class is "
            "learned and scored as it stands"
        )
    if key in NUMBERS and isinstance(value, int) and value != row["id"]:
        return 'the values of masks are the "id"s, which count from 0'
    if key in COLOURS and row.get("color") is None and value is not None:
        return 'a colour is written as "color": [red, green, blue], each 0 to 255'
    if key in WEIGHTS and value not in (None, 1):
        return "classes are weighed by --set class_weight_power, all alike by their pixels"
    if key in JOINED and value:
        return "classes are joined in the masks, which then have one id for both"
    return ""


def read_rows(file: Path) -> list[dict[str, Any]]:
    """`classes.json`: a list of {"id", "name", "color"}, a list of names, or a dictionary of id and name.

    A row of id 255 says the colour of pixels that are not labelled.
    """
    found = read_json(file, f"the classes, {SHAPES}", (dict, list))
    try:
        rows = _rows(found)
        ids = [row["id"] for row in rows]
        count = len(ids) - (ids[-1:] == [UNLABELLED] and len(ids) <= UNLABELLED)
        complete = ids[:count] == list(range(count)) and all(row["name"] for row in rows)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} cannot be read ({error!r}), expected {SHAPES}: correct it.") from None
    if not complete:
        raise ValueError(
            f"{file} has ids {ids}, expected 0 to {count - 1} (and {UNLABELLED} for what is not labelled), each with a "
            "name: correct it."
        )
    with understanding(file, SHAPES):
        return checked(rows, file)


def _rows(found: Any) -> list[dict[str, Any]]:
    if isinstance(found, dict):
        by_name = all(isinstance(value, int) for value in found.values())  # {"road": 0}
        pairs = [(value, key) if by_name else (key, value) for key, value in found.items()]
        found = [{"id": int(number), "name": name} for number, name in pairs]
    if found and all(isinstance(entry, str) for entry in found):
        return numbered(found)
    return sorted((dict(row) for row in found), key=lambda row: row["id"])


def read_labelmap(file: Path) -> list[dict[str, Any]]:
    """`labelmap.txt` of CVAT: `name:red,green,blue:parts:actions` a line; ids by the order of the lines."""
    rows = []
    for line in read_lines(file, "the classes of CVAT's masks"):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, colour = line.split(":")[:2]
            row = {"id": len(rows), "name": name.strip(), "color": [int(value) for value in colour.split(",")]}
        except ValueError:
            raise ValueError(
                f"{file} has the line {line!r}, expected name:red,green,blue:parts:actions: correct it."
            ) from None
        rows.append(row)
    return checked(rows, file)


def read_csv(file: Path) -> list[dict[str, Any]]:
    """`_classes.csv` of Roboflow: a head, then `value, name` a line."""
    lines = read_lines(file, "the classes of Roboflow's masks")
    try:
        values = [row for row in csv.reader(lines) if row][1:]
        rows = sorted(({"id": int(row[0]), "name": row[1].strip()} for row in values), key=lambda row: row["id"])
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{file} cannot be read ({error}), expected lines such as 0, background: correct it."
        ) from None
    if [row["id"] for row in rows] != list(range(len(rows))):
        raise ValueError(f"{file} has the values {[row['id'] for row in rows]}, expected 0, 1, 2 ...: correct it.")
    return checked(rows, file)


def checked(rows: list[dict[str, Any]], file: Path) -> list[dict[str, Any]]:
    """The rows; ValueError where they are none, or names or colours are not each class's own."""
    if not rows:
        raise ValueError(f"{file} names no class, expected {SHAPES}: correct it.")
    colours: dict[tuple, str] = {}
    names = [str(row["name"]) for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"{file} has the name {twice[0]!r} twice, expected a name of its own for each class: correct it."
        )
    if alike := [pair for pair in one_spelling(names).items() if pair[0] != pair[1]]:
        raise ValueError(
            f"{file} has the names {alike[0][1]!r} and {alike[0][0]!r}, which only capitals or separators tell apart, "
            "expected a name of its own for each class: correct it."
        )
    for row in rows:
        if row.get("color") is None:
            continue
        colour = tuple(row["color"])
        if len(colour) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in colour):
            raise ValueError(
                f"{file} gives {row['name']!r} the colour {row['color']!r}, expected three numbers 0 to 255."
            )
        if colour in colours:
            raise ValueError(
                f"{file} gives {colours[colour]!r} and {row['name']!r} one colour {list(colour)}, expected a colour of "
                "its own for each class: correct it."
            )
        colours[colour] = row["name"]
    return rows


def numbered(names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of names alone, ids by their order."""
    return [{"id": number, "name": str(name)} for number, name in enumerate(names)]


def after_background(names: Sequence[str], file: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Rows of background, id 0, and of the names in their order; the id of each name, 0 for a background of their own.

    Raises ValueError, with the file that has them, for an empty name or one that is there twice (but background).
    """
    others = [name for name in names if name.lower() not in BACKGROUNDS]
    rows = [BACKGROUND, *({"id": number, "name": name} for number, name in enumerate(others, 1))]
    if not all(name.strip() for name in names):
        raise ValueError(f"{file} has a class without a name, expected a name of its own for each class: give it one.")
    ids = {row["name"]: row["id"] for row in checked(rows, file)}
    return rows, [ids.get(name, 0) for name in names]


def coloured(rows: Sequence[dict[str, Any]]) -> Coding:
    """The coding of masks that are pictures in the classes' colours."""
    return Coding(colours={tuple(row["color"]): int(row["id"]) for row in rows if row.get("color") is not None})


def common(lists: Mapping[str, Sequence[dict[str, Any]]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The classes that all splits share, and a sentence for each split where an id has another name.

    Args:
        lists: Split -> its rows, none where it does not say. One may lack the last classes of another.
    """
    lists = {split: rows for split, rows in lists.items() if rows}
    longest = max(lists, key=lambda split: len(lists[split]), default="")
    told = []
    for split, rows in lists.items():
        ids = {plain(str(row["name"])): row["id"] for row in lists[longest]}
        for row, other in zip(rows, lists[longest], strict=False):
            name = plain(str(row["name"]))
            if name != plain(str(other["name"])):
                there = f"it is {ids[name]} in the split {longest!r}" if name in ids else f"{longest!r} has none"
                told.append(
                    f"the class {row['name']!r} has the id {row['id']} in the split {split!r}, but {there}, where "
                    f"{row['id']} is {other['name']!r}; expected one list of classes in all splits: give them the same "
                    "names in the same order."
                )
                break
    return list(lists.get(longest, ())), told
