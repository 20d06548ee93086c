"""What a picture costs: time, memory and pictures per core-hour of b0 to b5, and how they grow with its area.

    python benchmarks/speed/cost.py --write      # about ten minutes; only this package, its SavedModel in float32

Two threads, one picture at a time, 150 classes. Attention's share is of the multiplications, counted from the shapes.
The floor is what they would take as one matrix product at the speed that numpy reaches here.
"""

import functools
import os
import time

import numpy as np
from model_peers import LABELS, VARIANTS
from models import prepare
from timing import THREADS, Worker, command_line, keep, machine, measure, show, table

SIDES = {"b0": (256, 512, 1024, 1536, 2048), "b2": (256, 512, 1024, 1536), "b5": (256, 512, 1024)}
REDUCTIONS, MLP_RATIO = (8, 4, 2, 1), 4


def multiplications(variant: str, side: int) -> tuple[float, float]:
    """All multiplications of one picture, and those between queries, keys and values, in 10^9."""
    depths, widths, decoder = VARIANTS[variant]
    total = attention = head = 0.0
    before, patch = 3, 7
    for stage, (depth, width, reduction) in enumerate(zip(depths, widths, REDUCTIONS, strict=True)):
        tokens = (side // 2 ** (stage + 2)) ** 2
        keys = tokens / reduction**2
        total += tokens * patch**2 * before * width
        projections = (
            2 * tokens * width**2 + 2 * keys * width**2 + (keys * reduction**2 * width**2 if reduction > 1 else 0)
        )
        ffn = 2 * tokens * width * width * MLP_RATIO + 9 * tokens * width * MLP_RATIO
        attention += depth * 2 * tokens * keys * width
        total += depth * (projections + ffn)
        head += tokens * width * decoder
        before, patch = width, 3
    head += (side // 4) ** 2 * decoder * LABELS
    return (total + attention + head) / 1e9, attention / 1e9


def products_per_second(side: int = 2048, runs: int = 9) -> float:
    """10^9 multiplications a second of a float32 matrix product, the best run."""
    one, other = np.random.default_rng(0).normal(size=(2, side, side)).astype(np.float32)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        _ = one @ other
        times.append(time.perf_counter() - start)
    return side**3 / min(times) / 1e9


def rows_of(variants: dict[str, tuple[int, ...]], runs: int) -> dict[str, dict]:
    found, peak = {}, products_per_second()
    for variant, sides in variants.items():
        for side in sides:
            prepare(f"{variant}-{side}-1-float32")
            worker = functools.partial(
                Worker,
                ".venv",
                "benchmarks/speed/model_peers.py",
                "segformer_tf_saved_model",
                variant,
                side,
                1,
                "float32",
            )
            found[f"{variant}-{side}"] = row = measure({"it": worker}, runs if side <= 1024 else 3)["it"]
            row["gmac"], row["attention_gmac"] = multiplications(variant, side)
            row["floor_ms"] = 1000 * row["gmac"] / peak
            print(variant, side, row, flush=True)
    return found


def cost_table(results: dict[str, dict], keys: list[str]) -> str:
    lines = []
    for key in keys:
        row = results[key]
        if "failure" in row:
            lines.append([key, row["failure"], "", "", "", "", "", ""])
            continue
        seconds = row["ms"] / 1000
        lines.append([
            "{}, {}x{}".format(*(key.split("-")[i] for i in (0, 1, 1))),
            f"{row['gmac']:.1f}",
            f"{row['attention_gmac'] / row['gmac']:.0%}",
            f"{row['ms']:.0f} ms ({row['spread'][0]:.0f} to {row['spread'][1]:.0f})",
            f"{1 / seconds:.2f}",
            f"{3600 / seconds / THREADS:,.0f}",
            f"{row['added_mb']:.0f} MB",
            f"{row['floor_ms']:.0f} ms, {row['ms'] / row['floor_ms']:.2f}x",
        ])  # fmt: skip
    head = [
        "",
        "GMAC",
        "of it attention",
        "a picture",
        "pictures/s",
        "pictures a core-hour",
        "memory over the weights",
        "floor",
    ]
    return table(head, lines)


def main() -> None:
    os.environ["TF_ONEDNN_ASSUME_FROZEN_WEIGHTS"] = "0"  # memory as it is without the weights a second time
    parser = command_line(__doc__, "cost", runs=7)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--largest", type=int, default=2048, help="longest side")
    arguments = parser.parse_args()
    wanted = {
        variant: [side for side in SIDES.get(variant, (512,)) if side <= arguments.largest]
        for variant in arguments.variants
    }
    results = rows_of(wanted, arguments.runs)
    keep(arguments, results)
    variants = [f"{variant}-512" for variant in arguments.variants]
    areas = [f"{variant}-{side}" for variant in SIDES if variant in wanted for side in wanted[variant]]
    text = f"{machine()}; float32, batch 1, medians.\n\n{cost_table(results, variants)}\n\n{cost_table(results, areas)}"
    show(arguments, text)


if __name__ == "__main__":
    main()
