"""``boatseg labels``: label files, what is wrong in them, and the way back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import (
    current_settings,
    home_option,
    json_option,
    open_lake,
    output_option,
)
from boatseg_core.errors import InputError

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.labels.export.choose import Exported
    from boatseg_core.lake import Lake


@click.group()
def labels() -> None:
    """Label files."""


@labels.command("list")
@json_option
@home_option
def list_(as_json: bool) -> None:
    """List the label files that were read; files of one version were read together."""
    import polars as pl

    settings = current_settings()
    rows = (
        open_lake(settings)
        .scan("label_files")
        .filter(pl.col("label_version") > 0)
        .with_columns(pl.col("kind").fill_null("csv"))
        .group_by("label_version", "kind")
        .agg(
            pl.col("path").sort_by("path").first(),
            pl.col("path").n_unique().alias("files"),
            pl.col("rows").sum(),
            pl.col("loaded_at").min(),
        )
        .sort("label_version", "kind")
        .collect()
    )
    if as_json:
        click.echo(json.dumps(rows.to_dicts(), indent=2, default=str))
        return
    if rows.is_empty():
        screen.note(f"no label file was read yet: put one into {settings.labels_path}")
        return
    screen.print_table(
        ("version", "kind", "file", "rows", "read at"),
        [
            (version, kind, f"{path} and {files - 1:,} more" if files > 1 else path, count, at)
            for version, kind, path, files, count, at in rows.select(
                "label_version", "kind", "path", "files", "rows", "loaded_at"
            ).iter_rows()
        ],
        right=("version", "rows"),
        fold=("file",),
    )


@labels.command("issues")
@click.option("--reason", help="Only issues of this reason.")
@click.option("--file", "file", help="Only issues of this label file.")
@json_option
@home_option
def issues(reason: str | None, file: str | None, as_json: bool) -> None:
    """List the rows of label files that could not be used, or are strange, and why."""
    import polars as pl

    rows = open_lake(current_settings()).scan("label_issues")
    if reason is not None:
        rows = rows.filter(pl.col("reason") == reason)
    if file is not None:
        rows = rows.filter(pl.col("source_file") == file)
    columns = ["source_file", "line", "element", "image_id", "reason", "message", "batch_id"]
    found = rows.select(columns).sort(columns, nulls_last=True).collect()
    if as_json:
        click.echo(json.dumps(found.to_dicts(), indent=2))
        return
    if found.is_empty():
        screen.note("no label row has an issue")
        return
    screen.print_table(
        ("file", "line", "image", "reason", "what is wrong"),
        found.select("source_file", "line", "image_id", "reason", "message").iter_rows(),
        right=("line",),
        fold=("file", "image", "what is wrong"),
    )
    counts = dict(found["reason"].value_counts().iter_rows())
    screen.note(f"{screen.counted(found.height, 'issue')}: {screen.listed(counts)}")


@labels.command("export")
@click.option(
    "--format", "format_name", type=click.Choice(["csv", "coco", "png"]), required=True,
    help="csv: run lengths. coco: one JSON file. png: a folder of mask pictures.",
)  # fmt: skip
@click.option("--split", default="", help="Only images that gold has in this split.")
@click.option(
    "--version", type=click.IntRange(min=1), help="The labels as they were at this label version."
)
@output_option("File, or folder for png; csv and coco go to standard output without it.")
@home_option
def export(format_name: str, split: str, version: int | None, output: Path | None) -> None:
    """Write the labels in force as label files; read again, they are the same labels."""
    settings = current_settings()
    lake = open_lake(settings)
    if format_name == "png":
        from boatseg_core.labels.export.png import export_png

        if output is None:
            raise InputError("mask pictures need a folder: name it with --output")
        done = export_png(lake, output, split=split, version=version)
    else:
        done = _write(lake, settings, format_name, split, version, output)
    where = "" if output is None else f" in {output}"
    what = "object" if format_name == "png" else "row"
    screen.note(
        f"{screen.counted(done.rows, what)} of {screen.counted(done.images, 'image')}{where}"
    )
    if done.skipped:
        screen.note(f"left out: {screen.listed(done.skipped)} (see boatseg labels issues)")
    if done.overlapping:
        screen.note(
            f"in {screen.counted(done.overlapping, 'picture')} an object hides a part of another: "
            "csv and coco keep both whole"
        )


def _write(
    lake: Lake,
    settings: Settings,
    format_name: str,
    split: str,
    version: int | None,
    output: Path | None,
) -> Exported:
    from boatseg_core.labels.export.coco import export_coco
    from boatseg_core.labels.export.csv import export_csv

    write = export_csv if format_name == "csv" else export_coco
    if output is None:
        done = write(lake, settings, sys.stdout, split=split, version=version)
        sys.stdout.flush()  # a closed pipe is noticed here, where it is handled
        return done
    # Whole or not at all: half a label file would be read as a whole one.
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            done = write(lake, settings, file, split=split, version=version)
        part.replace(output)
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return done
