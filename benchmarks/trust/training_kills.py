"""Training killed (kill -9) at random moments and gone on with `--resume` ends with the weights of an undisturbed run.

    python benchmarks/trust/training_kills.py --kills 50

A tiny network learns on seven pictures, with a checkpoint every other step; noise and augmentation are on, so that the
state of every random number counts. Each process is killed at a random moment of its whole time, its start included,
and the next one goes on. A run that ends before all kills are made is compared, and begun again. "the same" is every
tensor of `last` and `best`, bit for bit, and the log but for its seconds and the last digits of the training loss, a
mean that is added up in other parts. Exit 1 where one differs or cannot go on.
"""

import argparse
import csv
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "support")]


def begin(command: list[str], told: Path) -> int:
    """A forked process that runs the command line: TensorFlow is loaded in it already, and nothing of it used."""
    child = os.fork()
    if not child:
        code = 1
        try:
            stream = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            from segformer_tf.cli import main

            main(command)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    return child


def left(run: Path) -> tuple:
    """What a run ended with: tensors by name, and the log."""
    from safetensors.numpy import load_file

    tensors = {}
    for kind in ("last", "best"):
        for name, array in load_file(run / kind / "model.safetensors").items():
            tensors[f"{kind}/{name}"] = array.tobytes()
    with (run / "log.csv").open() as file:
        rows = [{**row, "seconds": 0, "loss": f"{float(row['loss']):.5g}"} for row in csv.DictReader(file)]
    return tensors, rows


def make_data(root: Path) -> None:
    """In a process of its own: the parent must not use TensorFlow."""
    child = os.fork()
    if not child:
        from small_data import CLASSES, tiny_network, write_split

        write_split(root / "data", "train", 7)
        write_split(root / "data", "val", 2, 100)
        (root / "data" / "classes.json").write_text(json.dumps(CLASSES))
        tiny_network().save_pretrained(root / "model")
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("The data could not be made.")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--moment", type=float, help="seconds in which it is killed; as long as a whole run takes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import segformer_tf.training  # noqa: F401  loads TensorFlow, once for all

    draw, kills, runs, resumed, bad = random.Random(options.seed), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as place:
        root, told = Path(place), Path(place, "told.txt")
        make_data(root)
        command = ["train", "--data", str(root / "data"), "--model", str(root / "model"), "--steps", str(options.steps)]
        command += ["--batch-size", "2", "--crop", "32", "64", "--recipe", "fine-tune", "--set", "save_every=2"]
        command += ["--evaluate-every", str(options.steps // 3), "--output"]
        start = time.monotonic()
        if os.waitpid(begin([*command, str(root / "whole")], told), 0)[1]:
            raise SystemExit(told.read_text())
        seconds, expected = time.monotonic() - start, left(root / "whole")
        print(f"{options.steps} steps undisturbed: {seconds:.1f} s", flush=True)
        while kills < options.kills or not runs:
            run, ended = root / f"run-{runs}", False
            runs += 1
            while not ended:
                more = ["--resume"] if (run / "recipe.json").exists() else []
                resumed += (run / "last" / "training_state.npz").exists()
                child = begin([*command, str(run), *more], told)
                if kills < options.kills:
                    time.sleep(draw.uniform(0, options.moment or seconds))
                    ended = os.waitpid(child, os.WNOHANG)[0] != 0
                    if not ended:
                        os.kill(child, signal.SIGKILL)
                        os.waitpid(child, 0)
                        kills += 1
                        continue
                else:
                    ended, status = True, os.waitpid(child, 0)[1]
                    if status:
                        print(told.read_text()[-2000:])
            found = left(run)
            other = [name for name, data in expected[0].items() if found[0].get(name) != data]
            same = not other and found == expected
            bad += not same
            print(f"{kills} kills: run {runs} ended {'the same' if same else 'OTHERWISE'}", flush=True)
            if not same:
                print(f"  {len(other)} other tensors of {len(expected[0])}: {other[:3]}\n  {expected[1]}\n  {found[1]}")
    print(f"{kills} kills in {runs} runs, {resumed} times gone on from a checkpoint; {bad} runs ended otherwise")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
