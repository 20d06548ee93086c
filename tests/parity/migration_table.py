"""docs/migrating.md as data, and what transformers 4.57 offers, by introspection."""

import inspect
import re
from pathlib import Path

TABLE = Path(__file__).parents[2] / "docs" / "migrating.md"
STATES = {"same", "better", "left out"}
STARS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def rows(section: str) -> dict[str, str]:
    """Name, or "name(argument)" -> state, of one section's table."""
    text = TABLE.read_text("utf-8")
    body = text.split(f"## {section}\n")[1].split("\n## ")[0]
    found = {}
    for line in body.splitlines():
        if not line.startswith("| `"):
            continue
        names, state, reason = (cell.strip() for cell in line.strip("|").split("|"))
        assert state in STATES and (reason or state == "same"), line
        for entry in re.findall(r"`([^`]+)`", names):
            name, bracket, arguments = entry.partition("(")
            for argument in arguments.rstrip(")").split(", ") if bracket else [""]:
                found[f"{name}({argument})" if argument else name] = state
    return found


def public(cls, foreign: tuple[str, ...]) -> dict[str, object]:
    """Public attributes of a class that its library adds to the `foreign` ones it builds on."""
    names = {}
    for name in dir(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        if owner and not name.startswith("_") and not owner.__module__.startswith(foreign):
            names[name] = getattr(cls, name)
    return names


def arguments(function) -> set[str]:
    """The names of a function's arguments; empty for what is not one."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    return {parameter.name for parameter in parameters if parameter.kind not in STARS} - {"self"}


def takes(method, argument: str) -> bool:
    """Whether a method of this package takes a keyword: its own, transformers' for it, or one that it hands on."""
    parameters = inspect.signature(method).parameters.values()
    if argument in arguments(method) | {*getattr(method, "also_called", ())}:
        return True
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        return False
    needed = {each.name: {} for each in parameters if each.default is each.empty and each.kind not in STARS}
    try:
        method(**needed, zzzz=None)
    except TypeError as error:  # before anything is done, as it says what it takes instead
        return argument in str(error).partition("'zzzz': it takes ")[2].rstrip(".").split(", ")
    return False
