"""``boatseg models``, ``promote`` and ``rollback``: which version is in force, and why."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from boatseg_core.cli import screen
from boatseg_core.cli.failure import FAILED
from boatseg_core.cli.options import current_settings, home_option, json_option, open_lake

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.registry.promote import Promotion

_METRICS = (
    "boat_iou",
    "f2",
    "empty_false_positive_rate",
    "per_image_iou",
    "floor_per_image_iou",
    "dataset_iou",
)


@click.command()
@json_option
@home_option
def models(as_json: bool) -> None:
    """List the versions with their aliases and test metrics, and the audit of promotions."""
    from boatseg_core.registry.lookup import NoRegistryError
    from boatseg_core.registry.promote import history

    settings = current_settings()
    try:
        versions = _versions(settings)
    except NoRegistryError as error:
        versions, hint = [], str(error)
    else:
        hint = (
            f"no version of {settings.registry.model_name} is registered yet: `boatseg train` "
            "registers one"
        )
    audit = history(open_lake(settings), settings)
    if as_json:
        found = {"versions": versions, "promotions": audit.to_dicts()}
        click.echo(json.dumps(found, indent=2, default=str))
        return
    if not versions:
        screen.note(hint)
    else:
        _print_versions(versions, settings)
    if audit.height:
        screen.say("")
        screen.print_table(
            ("at (UTC)", "version", "action", "before", "why"),
            [
                (
                    row["at"],
                    row["model_version"],
                    _action(row["action"]),
                    row["previous_version"],
                    row["reason"],
                )
                for row in audit.iter_rows(named=True)
            ],
            title="promotions",
            right=("version", "before"),
            fold=("why",),
        )


@click.command()
@click.argument("version", type=click.IntRange(1))
@click.option(
    "--force",
    is_flag=True,
    help="Promote it although production is better. Overrules that comparison alone: it still has "
    "to beat the model that predicts nothing, and to reach registry.min_boat_iou.",
)
@home_option
def promote(version: int, force: bool) -> None:
    """Put VERSION into production if it passes the gate.

    It has to beat the model that predicts nothing, to reach registry.min_boat_iou, and not to be
    worse than production on pixels, on objects or on empty images (registry.max_iou_drop,
    max_f2_drop, max_false_alarm_rise). A version that is refused becomes the challenger, and the
    exit code is 1.
    """
    settings = current_settings()
    _open_registry(settings)
    from boatseg_core.registry.promote import promote as decide

    decision = decide(open_lake(settings), settings, version, force=force)
    _print_decision(decision)
    click.get_current_context().exit(0 if decision.in_production else FAILED)


@click.command()
@click.option("--reason", default="", help="Why, for the audit.")
@home_option
def rollback(reason: str) -> None:
    """Put the version that was in production before back there."""
    settings = current_settings()
    _open_registry(settings)
    from boatseg_core.registry.promote import rollback as go_back

    _print_decision(go_back(open_lake(settings), settings, reason=reason))


def _open_registry(settings: Settings) -> None:
    """Refuse a registry that is not there: mlflow would create an empty one.

    Raises:
        NoRegistryError: Nothing was ever registered.
    """
    from boatseg_core.registry.lookup import PRODUCTION, SqliteStore

    if settings.tracking_uri.startswith("sqlite:"):
        SqliteStore(settings.tracking_uri).aliased(settings.registry.model_name, PRODUCTION)
    for name in ("mlflow", "alembic"):  # their remarks on themselves are none of the user's
        logging.getLogger(name).setLevel(logging.WARNING)


def _versions(settings: Settings) -> list[dict[str, Any]]:
    """Every version, the newest first."""
    _open_registry(settings)
    from boatseg_core.registry.connection import connect, reported

    client, name = connect(settings), settings.registry.model_name
    with reported(f"the versions of model {name} cannot be listed"):
        found = client.search_registered_models(filter_string=f"name = '{name}'")
        aliases = {alias: int(v) for model in found for alias, v in model.aliases.items()}
        versions = client.search_model_versions(filter_string=f"name = '{name}'")
    return [
        {
            "name": name,
            "version": int(one.version),
            "aliases": sorted(a for a, version in aliases.items() if version == int(one.version)),
            "metrics": {
                key: float(one.tags[f"metric.{key}"])
                for key in _METRICS
                if f"metric.{key}" in one.tags
            },
            "gold_version": one.tags.get("gold_version"),
            "architecture": one.tags.get("architecture"),
            "encoder": one.tags.get("encoder"),
            "run_id": one.run_id,
            "created_at": _time(one.creation_timestamp),
        }
        for one in sorted(versions, key=lambda one: -int(one.version))
    ]


def _time(milliseconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def _print_versions(versions: list[dict[str, Any]], settings: Settings) -> None:
    from datetime import datetime

    screen.print_table(
        (
            "version",
            "alias",
            "boat IoU",
            "F2",
            "alarms",
            "image IoU",
            "nothing",
            "gold",
            "registered (UTC)",
        ),
        [
            (
                row["version"],
                Text(", ".join(row["aliases"]), "green" if "production" in row["aliases"] else ""),
                row["metrics"].get("boat_iou"),
                row["metrics"].get("f2"),
                row["metrics"].get("empty_false_positive_rate"),
                row["metrics"].get("per_image_iou"),
                row["metrics"].get("floor_per_image_iou"),
                row["gold_version"],
                f"{datetime.fromisoformat(row['created_at']):%Y-%m-%d %H:%M}",
            )
            for row in versions
        ],
        title=f"{settings.registry.model_name} ({settings.labels.class_name})",
        right=("version", "boat IoU", "F2", "alarms", "image IoU", "nothing", "gold"),
        fold=("registered (UTC)",),
    )
    screen.note(
        "alarms: share of empty images in which anything is predicted; nothing: the image IoU of a "
        "model that predicts nothing, on the same images"
    )


def _print_decision(decision: Promotion) -> None:
    line = Text.assemble(f"{decision.name} version {decision.version}: ", _action(decision.action))
    line.append(f" ({decision.alias}) – {screen.clean(decision.reason)}")
    screen.out().print(line, soft_wrap=True)


def _action(action: str) -> Text:
    styles = {"promoted": "green", "forced": "yellow", "refused": "red", "rolled_back": "yellow"}
    return Text(action.replace("_", " "), styles.get(action, ""))
