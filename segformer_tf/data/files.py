"""Files of a folder, pictures paired with masks by name, and splits drawn by a seed."""

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segformer_tf.data.splits import Split

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".pgm", ".ppm")
MASKS = PICTURES  # those that are lossy are refused by their content
# Of a mask's name, after its picture's; in capitals or not.
MASK_ENDINGS = ("_mask", "_masks", "-mask", "_label", "_labels", "_seg", "_segmentation", "_gt")
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
VALIDATION_SHARE = 0.2  # of the pictures, where a data set has no splits
NAMED = 3  # files that a message names before it counts the others


class Found:
    """What a layout's reader collects: problems and notes, a sentence each."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []

    def split(self, name: str, images: Sequence[Path], targets: Sequence[Any], *classes, **more: Any) -> Split:
        """The split with what was collected; `classes`, coding and `more` as those of `Split`."""
        return Split(name, images, targets, *classes, **more, problems=self.problems, notes=self.notes)


def files_in(folder: Path, suffixes: Sequence[str], found: Found) -> list[Path]:
    """All files of these suffixes below a folder, sorted. Hidden ones are left out, other kinds counted in a note."""
    files, others = [], Counter()
    for place, names in walk(folder, found):
        for name in names:
            file = Path(place, name)
            if hidden(name):
                continue
            if file.suffix.lower() not in suffixes:
                others[file.suffix.lower() or "no suffix"] += 1
            elif file.is_symlink() and not file.exists():
                found.problems.append(f"{file} is a link to {os.readlink(file)}, which does not exist: mend the link.")
            else:
                files.append(file)
    if others:
        kinds = ", ".join(f"{count} of {suffix}" for suffix, count in sorted(others.items()))
        found.notes.append(f"{folder}: files of other kinds were not taken ({kinds}).")
    return sorted(files)


def walk(folder: Path, found: Found) -> Iterator[tuple[str, list[str]]]:
    """Each folder below one, once, and the names of its files; links to folders come last, so that no other waits."""
    real = os.path.realpath(folder)
    seen, waiting = {str(parent) for parent in Path(real).parents}, [str(folder)]
    while waiting:
        for place, folders, names in os.walk(waiting.pop(0)):
            real = os.path.realpath(place)
            if real in seen:
                found.notes.append(f"{place} is a link to {real}, which was read already or holds it: left out.")
                folders[:] = []
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not hidden(name))
            links = [name for name in folders if os.path.islink(os.path.join(place, name))]
            waiting += [os.path.join(place, name) for name in links]
            yield place, names


def with_suffix(folder: Path, suffix: str) -> list[Path]:
    """The files of one folder with a suffix, in capitals or not, sorted; hidden ones are left out."""
    return sorted(e for e in folder.iterdir() if e.suffix.lower() == suffix and not hidden(e.name) and e.is_file())


def hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")


def is_mask(file: Path) -> bool:
    """Whether a picture's name says that it is the mask of another."""
    named_so = file.stem.lower().endswith(MASK_ENDINGS) and file.suffix.lower() in MASKS
    return named_so and not hidden(file.name)


def key_of(file: Path, root: Path) -> str:
    """What pairs a picture with its mask: the path below the folder without suffix, accents written in one way."""
    return unicodedata.normalize("NFC", file.relative_to(root).with_suffix("").as_posix())


def by_key(files: Sequence[Path], root: Path, kind: str, found: Found) -> dict[str, Path]:
    """Key -> file; two files of one key are a problem that names both."""
    groups = defaultdict(list)
    for file in files:
        groups[key_of(file, root)].append(file)
    for group in groups.values():
        if len(group) > 1:
            found.problems.append(
                f"{' and '.join(map(str, group))} have one name, expected one {kind} of a name: rename one of them, "
                "and its partner with it."
            )
    return {key: group[0] for key, group in groups.items()}


def partners(images: dict[str, Path], masks: dict[str, Path]) -> dict[str, str | None]:
    """Key of each picture -> that of the mask of its name (`NAME_mask`, `NAME.jpg` ...), in the order of the names."""
    short = {_without_ending(key): key for key in masks if _without_ending(key) not in masks}
    return {key: key if key in masks else short.get(key) for key in sorted(images)}


def pair(
    images: dict[str, Path],
    masks: dict[str, Path],
    mask_folder: Path,
    found: Found,
    wanted: Sequence[str] = ("{}.png", "{}_mask.png"),
) -> tuple[list, list]:
    """Pictures and the masks of their names, as `partners` finds them.

    Args:
        wanted: What masks are called where `{}` is the picture's key, for the message about one that is missing.
    """
    found_masks = partners(images, masks)
    if alone := [key for key, partner in found_masks.items() if partner is None]:
        looked_for = " and ".join(str(mask_folder / name.format(alone[0])) for name in wanted)
        found.problems.append(
            f"{named([images[key] for key in alone])}: no mask of that name, looked for {looked_for}: add it, or take "
            "the picture away."
        )
    used = set(found_masks.values())
    if unused := [file for key, file in sorted(masks.items()) if key not in used]:
        found.problems.append(f"{named(unused)}: no picture of that name: add it, or take the mask away.")
    pairs = [(images[key], masks[partner]) for key, partner in found_masks.items() if partner is not None]
    return [image for image, _ in pairs], [mask for _, mask in pairs]


