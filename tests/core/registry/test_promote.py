from __future__ import annotations

from collections.abc import Callable

import pytest

from boatseg_core.config import Settings
from boatseg_core.errors import RegistryError
from boatseg_core.inference.spec import MODEL_FILE
from boatseg_core.lake import Lake
from boatseg_core.registry.connection import connect
from boatseg_core.registry.lookup import resolve
from boatseg_core.registry.promote import history, promote, rollback
from boatseg_core.registry.register import RegisteredModel

Add = Callable[..., RegisteredModel]


def aliases(settings: Settings) -> dict[str, int]:
    model = connect(settings).get_registered_model(settings.registry.model_name)
    return {alias: int(version) for alias, version in model.aliases.items()}


def audit(lake: Lake, settings: Settings) -> list[tuple[int, str, str, int | None]]:
    rows = history(lake, settings).reverse()
    return rows.select("model_version", "action", "alias", "previous_version").rows()


def test_a_life(lake: Lake, settings: Settings, add: Add) -> None:
    first = promote(lake, settings, add(boat_iou=0.5).version)
    assert (first.action, first.in_production, first.previous_version) == ("promoted", True, None)
    assert aliases(settings) == {"production": 1}

    assert promote(lake, settings, add(boat_iou=0.6).version).previous_version == 1
    assert aliases(settings) == {"production": 2, "previous": 1}

    refused = promote(lake, settings, add(boat_iou=0.3).version)
    assert (refused.action, refused.in_production) == ("refused", False)
    assert "0.300, is worse than production's 0.600 by more than" in refused.reason
    assert aliases(settings) == {"production": 2, "previous": 1, "challenger": 3}

    assert promote(lake, settings, 3, force=True).action == "forced"
    assert aliases(settings) == {"production": 3, "previous": 2}

    back = rollback(lake, settings, reason="it missed every tanker")
    assert (back.version, back.previous_version) == (2, 3)
    assert aliases(settings) == {"production": 2, "challenger": 3}
    with pytest.raises(RegistryError, match="no previous version"):
        rollback(lake, settings)

    assert promote(lake, settings, 2).action == "unchanged"
    assert audit(lake, settings) == [
        (1, "promoted", "production", None),
        (2, "promoted", "production", 1),
        (3, "refused", "challenger", 2),
        (3, "forced", "production", 2),
        (2, "rolled_back", "production", 3),
    ]
    newest = history(lake, settings).row(0, named=True)
    assert newest["reason"] == "it missed every tanker"
    assert newest["boat_iou"] == 0.6
    assert newest["floor"] == 0.78


def test_a_model_without_metrics_is_refused_and_audited(
    lake: Lake, settings: Settings, add: Add
) -> None:
    version = add(boat_iou=float("nan"), per_image_iou=0.9).version
    assert promote(lake, settings, version, force=True).action == "refused"
    assert history(lake, settings)["boat_iou"].to_list() == [None]


def test_damaged_files_never_reach_production(lake: Lake, settings: Settings, add: Add) -> None:
    promote(lake, settings, add().version)
    damaged = resolve(settings, add(boat_iou=0.9).version)
    (damaged.folder / MODEL_FILE).write_bytes(b"rot")
    with pytest.raises(RegistryError, match="is not the graph"):
        promote(lake, settings, damaged.version)
    assert aliases(settings) == {"production": 1}
    assert history(lake, settings).height == 1


def test_a_damaged_production_can_be_replaced(lake: Lake, settings: Settings, add: Add) -> None:
    promote(lake, settings, add(boat_iou=0.9).version)
    (resolve(settings).folder / MODEL_FILE).unlink()
    assert promote(lake, settings, add(boat_iou=0.5).version).action == "promoted"
    assert resolve(settings).version == 2


def test_unknown_versions_are_named(lake: Lake, settings: Settings, add: Add) -> None:
    with pytest.raises(RegistryError, match="has no 4 version"):
        promote(lake, settings, 4)
    add()
    with pytest.raises(RegistryError, match="has no 4 version"):
        promote(lake, settings, 4)
    with pytest.raises(RegistryError, match="no previous version"):
        rollback(lake, settings)


def test_a_promotion_that_was_cut_off_is_audited_on_the_next_try(
    lake: Lake, settings: Settings, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = add().version

    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="disk full"):
        broken.setattr(lake, "append", full)
        promote(lake, settings, version)
    assert aliases(settings) == {"production": version}
    assert promote(lake, settings, version).action == "promoted"
    assert promote(lake, settings, version).action == "unchanged"
    assert [row[:3] for row in audit(lake, settings)] == [(version, "promoted", "production")]
