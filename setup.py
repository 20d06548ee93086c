"""Everything stands in setup.cfg; only what lies outside the package is found here: weights, pages, an example."""

from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


def outside() -> Iterator[Path]:
    """The files in folders that MANIFEST.in names, so that a wheel holds the same from a clone and from the sdist."""
    for line in Path("MANIFEST.in").read_text("utf-8").splitlines():
        command, *words = line.split()
        if command == "recursive-include":
            yield from (file for pattern in words[1:] for file in Path(words[0]).rglob(pattern) if file.is_file())
        else:
            yield from (Path(name) for name in words if "/" in name)


class BuildWithWeightsAndPages(build_py):
    """Copies `weights/`, `docs/` and the example photograph into the wheel as `segformer_tf/_weights/`, `_docs/` and
    `_examples/`; a checkout reads its own. The examples' README.md says whose photograph it is."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for file in outside():
            target = Path(self.build_lib, "segformer_tf", f"_{file}")
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithWeightsAndPages})