def _without_ending(key: str) -> str:
    endings = (*MASK_ENDINGS, *PICTURES)  # the latter of NAME.jpg.png
    return next((key[: -len(ending)] for ending in endings if key.lower().endswith(ending)), key)


def names_below(files: Sequence[Path]) -> list[str]:
    """Paths below the folder that all share, without suffix where that leaves each a name of its own."""
    if not files:
        return []
    shared = os.path.commonpath([file.parent for file in files])
    paths = [Path(os.path.relpath(file, shared)) for file in files]
    names = [path.with_suffix("").as_posix() for path in paths]
    return names if len(set(names)) == len(names) else [path.as_posix() for path in paths]


def named(files: Sequence[Any]) -> str:
    """The first files by name and the number of the others."""
    more = len(files) - NAMED
    return ", ".join(str(file) for file in files[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def gathered(told: Sequence[tuple[Path, str]]) -> list[str]:
    """Sentences about one file each; of many that differ in files, numbers and what stands in brackets, the first."""
    kinds: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for file, sentence in told:
        plain = sentence.replace(str(file), "").replace(file.stem, "")
        kinds[re.sub(r"\(.*\)|\d[\d,]*", "", plain)].append((file, sentence))
    found = []
    for several in kinds.values():
        if len(several) <= NAMED:
            found += [sentence for _, sentence in several]
        else:
            others = [file for file, _ in several[1:]]
            found.append(f"{several[0][1].rstrip('.')} ({len(others):,} more are like it: {named(others)}).")
    return found


def spellings(names: Sequence[str]) -> list[str]:
    """Names, also as Train and TRAIN."""
    return [*names, *(name.capitalize() for name in names), *(name.upper() for name in names)]


def folders_called(parent: Path, names: Sequence[str]) -> list[Path]:
    """The folders of these names in any of their spellings, each once where a disk tells no capitals apart."""
    folders = [parent / name for name in spellings(names) if (parent / name).is_dir()]
    return [place for i, place in enumerate(folders) if not any(place.samefile(other) for other in folders[:i])]


def split_names(split: str) -> list[str]:
    """What a split's folder may be called."""
    return spellings(SPLIT_FOLDERS.get(split, (split,)))


def note_split_lists(directory: Path, found: Found) -> None:
    """Notes lists of a split's pictures, where splits are drawn without them."""
    places = [
        place for place in (directory, directory / "splits", directory / "ImageSets/Segmentation") if place.is_dir()
    ]
    lists = [
        file
        for place in places
        for split in SPLIT_FOLDERS
        for name in split_names(split)
        for file in [place / f"{name}.txt"]
        if file.is_file()
    ]
    if lists:
        found.notes.append(
            f"{named(lists)}: not read, and the splits are drawn; make folders of these splits for the pictures and "
            "their masks, or put all in Pascal VOC's folders, whose lists are read."
        )


def split_folder(parent: Path, split: str) -> Path | None:
    """The folder of a split, whatever of its names it has; None if there is none."""
    return next((parent / name for name in split_names(split) if (parent / name).is_dir()), None)


def splits_below(*parents: Path) -> list[str]:
    """The splits that have a folder of their own in one of these."""
    return [split for split in SPLIT_FOLDERS if any(split_folder(parent, split) for parent in parents)]


def drawn(keys: Sequence[str], split: str, seed: int) -> list[str]:
    """The keys of a split drawn by a seed: a fifth validates, not an only one. A key added later moves few others."""
    ordered = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
    count = min(max(1, round(VALIDATION_SHARE * len(keys))), len(keys) - 1)
    return sorted({"val": ordered[:count], "train": ordered[count:]}[split])


def drawn_pairs(images: list, targets: list, folder: Path, split: str, seed: int, found: Found, by_class: bool = False):
    """({"seed", "pictures"}, images, targets) of a split, where the pictures of a folder have none.

    Args:
        by_class: The targets are class ids, and a fifth of each class validates.

    Raises FileNotFoundError for another split than train and val.
    """
    if split not in ("train", "val"):
        raise FileNotFoundError(f"{folder / split} is not a directory, expected files of the split {split!r}: add it.")
    pairs = {os.path.relpath(file, folder): (file, target) for file, target in zip(images, targets, strict=True)}
    if len(pairs) < 2:
        found.problems.append(
            f"{folder} has {len(pairs)} picture{'s' * (len(pairs) != 1)} with a mask, expected at least two, one to "
            "validate on: add some."
        )
    groups = defaultdict(list)
    for key, (_, target) in pairs.items():
        groups[target if by_class else None].append(key)
    keys = sorted(key for group in groups.values() for key in drawn(group, split, seed))
    if pairs:
        how = f"drawn by seed {seed}{' from each class' * by_class}"
        found.notes.append(
            f"{folder} has no split folders: {len(keys)} of {len(pairs)} pictures are in {split!r}, {how}. "
            "Frames of one film belong in one split: make folders for them."
        )
    return {"seed": seed, "pictures": keys}, [pairs[key][0] for key in keys], [pairs[key][1] for key in keys]
