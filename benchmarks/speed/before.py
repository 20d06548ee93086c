"""Times this tree beside an earlier commit of itself, in turns: loading, saving, running, training, pictures, requests.

    python benchmarks/speed/before.py --write            # beside bf0a56b, before docs/security.md's checks
    python benchmarks/speed/before.py --commit HEAD~5 --tasks save request

The commit is checked out beside the repository for the time. Both run in this environment, on the same files: the
bundled model, and a b2 with random weights. Ratios are this tree's time over the commit's, the least of each: other
programs only ever add to it. Where they come and go, take one core: `BENCH_THREADS=1 taskset -c 0 python ...`.
Half an hour.
"""

import argparse
import atexit
import base64
import functools
import io
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from timing import OUT, ROOT, THREADS, Worker, command_line, keep, machine, measure, serve, show, table

COMMIT = "bf0a56b"
MODEL = "segformer-b0-camvid"
REQUESTS = 10  # of a run: one takes some 100 ms
PICTURES = 24


def load(path: str):
    from segformer_tf import TFSegformerForSemanticSegmentation

    return lambda: TFSegformerForSemanticSegmentation.from_pretrained(path)


def load_b0(place: Path):
    return load(MODEL)


def load_b2(place: Path):
    return load(str(place / "b2"))


def save(place: Path):
    from segformer_tf import TFSegformerForSemanticSegmentation

    model, target = TFSegformerForSemanticSegmentation.from_pretrained(str(place / "b2")), tempfile.mkdtemp(dir=place)
    return lambda: model.save_pretrained(target)


def forward(place: Path):
    import numpy as np
    import tensorflow as tf

    model, pixels = load(MODEL)(), np.random.default_rng(0).normal(size=(1, 512, 512, 3)).astype("float32")
    graph = tf.function(lambda x: model(x).logits)
    return lambda: graph(pixels).numpy()


def step(place: Path):
    import numpy as np
    import tensorflow as tf

    model, draw = load(MODEL)(), np.random.default_rng(0)
    model.compile(metrics=[])
    x, y = draw.normal(size=(2, 512, 512, 3)).astype("float32"), draw.integers(0, 11, (2, 512, 512))
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    return lambda: model.fit(data, steps_per_epoch=1, verbose=0)


def request(place: Path):
    """REST, one JPEG file of 640 x 427, one client; the server is the commit's, and the directory it serves."""
    from PIL import Image

    sys.path.insert(0, str(ROOT / "examples" / "serving"))
    import local_server

    served = tempfile.mkdtemp(dir=place)
    command = [sys.executable, "-m", "segformer_tf.cli", "export", MODEL, served]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    context = local_server.running(served)
    server = context.__enter__()
    atexit.register(context.__exit__, None, None, None)
    file = io.BytesIO()
    Image.open(ROOT / "examples" / "china.jpg").convert("RGB").save(file, "JPEG")
    body = json.dumps({"instances": [{"b64": base64.b64encode(file.getvalue()).decode()}]}).encode()

    def run():
        for _ in range(REQUESTS):
            with urllib.request.urlopen(server.url + ":predict", body) as answer:
                found = json.load(answer)
        return found

    return run


def pictures(place: Path, **options):
    """A list of 24 pictures of 480 x 360, as a person calls it."""
    from PIL import Image

    from segformer_tf import SegmentationPipeline

    segment = SegmentationPipeline.from_pretrained(MODEL, **options)
    wide = Image.open(ROOT / "examples" / "china.jpg").convert("RGB").resize((480 + 24, 360))
    moving = [wide.crop((left, 0, 480 + left, 360)) for left in range(PICTURES)]
    return lambda: len(segment(moving))


def pictures_by(runtime: str):
    def make(place: Path):
        import segformer_tf

        new = Path(segformer_tf.__path__[0], "pipelines").is_dir()
        return pictures(place, **({"runtime": runtime} if new else {}))  # there was one runtime then

    return make


TASKS = {
    "load_b0": (load_b0, "`from_pretrained` of the bundled model"),
    "load_b2": (load_b2, "`from_pretrained` of a b2, 110 MB"),
    "save": (save, "`save_pretrained` of the b2 over itself"),
    "forward": (forward, "the bundled model's graph, one picture of 512 x 512"),
    "step": (step, "`fit`, one step of 2 pictures of 512 x 512, no metric"),
    "pictures": (pictures, f"`SegmentationPipeline` over a list of {PICTURES} pictures, no runtime named"),
    "pictures_tensorflow": (pictures_by("tensorflow"), "the same, by TensorFlow"),
    "pictures_openvino": (pictures_by("openvino"), "the same, by OpenVINO (then by TensorFlow)"),
    "request": (request, "a request to `serve`: a photograph to its mask"),
}


def enter(tree: str) -> None:
    """From here on `tree` is where the package is taken from, also by `python -m` in processes that this one starts."""
    os.chdir(tree)  # which -m looks into before PYTHONPATH
    sys.path.insert(0, tree)
    os.environ["PYTHONPATH"] = tree
    import segformer_tf

    ask = [sys.executable, "-c", "import segformer_tf; print(segformer_tf.__file__)"]
    child = subprocess.run(ask, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    for file in (segformer_tf.__file__ or "none", child):
        if Path(file).resolve().parents[1] != Path(tree).resolve():
            raise SystemExit(f"the package is {file}, expected that of {tree}.")


def work(name: str, tree: str, place: str) -> None:
    """A worker."""
    enter(tree)
    make, steps = TASKS[name][0], REQUESTS if name == "request" else 1
    serve(lambda: make(Path(place)), steps=steps)


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        return work(*sys.argv[2:])
    parser = command_line(__doc__, "before", runs=15)
    parser.add_argument("--commit", default=COMMIT)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    arguments = parser.parse_args()
    results = measured(arguments)
    lines = [
        [TASKS[name][1], told(rows["before"]), told(rows["now"]), ratio(rows["now"], rows["before"])]
        for name, rows in results.items()
    ]
    head = ["", f"at {arguments.commit}", "this tree", "least over least"]
    about = f"{machine()}, {THREADS} used; the least of {arguments.runs} runs, their median, peak memory of the caller."
    show(arguments, f"{about}\n\n{table(head, lines)}")


def told(row: dict) -> str:
    if "failure" in row:
        return row["failure"]
    return f"{row['spread'][0]:.1f} ms (median {row['ms']:.1f}), {row['peak_mb']:.0f} MB"


def ratio(now: dict, before: dict) -> str:
    return "" if "failure" in {**now, **before} else f"{now['spread'][0] / before['spread'][0]:.3f}"


def measured(arguments: argparse.Namespace) -> dict:
    results: dict = {}
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as place:
        tree = Path(place, "tree")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), arguments.commit], check=True)
        try:
            code = (
                "from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation as Model\n"
                "sizes = dict(hidden_sizes=[64, 128, 320, 512], depths=[3, 4, 6, 3], decoder_hidden_size=768)\n"
                f"Model(SegformerConfig(**sizes, num_labels=150)).save_pretrained({str(Path(place, 'b2'))!r})"
            )
            subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
            for name in arguments.tasks:
                script = (".venv", "benchmarks/speed/before.py", "work", name)
                make = {
                    "before": functools.partial(Worker, *script, tree, place),
                    "now": functools.partial(Worker, *script, ROOT, place),
                }
                results[name] = measure(make, arguments.runs)
                print(name, results[name], flush=True)
                keep(arguments, results)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    return results


if __name__ == "__main__":
    main()
