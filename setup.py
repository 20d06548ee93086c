"""Everything stands in setup.cfg; only the bundled weights are found here, because they lie outside the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithWeights(build_py):
    """Copies `weights/` into the wheel as `segformer_tf/_weights/`; a checkout reads `weights/` itself."""

    def run(self):
        super().run()
        for file in Path("weights").glob("*/*"):
            target = Path(self.build_lib, "segformer_tf", "_weights", file.parent.name, file.name)
            if not self.editable_mode:
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithWeights})
