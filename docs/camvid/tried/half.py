"""CamVid at half its size, for trying recipes: python docs/camvid/tried/half.py CAMVID HALF

With a third argument, `twice`, the halved pictures are enlarged to their first size again."""

import shutil
import sys
from pathlib import Path

from PIL import Image

source, target = map(Path, sys.argv[1:3])
twice = sys.argv[3:] == ["twice"]
for split in ("train", "val"):
    for kind, resampling in (("images", Image.Resampling.BOX), ("annotations", Image.Resampling.NEAREST)):
        (target / kind / split).mkdir(parents=True)
        for file in sorted((source / kind / split).iterdir()):
            picture = Image.open(file)
            size = picture.width // 2, picture.height // 2
            picture = picture.resize(size, resampling)
            if twice:
                enlarged = Image.Resampling.BILINEAR if kind == "images" else Image.Resampling.NEAREST
                picture = picture.resize((2 * size[0], 2 * size[1]), enlarged)
            picture.save(target / kind / split / f"{file.stem}.png")
shutil.copy(source / "classes.json", target)
