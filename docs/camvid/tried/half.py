"""CamVid at half its size, for trying recipes: python docs/camvid/tried/half.py CAMVID HALF"""

import shutil
import sys
from pathlib import Path

from PIL import Image

source, target = map(Path, sys.argv[1:])
for split in ("train", "val"):
    for kind, resampling in (("images", Image.Resampling.BOX), ("annotations", Image.Resampling.NEAREST)):
        (target / kind / split).mkdir(parents=True)
        for file in sorted((source / kind / split).iterdir()):
            picture = Image.open(file)
            size = picture.width // 2, picture.height // 2
            picture.resize(size, resampling).save(target / kind / split / f"{file.stem}.png")
shutil.copy(source / "classes.json", target)
