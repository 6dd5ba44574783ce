from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boatseg_core.config import Settings
from boatseg_core.errors import LakeError
from boatseg_core.lake import TABLES, Lake
from boatseg_core.monitoring.drift import METRICS, ks_distance, measure_drift

SAMPLES = st.lists(st.integers(-20, 20) | st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(SAMPLES, SAMPLES)
def test_distance_is_the_largest_gap_of_the_two_distributions(
    a: list[float], b: list[float]
) -> None:
    by_hand = max(
        abs(sum(x <= t for x in a) / len(a) - sum(x <= t for x in b) / len(b)) for t in a + b
    )
    assert ks_distance(a, b) == pytest.approx(by_hand)
    assert ks_distance(b, a) == pytest.approx(by_hand)


def test_distance_at_its_ends() -> None:
    assert ks_distance([1, 2, 3], [3, 2, 1]) == 0
    assert ks_distance([0, 0, 0], [1]) == 1
    assert ks_distance([0, 0, 0, 1], [0, 1]) == pytest.approx(0.25)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.from_settings(settings)


def write(lake: Lake, name: str, batch_id: str, rows: list[dict[str, object]]) -> int:
    rows = [{"image_id": f"{batch_id}-{i}", "batch_id": batch_id, **r} for i, r in enumerate(rows)]
    return lake.replace_batch(
        name, batch_id, pa.Table.from_pylist(rows, schema=TABLES[name].schema)
    )


def gold(lake: Lake, shift: float = 0.0) -> int:
    rng = np.random.default_rng(1)
    rows: list[dict[str, object]] = [
        {"split": "train", "brightness": float(v) + shift, "boat_area": 10, "boat_count": i % 2}
        for i, v in enumerate(rng.normal(100, 10, 200))
    ]
    other = {"split": "test", "brightness": 1e6, "boat_area": 10**9, "boat_count": 99}
    return write(lake, "gold_dataset", "g1", [*rows, *[other] * 200])


def predictions(lake: Lake, batch_id: str, count: int, mean: float, version: int = 3) -> None:
    rng = np.random.default_rng(2)
    rows: list[dict[str, object]] = [
        {"brightness": float(v), "boat_area": 10, "boat_count": i % 2, "model_version": version}
        for i, v in enumerate(rng.normal(mean, 10, count))
    ]
    write(lake, "predictions", batch_id, rows)


def test_a_batch_like_the_training_images_has_not_drifted(lake: Lake, settings: Settings) -> None:
    version = gold(lake)
    predictions(lake, "b1", 100, 100)
    rows = measure_drift(lake, "b1", settings, gold_version=version, model_version=3)
    assert [row.metric for row in rows] == list(METRICS)
    assert not any(row.drifted for row in rows)
    by_metric = {row.metric: row for row in rows}
    assert 0 < by_metric["brightness"].statistic < 0.2
    assert (by_metric["boat_area"].statistic, by_metric["boat_count"].statistic) == (0, 0)
    assert by_metric["boat_count"].reference_mean == by_metric["boat_count"].batch_mean == 0.5
    assert by_metric["brightness"].reference_mean == pytest.approx(100, abs=2)  # train rows only


def test_a_darker_batch_has_drifted_in_brightness_alone(lake: Lake, settings: Settings) -> None:
    version = gold(lake)
    predictions(lake, "b1", 100, 60)
    rows = measure_drift(lake, "b1", settings, gold_version=version, model_version=3)
    assert {row.metric for row in rows if row.drifted} == {"brightness"}


def test_a_small_batch_is_reported_but_not_judged(lake: Lake, settings: Settings) -> None:
    version = gold(lake)
    predictions(lake, "b1", settings.drift.min_images - 1, 0)
    rows = measure_drift(lake, "b1", settings, gold_version=version, model_version=3)
    assert rows[0].statistic == 1
    assert not any(row.drifted for row in rows)
    predictions(lake, "b1", settings.drift.min_images, 0)
    rows = measure_drift(lake, "b1", settings, gold_version=version, model_version=3)
    assert rows[0].drifted


def test_rows_are_written_and_replaced(lake: Lake, settings: Settings) -> None:
    version = gold(lake)
    for batch_id in ("b1", "b2"):
        predictions(lake, batch_id, 30, 100)
        for _ in range(2):
            rows = measure_drift(lake, batch_id, settings, gold_version=version, model_version=3)
    stored = lake.read("drift")
    assert stored.height == 6
    last = stored.filter(batch_id="b2", metric="brightness").row(0, named=True)
    assert last["statistic"] == rows[0].statistic
    assert (last["images"], last["model_version"], last["gold_version"]) == (30, 3, version)
    assert (last["at"], last["threshold"]) == (rows[0].at, settings.drift.max_shift)


def test_the_reference_is_the_pinned_version(lake: Lake, settings: Settings) -> None:
    version = gold(lake)
    gold(lake, shift=100)
    predictions(lake, "b1", 100, 100)
    rows = measure_drift(lake, "b1", settings, gold_version=version, model_version=3)
    assert not rows[0].drifted
    rows = measure_drift(lake, "b1", settings, gold_version=version + 1, model_version=3)
    assert rows[0].drifted


def test_nothing_to_compare_is_an_error_that_says_what(lake: Lake, settings: Settings) -> None:
    def measure(gold_version: int, model_version: int = 3) -> None:
        measure_drift(lake, "b1", settings, gold_version=gold_version, model_version=model_version)

    with pytest.raises(LakeError, match="b1 has no predictions by model version 3"):
        measure(0)
    predictions(lake, "b1", 30, 100)
    with pytest.raises(LakeError, match=r"gold_dataset at version 0|gold_dataset does not exist"):
        measure(0)
    version = write(lake, "gold_dataset", "g1", [{"split": "valid", "brightness": 1.0}])
    with pytest.raises(LakeError, match="no training image"):
        measure(version)
    with pytest.raises(LakeError, match="by model version 4"):
        measure(version, model_version=4)
    version = write(lake, "gold_dataset", "g1", [{"split": "train", "boat_area": 1}])
    with pytest.raises(LakeError, match="has a brightness"):
        measure(version)
    assert not lake.exists("drift")
