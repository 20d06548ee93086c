"""Pictures to label maps over TF Serving's REST interface; needs nothing but Python and Pillow.

python rest_client.py street.jpg other.png --output masks
"""

import argparse
import base64
import io
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image


def segment(url: str, files: list[bytes]) -> list[dict]:
    """One answer a file: `mask_bytes` (PNG whose values are class ids), `labels` (coarse), `error` (empty if read)."""
    rows = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in files]
    headers = {"Content-Type": "application/json"}  # TF Serving does not ask for it, KServe does
    request = urllib.request.Request(f"{url}:predict", json.dumps({"instances": rows}).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {json.load(error)['error']}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--url", default="http://localhost:8501/v1/models/segformer")
    parser.add_argument("--output", type=Path, default=Path("masks"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    answers = segment(arguments.url, [path.read_bytes() for path in arguments.pictures])
    for path, answer in zip(arguments.pictures, answers, strict=True):
        if answer["error"]:
            print(f"{path}: {answer['error']}", file=sys.stderr)
            continue
        mask = Image.open(io.BytesIO(base64.b64decode(answer["mask_bytes"]["b64"])))
        mask.save(arguments.output / f"{path.stem}.png")
        print(f"{path}: {mask.width} x {mask.height}, classes {sorted(i for _, i in mask.getcolors(65536))}")


if __name__ == "__main__":
    main()
