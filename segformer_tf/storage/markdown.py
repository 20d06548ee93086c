"""Names that people gave, in the Markdown that is written here: reports, tables of folds, model cards."""

import html


def in_text(text: object) -> str:
    """Text in which what looks like a tag is shown, not obeyed."""
    return html.escape(str(text), quote=False)


def in_cell(text: object) -> str:
    """Text in a cell of a table, which a bar or a new line would end."""
    return in_text(" ".join(str(text).split())).replace("|", "\\|")
