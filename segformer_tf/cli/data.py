"""`inspect`, `convert-masks`, `shard` and `corrupt`: what a data set holds, and in another form."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli.app import app, load_tensorflow, say, wrong_call
from segformer_tf.cli.options import AsJson, Binary, Data, SkipBroken, written_as

SHEETS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".pdf")  # which Pillow writes


def _value_range(given: tuple[float, float] | None) -> tuple[float, float] | None:
    from segformer_tf.images.scaling import check_value_range

    with wrong_call():
        return check_value_range(given)


Directory = Annotated[Path, typer.Argument(help="Directory of a data set; its layout is told by itself.")]
NewDirectory = Annotated[Path, typer.Argument(help="New directory: images/, annotations/ and classes.json.")]
Seed = Annotated[int, typer.Option(help="Draws the splits of a data set that has none.")]
ValueRange = Annotated[
    tuple[float, float] | None,
    typer.Option(help="Values of 16-bit pictures that become black and white: 0 4095.", callback=_value_range),
]


def show_layouts(wanted: bool) -> None:
    """Prints the trees of all layouts and ends."""
    if not wanted:
        return
    from segformer_tf.data.layouts import LAYOUTS

    for layout in LAYOUTS:
        print(f"{layout.name}\n" + "".join(f"    {line}\n" for line in layout.tree.splitlines()))
    raise typer.Exit()


@app.command()
def inspect(
    data: Directory,
    as_json: AsJson = False,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw pictures with their masks over them into this file.", callback=written_as(*SHEETS)),
    ] = None,
    binary: Binary = False,
    value_range: ValueRange = None,
    seed: Seed = 0,
    layouts: Annotated[
        bool, typer.Option("--layouts", callback=show_layouts, is_eager=True, help="Show every layout, and end.")
    ] = False,
) -> None:
    """Tell what a data set holds and what is wrong with it; exit 1 if something is.

    segformer-tf inspect photos --picture sheet.png
    segformer-tf inspect --layouts
    """
    del layouts
    from segformer_tf.data import inspect as look_at

    found = look_at(data, binary=binary, seed=seed, value_range=value_range)
    if picture is not None:
        from segformer_tf.data.sheet import draw_sheet
        from segformer_tf.storage.whole import whole

        with whole(picture) as draft:
            draw_sheet(found).save(draft)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        _show(found)
    if found.errors:
        raise typer.Exit(1)


def _show(found: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"Layout: {found.layout}", markup=False)
    for name, split in found.splits.items():
        lost = found.unusable.get(name, 0)
        told = f", {lost:,} of which cannot be used" if lost else ""
        console.print(f"{name}: {len(split) + lost:,} picture{'s' * (len(split) + lost != 1)}{told}", markup=False)
    sizes = [f"{height} x {width} ({count:,})" for (height, width), count in found.sizes.most_common(4)]
    if len(found.sizes) > 4:
        sizes.append(f"{len(found.sizes) - 4} other sizes")
    console.print(f"Sizes (height x width): {', '.join(sizes) or 'not read'}", markup=False)
    if found.modes:
        console.print(f"Channels: {', '.join(f'{m} ({n:,})' for m, n in found.modes.most_common())}", markup=False)
    if found.classes:
        console.print(_histogram(found, Table))
    for kind, sentences in (("note", found.notes), ("warning", found.warnings)):
        for sentence in sentences:
            console.print(f"{kind}: {sentence}", markup=False, soft_wrap=True)
    for sentence in found.errors:
        print(f"error: {sentence}", file=sys.stderr)
    if not found.errors:
        console.print("Nothing is wrong.", markup=False)


def _histogram(found: Any, table_of: Any) -> Any:
    from rich.markup import escape
    from rich.text import Text

    key = "pixels" if "pixels" in found.classes[0] else "pictures"
    splits = list(found.splits)
    table = table_of("id", "class", *(escape(f"{split} {key}") for split in splits), "share", "")
    for column in (0, *range(2, 3 + len(splits))):
        table.columns[column].justify = "right"
    most = max(row["share"] for row in found.classes) or 1
    for row in found.classes:
        bar = "█" * round(24 * row["share"] / most)
        style = f"rgb({','.join(map(str, row['color']))})" if row.get("color") and sum(row["color"]) else ""
        counts = [f"{row[key].get(split, 0):,}" for split in splits]
        cells = [str(row["id"]), row["name"], *counts, f"{row['share']:.2%}"]
        table.add_row(*(Text(cell) for cell in cells), Text(bar, style))
    if any(found.unlabelled.values()):
        counts = [f"{found.unlabelled.get(split, 0):,}" for split in splits]
        table.add_row("255", "unlabelled", *counts, "", "")
    return table


@app.command("convert-masks")
def convert_masks(
    src: Directory,
    dst: NewDirectory,
    binary: Binary = False,
    seed: Seed = 0,
) -> None:
    """Write any data set with masks as pictures and PNGs of class ids, whole or not at all.

    segformer-tf convert-masks cvat-export data
    """
    from segformer_tf.data.converting import convert_masks as convert

    counts = convert(src, dst, binary=binary, seed=seed, say=say)
    print(f"wrote {dst}: {', '.join(f'{split} {count:,} pictures' for split, count in counts.items())}")


@app.command()
def shard(
    data: Data,
    output: Annotated[Path, typer.Option(help="Directory of the shards, then a data set itself.")],
    split: Annotated[str, typer.Option()] = "train",
    pictures_per_shard: Annotated[int, typer.Option(min=1)] = 500,
    binary: Binary = False,
    value_range: ValueRange = None,
    seed: Seed = 0,
) -> None:
    """Write a split as TFRecord shards, which `train --data` and `evaluate --data` read.

    segformer-tf shard --data photos --output shards
    """
    if output.resolve() == data.resolve():
        told = f"{output} is the data set's own directory, which would be taken for shards alone: give another."
        raise typer.BadParameter(told, param_hint="--output")
    from segformer_tf.data import inspect as look_at

    names = None if binary else (split,)  # what 255 means shows in all splits together
    found = look_at(data, splits=names, binary=binary, seed=seed, value_range=value_range).check()
    load_tensorflow()
    from segformer_tf.training import write_shards

    files = write_shards(found.splits[split], output, pictures_per_shard)
    print(f"{len(files)} shards: {files[0]} ...")


@app.command()
def corrupt(
    data: Annotated[Path, typer.Argument(help="Directory of a data set with masks.")],
    out: NewDirectory,
    corruption: Annotated[str, typer.Option(help="One of Cityscapes-C's sixteen, such as gaussian_noise.")],
    severity: Annotated[int, typer.Option(help="1 (slight) to 5.")] = 3,
    split: Annotated[str, typer.Option()] = "val",
    binary: Binary = False,
    skip_broken: SkipBroken = False,
    value_range: ValueRange = None,
    seed: Seed = 0,
) -> None:
    """Write a split with corrupted pictures, as PNG, and its masks: what `evaluate --corruptions` sees.

    segformer-tf corrupt photos foggy --corruption fog --severity 3
    """
    load_tensorflow()
    from segformer_tf.data.converting import convert_masks
    from segformer_tf.training.scoring import corruptions
    from segformer_tf.training.sources import filled

    def change(pixels: Any, number: int) -> Any:
        height, width = pixels.shape[:2]
        return corruptions.corrupt(filled(pixels), corruption, severity, number)[:height, :width]

    try:
        corruptions.check([corruption], [severity])
    except (FileNotFoundError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    broken = "skip" if skip_broken else "stop"
    reading: dict[str, Any] = {"binary": binary, "broken": broken, "value_range": value_range, "seed": seed}
    counts = convert_masks(data, out, splits=(split,), change=change, say=say, **reading)
    print(f"wrote {out}: {split} {counts[split]:,} pictures, {corruption} of strength {severity}")
