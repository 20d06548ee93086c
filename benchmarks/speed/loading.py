"""How long `from_pretrained` of a large model takes, against reading its file and building the model taken separately.

    python benchmarks/speed/loading.py [--model b5] [--repeats 5]

Each measurement runs in a process of its own, the three interleaved, and prints medians and the peak of memory above
what the process used with everything imported.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = ("read", "build", "load")


def measure(step: str, directory: str) -> None:
    """Does one step and prints its seconds and the memory it took at most, as JSON."""
    import numpy as np
    import tensorflow as tf

    from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
    from segformer_tf.checkpoints import formats

    TFSegformerForSemanticSegmentation(SegformerConfig.from_variant("b0"))  # what TensorFlow does only once
    tf.random.normal((10,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if step == "read":
        tensors, _ = formats.read(Path(directory) / "model.safetensors")
        read = {name: np.array(array) for name, array in tensors.items()}
        assert len(read) > 100
    elif step == "build":
        TFSegformerForSemanticSegmentation(SegformerConfig.from_pretrained(directory))
    else:
        TFSegformerForSemanticSegmentation.from_pretrained(directory)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"seconds": seconds, "peak": peak * 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="b5")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        return measure(arguments.step, arguments.directory)
    with tempfile.TemporaryDirectory() as directory:
        write = (
            "import sys, segformer_tf as s; c = s.SegformerConfig.from_variant(sys.argv[1]);"
            "s.TFSegformerForSemanticSegmentation(c).save_pretrained(sys.argv[2])"
        )
        subprocess.run([sys.executable, "-W", "ignore", "-c", write, arguments.model, directory], check=True)
        size = (Path(directory) / "model.safetensors").stat().st_size
        found: dict[str, list[dict[str, float]]] = {step: [] for step in STEPS}
        for _ in range(arguments.repeats):
            for step in STEPS:
                command = [sys.executable, "-W", "ignore", __file__, "--step", step, "--directory", directory]
                found[step].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    seconds = {step: statistics.median(run["seconds"] for run in runs) for step, runs in found.items()}
    peak = statistics.median(run["peak"] for run in found["load"])
    print("| step | seconds |\n|---|---|")
    for step in STEPS:
        print(f"| {step} | {seconds[step]:.2f} |")
    print(f"\nload / (read + build): {seconds['load'] / (seconds['read'] + seconds['build']):.2f} (below 1.5)")
    print(f"peak of load / weights' size ({size / 1e6:.0f} MB): {peak / size:.2f} (below 2.5)")


if __name__ == "__main__":
    main()
