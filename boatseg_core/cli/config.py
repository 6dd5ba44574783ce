"""``boatseg config``: every setting in force."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.padding import Padding
from rich.text import Text

from boatseg_core.cli import screen
from boatseg_core.cli.failure import MISUSED, say_error
from boatseg_core.cli.options import current_settings, home_given, home_option, json_option
from boatseg_core.errors import ConfigError

# Below this many columns a table of five would be a ladder of single words.
_WIDE = 130
_PUBLIC = ("region", "endpoint", "allow_http", "virtual_hosted", "bucket", "timeout", "retr")
_USER = re.compile(r"(?<=://)[^/@\s]+@")


class _Row(NamedTuple):
    name: str
    value: Any
    unit: str
    source: str
    sentence: str


@click.command()
@json_option
@home_option
def config(as_json: bool) -> None:
    """Print every setting with its value, unit, meaning and where the value came from.

    Set one by its environment variable (train.max_steps is BOATSEG_TRAIN__MAX_STEPS), or in
    boatseg.toml in the working directory or in the home. Passwords and keys are hidden.
    """
    try:
        rows = _rows()
    except ConfigError as error:
        # The one who misspelt a name needs the list of names most.
        say_error(str(error))
        screen.note("the names and their defaults:")
        _print(_defaults(), as_json)
        click.get_current_context().exit(MISUSED)
    _print(rows, as_json)


def _rows() -> list[_Row]:
    from boatseg_core.config.settings import provenance

    rows = [_Row(*row) for row in provenance(current_settings())]
    if home_given() is not None:
        rows = [row._replace(source="--home") if row.name == "home" else row for row in rows]
    return [row._replace(value=masked(row.value)) for row in rows]


def _defaults() -> list[_Row]:
    from boatseg_core.config import Settings
    from boatseg_core.config.settings import provenance

    rows = provenance(Settings.model_construct())
    return [_Row(name, value, unit, "default", text) for name, value, unit, _, text in rows]


def masked(value: Any) -> Any:
    """Hide what must not be shown: object store options by name, and users in addresses."""
    if isinstance(value, dict):
        return {
            key: _USER.sub("***@", text) if any(p in key.lower() for p in _PUBLIC) else "***"
            for key, text in value.items()
        }
    if isinstance(value, str):
        return _USER.sub("***@", value)
    return str(value) if isinstance(value, Path) else value


def _print(rows: list[_Row], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows], indent=2, default=str))
        return
    console = screen.out()
    if console.width >= _WIDE:
        screen.print_table(
            ("setting", "value", "unit", "source", "meaning"),
            [(Text(r.name, "bold"), _value(r), r.unit, _source(r), r.sentence) for r in rows],
            fold=("value", "source", "meaning"),
        )
        return
    for row in rows:
        line = Text.assemble((row.name, "bold"), " = ", _value(row))
        if row.unit:
            line.append(f" {row.unit}", "dim")
        if row.source != "default":
            line.append("  from ", "dim").append_text(_source(row))
        console.print(line)
        console.print(Padding(Text(row.sentence, "dim"), (0, 0, 0, 4)))


def _value(row: _Row) -> Text:
    value = row.value
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    elif isinstance(value, dict):
        value = ", ".join(f"{key}={text}" for key, text in value.items())
    # Numbers as they have to be typed, without separators.
    text = str(value).lower() if isinstance(value, bool) else screen.clean(str(value))
    return Text(text or "(empty)", "" if text else "dim")


def _source(row: _Row) -> Text:
    return Text(screen.clean(row.source), "dim" if row.source == "default" else "green")
