"""The checks on images, run by Dagster on batches that deserve them."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import dagster as dg
import pytest
from support.batches import changed, label
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake
from boatseg_dagster.definitions import build_defs
from boatseg_dagster.resources import Boatseg

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
CHARTS = {
    "rejected_share": {"history"},
    "sizes_and_formats_are_usual": {"chart/format", "chart/size"},
    "brightness_and_contrast_are_usual": {"chart/brightness", "chart/contrast"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings.images_folder.mkdir(parents=True, exist_ok=True)
    return changed(settings, "seal", max_files=1000)


def arrive(lake: Lake, settings: Settings, prefix: str, count: int) -> str:
    for i in range(count):
        picture = texture(1000 * ord(prefix) + i, 160, 160)
        drop(settings.images_folder, f"{prefix}-{i:03}.jpg", encoded(picture))
    (batch,) = seal(lake, settings).batches
    return batch


def run(
    instance: dg.DagsterInstance, boatseg: Boatseg, batch: str, job: str = "ingest_batch"
) -> tuple[bool, dict[str, dg.AssetCheckEvaluation]]:
    instance.add_dynamic_partitions("batches", [batch])
    result = (
        build_defs(boatseg)
        .resolve_job_def(job)
        .execute_in_process(instance=instance, partition_key=batch, raise_on_error=False)
    )
    found = {c.asset_check_key.name: c for c in result.get_asset_check_evaluations()}
    return result.success, found


def values(evaluation: dg.AssetCheckEvaluation) -> dict[str, object]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_an_ordinary_batch_passes_and_shows_its_numbers(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    for prefix in "ab":
        success, _ = run(instance, boatseg, arrive(lake, settings, prefix, 40))
        assert success

    success, checks = run(instance, boatseg, arrive(lake, settings, "c", 40))

    assert success and all(check.passed for check in checks.values())
    complete = checks["every_file_is_accounted_for"]
    assert complete.description == "40 sealed = 40 images + 0 quarantined"
    light = checks["brightness_and_contrast_are_usual"]
    assert light.description == "as in the 2 batches before"
    assert values(light)["images_before"] == 80
    assert 0 < float(str(values(light)["distance/brightness"])) < 0.3
    for name, charts in CHARTS.items():
        for chart in charts:
            text = str(values(checks[name])[chart])
            (data,) = re.findall(r"\(data:image/svg\+xml;base64,([^)]+)\)", text)
            svg = ElementTree.fromstring(base64.b64decode(data))
            assert svg.tag == "{http://www.w3.org/2000/svg}svg"
            assert len(text) < 8_000


def test_a_dark_batch_of_another_size_warns_and_goes_on(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    run(instance, boatseg, arrive(lake, settings, "a", 40))
    for i in range(40):
        picture = texture(i, 200, 300) // 3
        drop(settings.images_folder, f"d-{i}.png", encoded(picture, "PNG"))
    (batch,) = seal(lake, settings).batches

    success, checks = run(instance, boatseg, batch)

    assert success
    for name in ("sizes_and_formats_are_usual", "brightness_and_contrast_are_usual"):
        assert not checks[name].passed and checks[name].severity is WARN
    assert "format is 1.00 away" in str(checks["sizes_and_formats_are_usual"].description)
    assert checks["rejected_share"].passed


def test_a_batch_mostly_rejected_is_broken_until_somebody_looked(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    label(settings, *(f"a-{i:03}.jpg" for i in range(12)))
    instance_run = build_defs(boatseg).resolve_job_def("load_labels")
    assert instance_run.execute_in_process(instance=instance).success
    for i in range(20):
        drop(settings.images_folder, f"bad-{i}.jpg", b"no picture")
    batch = arrive(lake, settings, "a", 12)

    success, checks = run(instance, boatseg, batch)

    rejected = checks["rejected_share"]
    assert not success
    assert not rejected.passed and rejected.severity is ERROR and rejected.blocking
    assert values(rejected)["quarantined"] == {"not_an_image": 20}
    assert values(rejected)["rejected_share"] == pytest.approx(20 / 32)
    assert f"boatseg quarantine list --batch {batch}" in str(rejected.description)
    assert lake.counts("gold_dataset").get(batch, 0) == 0  # nothing of it is trained on
    # Nor with new labels, whose job has no check of images.
    label(settings, *(f"a-{i:03}.jpg" for i in range(12)), file="new.csv")
    assert instance_run.execute_in_process(instance=instance).success
    success, _ = run(instance, boatseg, batch, "rebuild_labels")
    assert not success and lake.counts("gold_dataset").get(batch, 0) == 0

    toml = settings.paths.root / "boatseg.toml"
    toml.write_text(toml.read_text() + "\n[quality]\nbroken_pass_rate = 0.2\n")
    success, checks = run(instance, boatseg, batch)
    assert success
    assert not checks["rejected_share"].passed
    assert checks["rejected_share"].severity is WARN
    assert lake.counts("gold_dataset")[batch] == 12


def test_few_files_never_make_a_broken_batch(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    for i in range(3):
        drop(settings.images_folder, f"bad-{i}.jpg", b"no picture")
    (batch,) = seal(lake, settings).batches

    success, checks = run(instance, boatseg, batch)

    assert success
    assert not checks["rejected_share"].passed and checks["rejected_share"].severity is WARN
    assert "not judged" in str(checks["brightness_and_contrast_are_usual"].description)


def test_duplicates_warn_and_are_named(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    same = encoded(texture(1))
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        drop(settings.images_folder, name, same)
    (batch,) = seal(lake, settings).batches

    success, checks = run(instance, boatseg, batch)

    assert success
    found = checks["duplicates_are_few"]
    assert not found.passed and found.severity is WARN
    assert values(found)["examples"] == ["b.jpg = a.jpg", "c.jpg = a.jpg"]
    assert checks["rejected_share"].passed  # a duplicate is no bad picture
    record = instance.get_latest_materialization_event(dg.AssetKey("image_quality"))
    assert record is not None and record.asset_materialization is not None
    shown = record.asset_materialization.metadata
    assert shown["duplicates"].value == 2
    assert "quality.min_brightness" in str(shown["limits"].value)


def test_a_row_too_many_or_too_few_blocks(
    instance: dg.DagsterInstance,
    boatseg: Boatseg,
    settings: Settings,
    lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from boatseg_dagster.assets import bronze

    batch = arrive(lake, settings, "a", 3)
    real = bronze.ingest_batch

    def lossy(lake: Lake, batch_id: str, settings: Settings) -> object:
        summary = real(lake, batch_id, settings)
        names = lake.table("raw_images").to_pyarrow_dataset().schema.names
        rows = lake.read("raw_images", names, batch_id=batch_id).sort("path")
        lake.replace_batch("raw_images", batch_id, rows[[0, 1, 1]])
        return summary

    monkeypatch.setattr(bronze, "ingest_batch", lossy)
    success, checks = run(instance, boatseg, batch)

    found = checks["every_file_is_accounted_for"]
    assert not success and not found.passed and found.severity is ERROR
    assert values(found)["examples"] == [
        "a-002.jpg: neither in raw_images nor in quarantine",
        "a-001.jpg: more than one row",
    ]
    assert lake.counts("image_quality") == {}  # what comes after did not run
