"""The demo page as a Space, or a container, starts it: on port 7860, for everyone."""

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parent / "segformer-tf"  # on a Space; in Docker the package is installed
MODELS = os.environ.get("SEGFORMER_TF_MODELS", "segformer-b0-camvid").split()


def main() -> None:
    if CHECKOUT.is_dir():
        sys.path.insert(0, str(CHECKOUT))
    from segformer_tf import cli

    offered = [word for model in MODELS for word in ("--model", model)]
    cli.main(["demo", "--host", "0.0.0.0", "--port", os.environ.get("PORT", "7860"), *offered])


if __name__ == "__main__":
    main()
