"""A click group that knows what its commands are called without importing them."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from boatseg_core.errors import ConfigError

ENTRY_POINT_GROUP = "boatseg.commands"
"""Packages above ours add commands here; each target is a :class:`click.Command`."""


@dataclass(frozen=True)
class Entry:
    """A command of the house.

    Attributes:
        summary: What the list of commands says about it.
        section: Heading it is listed under.
        target: ``module:attribute`` of the :class:`click.Command`; empty for a command that
            arrives through :data:`ENTRY_POINT_GROUP`, and is listed only where it does.
    """

    summary: str
    section: str
    target: str = ""


class LazyGroup(click.Group):
    """Lists its commands from a catalogue and imports one when it is asked for.

    A command of another package is listed under the last heading by the name of its distribution,
    unless the catalogue knows better.
    """

    def __init__(self, *args: Any, catalogue: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.catalogue = dict(catalogue)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the catalogue's order, then those of other packages."""
        added = extensions()
        own = [name for name, entry in self.catalogue.items() if entry.target or name in added]
        return own + sorted(added.keys() - self.catalogue.keys())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command.

        Raises:
            ConfigError: A package that adds it is not installed completely.
        """
        entry = self.catalogue.get(cmd_name)
        if entry is not None and entry.target:
            module, _, attribute = entry.target.partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        point = extensions().get(cmd_name)
        return None if point is None else _load(point)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the ones it may have been meant for."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=2)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands under their headings, from the catalogue alone."""
        points = extensions()
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            entry = self.catalogue.get(name) or Entry(_origin(points[name]), "From other packages")
            sections.setdefault(entry.section, []).append((name, entry.summary))
        width = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def extensions() -> dict[str, EntryPoint]:
    """Commands that installed packages add, by name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _origin(point: EntryPoint) -> str:
    return f"Added by {point.dist.name}." if point.dist else f"Added by {point.module}."


def _load(point: EntryPoint) -> click.Command:
    try:
        command = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"boatseg {point.name} needs {point.module}, which cannot be imported ({error}): "
            "install boatseg with all its dependencies"
        ) from error
    if not isinstance(command, click.Command):
        raise ConfigError(f"{point.value} is not a command: {point.name} cannot be run")
    return command
