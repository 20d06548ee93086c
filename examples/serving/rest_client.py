"""Pictures to label maps over TF Serving's REST interface; needs nothing but Python, NumPy and Pillow.

python rest_client.py street.jpg other.png --output masks      # writes masks/street_labels.png, masks/other_labels.png
python rest_client.py cat.jpg --url http://localhost:8501/v1/models/animals      # a classifier: prints classes, scores
"""

import argparse
import base64
import io
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
from mask_files import likeliest, read, targets
from PIL import Image


def segment(url: str, files: list[bytes]) -> list[dict]:
    """One answer a file: `mask_bytes` (PNG whose values are class ids), `labels` (coarse), `error` (empty if read).

    Of a classifier `classes` (names), `scores` and `error`.

    SystemExit with one sentence where the server refuses all of them, or none answers.
    """
    rows = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in files]
    headers = {"Content-Type": "application/json"}  # TF Serving does not ask for it, KServe does
    plain = urllib.parse.quote(url, safe=":/%?=&@[]")  # a model's name may have letters that URLs do not
    request = urllib.request.Request(f"{plain}:predict", json.dumps({"instances": rows}).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {refusal(error)}") from None
    except OSError as error:  # no server, another one than asked for, or one that has ended
        why = getattr(error, "reason", error)
        raise SystemExit(f"{url} does not answer ({why}): start the server, or correct --url.") from None


def refusal(error: urllib.error.HTTPError) -> str:
    """What the server says; what is between, such as a gateway, need not say it in TF Serving's form."""
    text = error.read().decode("utf-8", "replace")
    try:
        return json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return f"{error}: {text:.200}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--url", default="http://localhost:8501/v1/models/segformer")
    parser.add_argument("--output", type=Path, default=Path("masks"))
    arguments = parser.parse_args()
    files = targets(arguments.pictures, arguments.output)
    answers = segment(arguments.url, read(arguments.pictures))
    if any("mask_bytes" in answer for answer in answers):
        arguments.output.mkdir(parents=True, exist_ok=True)
    for path, file, answer in zip(arguments.pictures, files, answers, strict=True):
        if answer["error"]:
            print(f"{path}: {answer['error']}", file=sys.stderr)
            continue
        if "classes" in answer:
            print(f"{path}: {likeliest(answer['classes'], answer['scores'])}")
            continue
        file.write_bytes(data := base64.b64decode(answer["mask_bytes"]["b64"]))
        labels = np.asarray(Image.open(io.BytesIO(data)))
        print(f"{file}: {labels.shape[1]} x {labels.shape[0]}, classes {np.unique(labels).tolist()}")
    sys.exit(any(answer["error"] for answer in answers))


if __name__ == "__main__":
    main()
