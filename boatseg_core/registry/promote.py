"""Move versions into and out of production; every decision leaves an audit row.

Aliases, not stages: ``production`` is what batches and the service use, ``previous`` what it
replaced, ``challenger`` the latest version that was refused or rolled back.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import polars as pl
import pyarrow as pa

from boatseg_core.errors import RegistryError
from boatseg_core.inference.spec import ModelSpec
from boatseg_core.lake import TABLES, Lake
from boatseg_core.registry.connection import connect, reported
from boatseg_core.registry.gate import judge
from boatseg_core.registry.load import fetch, find
from boatseg_core.registry.lookup import CHALLENGER, PREVIOUS, PRODUCTION

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from boatseg_core.config import Settings

log = logging.getLogger(__name__)

Action = Literal["promoted", "forced", "refused", "rolled_back", "unchanged"]


@dataclass(frozen=True)
class Promotion:
    """A decision on a version.

    Attributes:
        name: Name of the registered model.
        version: Version decided on.
        action: ``promoted``, ``forced``, ``refused``, ``rolled_back``, or ``unchanged`` where the
            version was in production already.
        alias: Alias the version has now.
        previous_version: Version that was in production before, if any.
        boat_iou: Mean IoU over test images with objects; NaN where unknown.
        floor: Score of a model that predicts nothing, on the same images; NaN where unknown.
        reason: Why, in a sentence.
    """

    name: str
    version: int
    action: Action
    alias: str
    previous_version: int | None
    boat_iou: float
    floor: float
    reason: str

    @property
    def in_production(self) -> bool:
        """Whether the version is the one in production now."""
        return self.alias == PRODUCTION


def promote(lake: Lake, settings: Settings, version: int, *, force: bool = False) -> Promotion:
    """Put a version into production if it passes the gate, else make it the challenger.

    Args:
        lake: Its table ``promotions`` gets a row.
        settings: Name the registry and the model, and set the gate.
        version: Version to promote.
        force: Promote it although production is better; see
            :func:`boatseg_core.registry.gate.judge`.

    Raises:
        RegistryError: There is no such version, or its files are not as registered.
    """
    name = settings.registry.model_name
    version = find(settings, version)
    # Checked before an alias moves: production never points to files that cannot be loaded.
    candidate = ModelSpec.load(fetch(settings, version))
    client = connect(settings)
    current = _aliased(client, name, PRODUCTION)
    verdict = judge(candidate, _in_production(settings, current), settings.registry, force=force)
    action: Action
    if current == version:
        alias, reason = PRODUCTION, "it is in production already"
        action = "unchanged"
        if not _audited(lake, name, version):  # we were cut off between the alias and its row
            action, reason = "promoted", "it is in production already, without an audit row"
    elif verdict.passed:
        action, alias = ("forced" if verdict.forced else "promoted"), PRODUCTION
        reason = verdict.reason
        _move(client, name, version, replaced=current)
    else:
        action, alias, reason = "refused", CHALLENGER, verdict.reason
        _set(client, name, CHALLENGER, version)
    decision = Promotion(
        name, version, action, alias, current, verdict.boat_iou, verdict.floor, reason
    )
    if action != "unchanged":
        _record(lake, decision)
    return decision


def rollback(lake: Lake, settings: Settings, *, reason: str = "") -> Promotion:
    """Put the previous version back into production; the one it replaces becomes the challenger.

    Args:
        lake: Its table ``promotions`` gets a row.
        settings: Name the registry and the model.
        reason: Why, for the audit row.

    Raises:
        RegistryError: There is no previous version, or its files are not as registered.
    """
    name = settings.registry.model_name
    client = connect(settings)
    current, version = (_aliased(client, name, alias) for alias in (PRODUCTION, PREVIOUS))
    if version is None:
        raise RegistryError(
            f"model {name} has no previous version to go back to: promote a version by its number"
        )
    spec = ModelSpec.load(fetch(settings, version))
    _set(client, name, PRODUCTION, version)
    with reported(f"the alias {PREVIOUS} of model {name} cannot be removed"):
        client.delete_registered_model_alias(name, PREVIOUS)
    if current is not None and current != version:
        _set(client, name, CHALLENGER, current)
    decision = Promotion(
        name,
        version,
        "rolled_back",
        PRODUCTION,
        current,
        spec.metric("boat_iou"),
        spec.metric("floor_per_image_iou"),
        reason or f"rolled back from version {current}",
    )
    _record(lake, decision)
    return decision


def history(lake: Lake, settings: Settings) -> pl.DataFrame:
    """Audit rows of the model, the newest first."""
    return (
        lake.scan("promotions")
        .filter(pl.col("model_name") == settings.registry.model_name)
        .sort("at", descending=True)
        .collect()
    )


def _in_production(settings: Settings, version: int | None) -> ModelSpec | None:
    """Describe production; None where there is none, or where it is damaged and has to go."""
    if version is None:
        return None
    try:
        return ModelSpec.load(fetch(settings, version))
    except RegistryError as error:
        log.warning("version %d in production cannot be compared with: %s", version, error)
        return None


def _move(client: MlflowClient, name: str, version: int, *, replaced: int | None) -> None:
    # In this order a crash in between leaves production where it was, and a way back.
    if replaced is not None:
        _set(client, name, PREVIOUS, replaced)
    _set(client, name, PRODUCTION, version)
    if _aliased(client, name, CHALLENGER) == version:
        with reported(f"the alias {CHALLENGER} of model {name} cannot be removed"):
            client.delete_registered_model_alias(name, CHALLENGER)


def _aliased(client: MlflowClient, name: str, alias: str) -> int | None:
    with reported(f"model {name} cannot be looked up"):
        found = client.get_registered_model(name).aliases.get(alias)
    return None if found is None else int(found)


def _set(client: MlflowClient, name: str, alias: str, version: int) -> None:
    with reported(f"the alias {alias} of model {name} cannot be set to version {version}"):
        client.set_registered_model_alias(name, alias, str(version))


def _audited(lake: Lake, name: str, version: int) -> bool:
    """Whether the newest move into production that was recorded is this version's."""
    moves = (
        lake.scan("promotions")
        .filter(pl.col("model_name") == name, pl.col("alias") == PRODUCTION)
        .sort("at")
        .select(pl.col("model_version").last())
        .collect()
    )
    return bool(moves.item() == version)


def _record(lake: Lake, decision: Promotion) -> None:
    row = {
        "model_name": decision.name,
        "model_version": decision.version,
        "alias": decision.alias,
        "action": decision.action,
        "previous_version": decision.previous_version,
        "boat_iou": None if math.isnan(decision.boat_iou) else decision.boat_iou,
        "floor": None if math.isnan(decision.floor) else decision.floor,
        "reason": decision.reason,
        "at": datetime.now(UTC),
    }
    lake.append("promotions", pa.Table.from_pylist([row], schema=TABLES["promotions"].schema))
    log.info(
        "%s version %d: %s, %s", decision.name, decision.version, decision.action, row["reason"]
    )
