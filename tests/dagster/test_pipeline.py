"""From files to predictions, through Dagster, for real: a small network on small pictures."""

from __future__ import annotations

import signal
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from support.pictures import drop
from support.scenes import write_scenes

from boatseg_core.config import Settings, load_settings
from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.inference.backlog import unscored_batches
from boatseg_core.lake import Lake
from boatseg_core.registry.lookup import checked, resolve
from boatseg_dagster.local import LocalPipeline, StageError
from boatseg_dagster.own import learn, score

SMALL = (Path(__file__).parent / "small.toml").read_text()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> LocalPipeline:
    """A home on which everything has run once: labelled scenes, a model, scored new scenes."""
    home = tmp_path_factory.mktemp("home")
    (home / "boatseg.toml").write_text(SMALL)
    settings = load_settings(home=home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        patch.setenv("BOATSEG_HOME", str(home))
        pipeline = LocalPipeline(settings, print)
        write_scenes(settings.paths.landing, 40)
        drop(settings.images_folder, "broken.jpg", b"not a picture")
        pipeline.ingest()
        learn(pipeline)
        write_scenes(settings.paths.landing, 6, seed=1, labelled=False)
        pipeline.ingest()
        score(pipeline)
    return pipeline


@pytest.fixture
def lake(pipeline: LocalPipeline) -> Lake:
    return pipeline.lake


@pytest.fixture
def settings(pipeline: LocalPipeline) -> Settings:
    return pipeline.settings


def metadata(pipeline: LocalPipeline, asset: str) -> dict[str, object]:
    record = pipeline.instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert record is not None
    assert record.asset_materialization is not None
    return {key: value.value for key, value in record.asset_materialization.metadata.items()}


def test_every_file_is_in_bronze_or_quarantine(lake: Lake) -> None:
    assert lake.read("files").height == 47
    assert lake.read("raw_images").height == 46
    assert lake.read("quarantine")["path"].to_list() == ["broken.jpg"]


def test_gold_has_the_labelled_images(lake: Lake) -> None:
    gold = lake.read("gold_dataset")
    assert gold.height == 40
    assert gold["boat_count"].sum() == 20
    assert (gold["boat_area"].filter(gold["boat_count"] == 1) == 24 * 60).all()


def test_the_model_in_production_learned_something(settings: Settings) -> None:
    model = resolve(settings)
    metrics = checked(model).metrics
    assert model.version == 1
    assert (metrics["boat_iou"] or 0) > 0.3
    assert (metrics["per_image_iou"] or 0) > (metrics["floor_per_image_iou"] or 0)


def test_the_version_remembers_its_data_and_its_run(
    pipeline: LocalPipeline, settings: Settings
) -> None:
    from boatseg_core.registry.connection import connect

    client = connect(settings)
    version = client.get_model_version("boatseg", "1")
    run = client.get_run(version.run_id)
    gold = str(metadata(pipeline, "trained_model")["gold_version"])
    assert run.data.tags["gold_version"] == gold
    assert {"valid_per_image_iou", "valid_dataset_iou", "train_per_image_iou"} <= set(
        run.data.metrics
    )
    assert run.inputs.dataset_inputs[0].dataset.name == "gold_dataset"
    trials = client.search_runs([run.info.experiment_id], "tags.`mlflow.runName` LIKE 'trial-%'")
    assert len(trials) == 2


def test_predictions_cover_every_image_by_the_version_in_production(lake: Lake) -> None:
    predictions = lake.read("predictions")
    assert predictions.height == 46
    assert predictions["model_version"].unique().to_list() == [1]
    assert unscored_batches(lake) == []


def test_drift_was_measured_for_every_batch(lake: Lake) -> None:
    drift = lake.read("drift")
    assert set(drift["metric"]) == {"brightness", "boat_area", "boat_count"}
    assert drift["batch_id"].n_unique() == lake.read("files")["batch_id"].n_unique()


@pytest.mark.parametrize(
    ("asset", "keys"),
    [
        (
            "raw_images",
            {
                "pictures",
                "quarantined",
                "quarantine_examples",
                "sealed_files",
                "new_versions",
                "images_per_second",
                "megabytes_per_second",
            },
        ),
        ("image_quality", {"passed", "pass_rate", "criteria", "duplicates", "limits"}),
        ("raw_masks", {"files", "label_version"}),
        ("rasterized_masks", {"boats"}),
        ("gold_dataset", {"dagster/column_lineage", "splits", "pictures"}),
        ("batch_predictions", {"pictures", "model", "boats"}),
        ("drift", {"distance/brightness", "model_version"}),
    ],
)
def test_tables_report_rows_version_and_pictures(
    pipeline: LocalPipeline, asset: str, keys: set[str]
) -> None:
    # The newest batch has no labels and no bad file: look at the first.
    first = min(pipeline.lake.counts("raw_images"))
    records = pipeline.instance.fetch_materializations(dg.AssetKey(asset), limit=10).records
    events = [r.asset_materialization for r in records if r.asset_materialization]
    event = next(e for e in events if e.partition in (first, None))
    found = event.metadata

    assert {"dagster/row_count", "dagster/partition_row_count", "delta_version"} <= set(found)
    assert keys - {"quarantined"} <= set(found)
    assert event.tags["dagster/data_version"] == str(found["delta_version"].value)
    for name, value in found.items():
        if name == "pictures":
            assert "data:image/" in str(value.value)
            assert len(str(value.value)) < 200_000


def test_the_model_shows_its_curve_and_its_mistakes(pipeline: LocalPipeline) -> None:
    found = metadata(pipeline, "trained_model")
    for name in ("curve", "prediction_against_truth"):
        assert "data:image/" in str(found[name])
        assert len(str(found[name])) < 200_000


def test_checks_ran_and_passed_where_they_gate(pipeline: LocalPipeline) -> None:
    pipeline.run("keep_lake")  # weekly, and here on tables that a whole pipeline has written
    graph = pipeline.definitions.resolve_asset_graph()
    gates = {
        "every_file_is_accounted_for",
        "gold_rows_are_complete",
        "no_group_in_two_splits",
        "beats_predicting_nothing",
        "predictions_cover_the_batch",
        "lake_is_sound",
    }
    seen = set()
    for key in graph.asset_check_keys:
        history = pipeline.instance.event_log_storage.get_asset_check_execution_history(key, 10)
        assert history, f"{key.name} never ran"
        if key.name in gates:
            assert {record.status.value for record in history} == {"SUCCEEDED"}
            seen.add(key.name)
    assert seen == gates


def test_running_again_reads_nothing_twice(
    pipeline: LocalPipeline, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: lake.version(name) for name in ("files", "raw_images", "raw_masks")}

    assert pipeline.ingest() == 0

    assert {name: lake.version(name) for name in before} == before


def test_a_failed_step_is_told_in_one_sentence(pipeline: LocalPipeline) -> None:
    pipeline.instance.add_dynamic_partitions("batches", ["20000101-000001"])
    with pytest.raises(StageError, match=r"failed in raw_images: .*20000101-000001 is not in the"):
        pipeline.run("ingest_batch", "20000101-000001")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_is_told_as_one(
    pipeline: LocalPipeline,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    sent: signal.Signals,
) -> None:
    write_scenes(settings.paths.landing, 1, seed=8, labelled=False)
    with monkeypatch.context() as patch:

        def interrupted(*_: object, **__: object) -> None:
            signal.raise_signal(sent)

        patch.setattr("boatseg_dagster.assets.silver.group_batch", interrupted)
        with pytest.raises(StageError, match=r"was interrupted in image_groups: run this again"):
            pipeline.ingest()

    assert pipeline.ingest() == 1


def test_the_page_of_predictions_puts_unseen_images_first(
    pipeline: LocalPipeline, lake: Lake, tmp_path: Path
) -> None:
    from boatseg_core.gallery.predictions import write_predictions_page

    page = write_predictions_page(lake, tmp_path / "page.html", title="Test", limit=10)

    html = page.read_text()
    unseen = lake.read("predictions").join(
        lake.read("gold_dataset").filter(pl.col("split") != "test"), on="image_id", how="anti"
    )
    assert sum(name in html for name in unseen["image_id"]) == min(10, unseen.height)


def test_what_has_just_failed_is_tried_again_at_once(
    pipeline: LocalPipeline, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(settings.paths.landing, 2, seed=7, labelled=False)
    with monkeypatch.context() as patch:

        def fail(*_: object, **__: object) -> None:
            raise OSError("the disk is on fire")

        patch.setattr("boatseg_dagster.assets.silver.group_batch", fail)
        with pytest.raises(StageError, match=r"failed in image_groups: .*the disk is on fire"):
            pipeline.ingest()

    assert pipeline.ingest() == 1
    assert outdated_batches(lake, settings) == {}
