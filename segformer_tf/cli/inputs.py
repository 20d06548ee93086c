"""Which pictures a command was given: files, directories, patterns, or "-" for one on stdin."""

import glob
import os
import sys
from pathlib import Path
from typing import NamedTuple

from segformer_tf.cli.app import say
from segformer_tf.pipelines import files, marks
from segformer_tf.pipelines.folders import matching, pictures_in

_VIDEOS = ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .wmv .flv .ogv .3gp"
VIDEOS = tuple(_VIDEOS.split(" "))
STDIN = "-"


def is_video(argument: str) -> bool:
    """Whether an argument is a video by its name; directories are looked through for pictures."""
    return Path(argument).suffix.lower() in VIDEOS and not os.path.isdir(argument)


class Picture(NamedTuple):
    """`source`: what a pipeline takes; `shown`: what the user called it; `folder`: its files' place below --output;
    `video`: of a video how its frames are called."""

    source: Path | bytes
    shown: str
    folder: Path = Path()
    video: str = ""


def expanded(arguments: list[str]) -> list[str]:
    """The arguments with what patterns match in their place, but for names of files. FileNotFoundError for nothing.

    Results of this program are left out, which is said on stderr.
    """
    names: list[str] = []
    for argument in arguments:
        if os.path.lexists(argument) or not glob.has_magic(argument):
            names.append(argument)
            continue
        paths, left_out = matching(argument)
        if left_out:
            say(left_out)
        names += paths
    return names


def find_pictures(arguments: list[str], recursive: bool = False) -> list[Picture]:
    """The pictures that the arguments name, each once, those of a directory in the order of their names.

    What is left out of a directory is said on stderr, and so are results of this program that a pattern matches, and
    directories without pictures among others that have some. Raises FileNotFoundError where there is no picture, and
    for a pattern that matches nothing; a file that is not there is left to whoever opens it.
    """
    found: dict[str, Picture] = {}
    empty: list[str] = []
    for argument in expanded(arguments):
        if argument == STDIN:
            if STDIN not in found:  # its bytes come once
                found[STDIN] = Picture(_piped(), STDIN)
            continue
        path = Path(argument)
        try:
            pictures = _in_directory(path, recursive) if path.is_dir() else [Picture(path, str(path))]
        except FileNotFoundError as error:  # `segment *` where the results of the last time lie in a folder
            empty.append(str(error))
            continue
        for picture in pictures:
            found.setdefault(os.path.abspath(picture.shown), picture)
    if not found and empty:
        raise FileNotFoundError(" ".join(empty))
    for message in empty:
        say(message)
    return list(found.values())


def _piped() -> bytes:
    data = sys.stdin.buffer.read() if sys.stdin else b""
    if not data:
        raise ValueError("- is the picture on stdin, which has no bytes: give one, as in `segment - < street.jpg`.")
    return data


def _in_directory(directory: Path, recursive: bool) -> list[Picture]:
    paths, left_out = pictures_in(directory, recursive)
    if left_out:
        say(left_out)
    return [Picture(path, str(path), path.parent.relative_to(directory)) for path in paths]


class Planned(NamedTuple):
    """Pictures or videos to do with their files' names, those that are done already and by which models as their
    records say, why others cannot be done."""

    names: dict[str, tuple[Path, str]]  # what the user called a picture -> (directory, name)
    done: list[str]
    refused: dict[str, str]
    models: set[str]


def say_done(planned: Planned, every: str, model: str) -> None:
    """Tells how many of `every`, such as "5 pictures", are left out, and of labels by another model than `model`."""
    if planned.done:
        say(f"{len(planned.done)} of {every} are done already and are left out.")
    if others := planned.models - {model}:
        say(
            f"warning: of those, some are by {', '.join(sorted(others))}, not by {model}: for its labels leave out "
            "--skip-existing, or choose another --output."
        )


def plan(
    pictures: list[Picture], output: Path, kinds, whole_names: bool, overwrite: bool, skip_existing: bool
) -> Planned:
    """Where the files of each picture go, decided and checked before the first one is touched."""
    planned = Planned({}, [], {}, set())
    own = {(state.st_dev, state.st_ino) for state in map(_state, pictures) if state}
    places = {picture.shown: (output / picture.folder, name_of(picture, whole_names)) for picture in pictures}
    shared = _shared(pictures, places, kinds)
    for picture in pictures:
        directory, name = place = places[picture.shown]
        source = picture.source if isinstance(picture.source, Path) else None
        if picture.shown in shared:
            planned.refused[picture.shown] = shared[picture.shown]
            continue
        try:
            endings = _endings(picture)
            targets = files.check(directory, name, kinds, source, overwrite, endings)
            for target in targets.values():
                state = target.stat() if target.exists() else None
                if state and (state.st_dev, state.st_ino) in own:
                    raise FileExistsError(
                        f"{target}, where a file of {picture.shown} would go, is one of the "
                        f"{'videos' if picture.video else 'pictures'} given and is not replaced; "
                        "choose another --output."
                    )
        except OSError as error:
            planned.refused[picture.shown] = str(error)
            continue
        if skip_existing and all(map(marks.done, targets.values())):
            planned.done.append(picture.shown)
            if by := marks.model_of(directory / f"{name}{_endings(picture)['json']}"):
                planned.models.add(by)
        else:
            planned.names[picture.shown] = place
    return planned


def _shared(pictures: list[Picture], places: dict[str, tuple[Path, str]], kinds) -> dict[str, str]:
    """Of pictures of which a file would be another's too why none is done: one sentence, whichever is asked for."""
    takers: dict[Path, list[str]] = {}
    for picture in pictures:
        for target in files.targets_of(*places[picture.shown], kinds, _endings(picture)).values():
            takers.setdefault(target, []).append(picture.shown)
    told: dict[str, str] = {}
    for target, alike in sorted(takers.items(), key=lambda item: len(item[1])):  # what the most share is said
        if len(alike) == 1:
            continue
        same = {places[shown] for shown in alike}
        what = Path(*same.pop()) if len(same) == 1 else target
        both, neither = ("both", "neither") if len(alike) == 2 else ("all", "none")
        told |= dict.fromkeys(
            alike,
            f"{', '.join(alike[:-1])} and {alike[-1]} would {both} be written as {what}; {neither} is done: give one "
            "at a time with an --output of its own, or --whole-names for files of different suffixes.",
        )
    return told


def _endings(picture: Picture) -> dict[str, str]:
    return files.VIDEO_ENDINGS if picture.video else files.ENDINGS


def _state(picture: Picture) -> os.stat_result | None:
    try:
        return os.stat(picture.source) if isinstance(picture.source, Path) else None
    except OSError:
        return None


def name_of(picture: Picture, whole: bool = False) -> str:
    """What the files of a picture or video are called after."""
    if picture.video:
        return files.video_name(picture.video, whole)
    return files.name_of(picture.source, whole) if isinstance(picture.source, Path) else "stdin"
