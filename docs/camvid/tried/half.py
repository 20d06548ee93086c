"""CamVid at half its size, for trying recipes: python docs/camvid/tried/half.py CAMVID HALF

With a third argument, such as 2, the halved pictures are enlarged by that factor again."""

import shutil
import sys
from pathlib import Path

from PIL import Image

source, target = map(Path, sys.argv[1:3])
factor = float(sys.argv[3]) if sys.argv[3:] else 1
for split in ("train", "val"):
    for kind, resampling in (("images", Image.Resampling.BOX), ("annotations", Image.Resampling.NEAREST)):
        (target / kind / split).mkdir(parents=True)
        for file in sorted((source / kind / split).iterdir()):
            picture = Image.open(file)
            size = picture.width // 2, picture.height // 2
            picture = picture.resize(size, resampling)
            if factor != 1:
                enlarged = Image.Resampling.BILINEAR if kind == "images" else Image.Resampling.NEAREST
                picture = picture.resize((round(factor * size[0]), round(factor * size[1])), enlarged)
            picture.save(target / kind / split / f"{file.stem}.png")
shutil.copy(source / "classes.json", target)
