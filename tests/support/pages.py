"""The blocks of code in Markdown, and the commands in them."""

import re


def blocks(text: str, *languages: str) -> list[str]:
    """The bodies of the blocks whose fence names one of the languages; "" is a fence that names none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert 2 * len(found) == len(re.findall(r"^\s*```", text, re.MULTILINE)), "a fence is of a form unknown here"
    return [body for language, body in found if language in languages]


def shell_lines(text: str) -> list[str]:
    """The lines of the blocks of commands, each with the lines that it goes on in; no comments of a line's own."""
    lines = "".join(blocks(text, "", "sh", "bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]
