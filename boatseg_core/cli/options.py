"""Options that commands share, and the settings they lead to."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.lake import Lake

F = TypeVar("F", bound=Callable[..., Any])

_HOME = "boatseg.home"


def home_option(command: F) -> F:
    """Add ``--home``; what it says reaches :func:`current_settings`, no parameter is passed."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        expose_value=False,
        callback=_remember,
        help="Home to use instead of BOATSEG_HOME.",
    )(command)


def json_option(command: F) -> F:
    """Add ``--json`` as the parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def gold_version_option(command: F) -> F:
    """Add ``--gold-version``, None for the newest."""
    return click.option(
        "--gold-version",
        type=click.IntRange(0),
        metavar="N",
        help="Delta version of gold_dataset; by default the newest.",
    )(command)


def output_option(
    help: str,
    *,
    folder: bool = False,
    file: bool = False,
    required: bool = False,
) -> Callable[[F], F]:
    """Add ``-o`` or ``--output``, where a command writes, as the parameter ``output``.

    The spelling ``--out`` of earlier versions is understood and not shown.

    Args:
        help: What is written.
        folder: Only a folder will do.
        file: Only a file will do.
        required: There is no default.
    """
    return click.option(
        "-o",
        "--output",
        "--out",
        "output",
        cls=_Renamed,
        type=click.Path(file_okay=not folder, dir_okay=not file, path_type=Path),
        metavar="DIR" if folder else "FILE" if file else "PATH",
        required=required,
        help=help,
    )


class _Renamed(click.Option):
    """An option whose last spelling is an old one that no help shows."""

    @property
    def shown(self) -> list[str]:
        """The spellings that people are told of."""
        return self.opts[:-1]

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        with self._without_the_old():
            return super().get_help_record(ctx)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        with self._without_the_old():
            return super().get_error_hint(ctx)

    @contextmanager
    def _without_the_old(self) -> Iterator[None]:
        spellings = self.opts
        self.opts = self.shown
        try:
            yield
        finally:
            self.opts = spellings


def without_old_spellings(error: click.NoSuchOption) -> click.NoSuchOption:
    """The same error, suggesting nothing that no help shows: click suggests all it understands."""
    if error.ctx is None:
        return error
    shown: list[str] = []
    for option in error.ctx.command.get_params(error.ctx):
        if isinstance(option, _Renamed):
            shown += option.shown
        elif isinstance(option, click.Option) and not option.hidden:
            shown += [*option.opts, *option.secondary_opts]
    near = difflib.get_close_matches(error.option_name, [s for s in shown if s[:2] == "--"])
    return click.NoSuchOption(error.option_name, possibilities=near, ctx=error.ctx)


def home_given() -> Path | None:
    """The home named on the command line, if one was."""
    home: Path | None = click.get_current_context().meta.get(_HOME)
    return home


def current_settings(**overrides: Any) -> Settings:
    """Load the settings, with the home named on the command line.

    Args:
        **overrides: Stronger values, by top-level field name.

    Raises:
        ConfigError: They are not valid.
    """
    from boatseg_core.config import load_settings

    home = home_given()
    return load_settings(**overrides) if home is None else load_settings(home=home, **overrides)


def filled_lake(settings: Settings) -> Lake:
    """Open a lake that something was ingested into.

    Raises:
        LakeError: It is empty.
    """
    from boatseg_core.errors import LakeError

    lake = open_lake(settings)
    if is_empty(lake):
        raise LakeError(nothing_here(settings))
    return lake


def open_lake(settings: Settings) -> Lake:
    """Open the lake, be it empty; what it warns of is shown."""
    from boatseg_core.cli.remarks import show_remarks
    from boatseg_core.lake import Lake

    show_remarks()
    return Lake.from_settings(settings)


def is_empty(lake: Lake) -> bool:
    """Whether no file was ever sealed into the lake."""
    return lake.count("files") == 0


def has_rows(lake: Lake, name: str) -> bool:
    """Whether a table partitioned by batch has a row, from its log alone."""
    return any(rows > 0 for rows in lake.counts(name).values())


def nothing_here(settings: Settings) -> str:
    """Say what to do first in an empty home."""
    return (
        f"nothing here yet ({settings.lake_root} has no images): run `boatseg demo`, or put images "
        f"into {settings.images_location} and run `boatseg ingest`"
    )


def _remember(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.meta[_HOME] = value
