"""``boatseg gallery``: a page of pictures."""

from __future__ import annotations

from pathlib import Path

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import (
    current_settings,
    filled_lake,
    has_rows,
    home_option,
    output_option,
)
from boatseg_core.cli.sql import read
from boatseg_core.errors import LakeError

_LABELLED = (
    "select image_id, image, mask, boat_count, boat_area, brightness, split "
    "from gold_dataset order by boat_count desc, image_id limit 120"
)


@click.command()
@click.argument("query", required=False, metavar='["SELECT ..."]')
@output_option("HTML file to write; by default reports/gallery.html in the home.", file=True)
@click.option("--title", help="Heading of the page; by default the query.")
@home_option
def gallery(query: str | None, output: Path | None, title: str | None) -> None:
    """Write one HTML page of the pictures a query selects, with their masks drawn over them.

    The query needs the column image; mask (the truth), boat_rles (a prediction) and image_id are
    understood, and every other column is shown below its picture. Without a query the page shows
    the predictions, or what is labelled where nothing is scored yet.
    """
    from boatseg_core.gallery.page import write_page
    from boatseg_core.gallery.predictions import write_predictions_page
    from boatseg_core.gallery.query import cards_from_frame
    from boatseg_core.lake.sql import ask

    settings = current_settings()
    lake = filled_lake(settings)
    path = output or settings.paths.reports / "gallery.html"
    noun = settings.labels.class_name
    with screen.err().status("drawing"):
        if query is None and has_rows(lake, "predictions"):
            heading = title or "Predictions"
            page = write_predictions_page(lake, path, title=heading, class_name=noun)
        else:
            if query is None and not has_rows(lake, "gold_dataset"):
                raise LakeError(
                    "there are neither predictions nor labelled images to show: name what to show "
                    'in SQL, such as "select image_id, image from raw_images limit 50"'
                )
            answer = ask(lake, query or _LABELLED)
            frame = read(answer)
            page = write_page(
                path,
                title or query or "Labelled images",
                cards_from_frame(frame, scored="predictions" in answer.versions),
                class_name=noun,
                count=frame.height,
            )
    screen.say(page.as_uri())
