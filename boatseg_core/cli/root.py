"""The root of the command line: the catalogue of commands and what all of them share."""

from __future__ import annotations

from typing import Any

import click

from boatseg_core import __version__
from boatseg_core.cli.failure import reported
from boatseg_core.cli.lazy import Entry, LazyGroup, extensions
from boatseg_core.cli.options import home_given, home_option, without_old_spellings

_START, _DATA, _LOOK, _MODEL = "Start here", "Data", "Look", "Model"
_CLI = "boatseg_core.cli"

CATALOGUE = {
    "demo": Entry("Images, tables, a trained model and predictions, in minutes.", _START),
    "run": Entry("The same on your own images and masks.", _START),
    "dev": Entry("Open the Dagster UI on this home.", _START),
    "status": Entry("The state of this home on one screen.", _START, f"{_CLI}.status:status"),
    "config": Entry(
        "Every setting and where its value came from.", _START, f"{_CLI}.config:config"
    ),
    "data": Entry("Scenes to learn from, drawn or downloaded.", _DATA, f"{_CLI}.data:data"),
    "ingest": Entry("Take in new images and labels, up to gold.", _DATA, f"{_CLI}.ingest:ingest"),
    "labels": Entry("Label files, their issues, and the way back.", _DATA, f"{_CLI}.labels:labels"),
    "quarantine": Entry(
        "Files that were refused: list, retry, export.", _DATA, f"{_CLI}.quarantine:quarantine"
    ),
    "requalify": Entry(
        "Judge again by changed criteria, without a picture.", _DATA, f"{_CLI}.requalify:requalify"
    ),
    "lake": Entry("Compact, clean up, examine and repair the tables.", _DATA, f"{_CLI}.lake:lake"),
    "tables": Entry("The tables, their rows and sizes.", _LOOK, f"{_CLI}.tables:tables"),
    "describe": Entry("The columns of a table.", _LOOK, f"{_CLI}.tables:describe"),
    "sql": Entry("Ask the tables in SQL.", _LOOK, f"{_CLI}.sql:sql"),
    "gallery": Entry("A page of images with their masks.", _LOOK, f"{_CLI}.gallery:gallery"),
    "train": Entry("Train a model, up to the registry.", _MODEL, f"{_CLI}.train:train"),
    "tune": Entry("Search hyperparameters on gold.", _MODEL, f"{_CLI}.tune:tune"),
    "predict": Entry("Find the objects in pictures.", _MODEL, f"{_CLI}.predict:predict"),
    "serve": Entry("Answer predictions over HTTP.", _MODEL, f"{_CLI}.serve:serve"),
    "models": Entry("Versions, metrics and promotions.", _MODEL, f"{_CLI}.models:models"),
    "evaluate": Entry(
        "How good a version is, with intervals and a report.",
        _MODEL,
        f"{_CLI}.evaluate:evaluate",
    ),
    "promote": Entry("Put a version into production.", _MODEL, f"{_CLI}.models:promote"),
    "rollback": Entry("Go back to the version before.", _MODEL, f"{_CLI}.models:rollback"),
}


class Root(LazyGroup):
    """The group at the root: the only place where failures are turned into exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        # Inside of click's own handling, whose answers to Ctrl-C and a closed pipe are others.
        with reported():
            try:
                return super().invoke(ctx)
            except click.NoSuchOption as error:
                raise without_old_spellings(error) from None


@click.command(
    cls=Root,
    catalogue=CATALOGUE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@home_option
@click.version_option(__version__, package_name="boatseg", message="boatseg %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """boatseg: images and masks in; governed tables, a model and predictions out."""
    home = home_given()
    if home is not None:
        # Commands of other packages have a --home of their own, which this becomes the default of.
        ctx.default_map = {name: {"home": home} for name in extensions()}
