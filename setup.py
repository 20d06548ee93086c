"""Everything stands in setup.cfg; only what lies outside the package is found here: weights, pages, an example."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithWeightsAndPages(build_py):
    """Copies `weights/`, `docs/` and the example photograph into the wheel as `segformer_tf/_weights/`, `_docs/` and
    `_examples/`; a checkout reads its own. The examples' README.md says whose photograph it is."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for source, pattern in (
            ("weights", "*/*"),
            ("docs", "**/*"),
            ("examples", "china.jpg"),
            ("examples", "README.md"),
        ):
            for file in Path(source).glob(pattern):
                target = Path(self.build_lib, "segformer_tf", f"_{source}", file.relative_to(source))
                if file.is_file() and file.suffix != ".py":
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithWeightsAndPages})
