"""What mkdocs.yml adds to the pages: the notebooks of `examples/notebooks/`; and no links to what the site has not."""

import base64
import json
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, Files

NOTEBOOKS = Path(__file__).parents[1] / "examples" / "notebooks"


def on_files(files: Files, config) -> Files:
    """Adds a page for each notebook, and its pictures beside it."""
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        pictures: dict[str, bytes] = {}
        text = page_of(json.loads(notebook.read_text("utf-8")), notebook.stem, pictures)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=text))
        for name, data in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=data))
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    """A link to a file beside `docs/`, which the repository has and the site has not, becomes the file's name."""

    def told(link: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link[2]))
        return f"`{target.removeprefix('../')}`" if target.startswith("../") else link[0]

    return re.sub(r"(?<!!)\[([^\]]*)\]\((\.\./[^)#\s]+)[^)]*\)", told, markdown)


def page_of(notebook: dict, name: str, pictures: dict[str, bytes]) -> str:
    """Markdown of the notebook's cells; `pictures` gets the files that it shows."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source.replace("](../../docs/", "](../"))
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            parts += _shown(output, name, pictures)
    first, _, rest = "\n\n".join(parts).partition("\n")
    return f"{first}\n\n*This page is `examples/notebooks/{name}.ipynb`, run.*\n{rest}\n"


def _shown(output: dict, name: str, pictures: dict[str, bytes]) -> list[str]:
    data = output.get("data", {})
    if "text/html" in data:  # one block: an empty line would end it
        lines = "".join(data["text/html"]).splitlines()
        return ["\n".join(line.strip() for line in lines if line.strip())]
    if "image/jpeg" in data:
        file = f"{name}_{len(pictures)}.jpg"
        pictures[file] = base64.b64decode("".join(data["image/jpeg"]))
        return [f"![what the cell shows]({file})"]
    text = "".join(output.get("text", "")) or "".join(data.get("text/plain", ""))
    return [f"```text\n{text.rstrip()}\n```"] if text.strip() else []
