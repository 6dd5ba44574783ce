"""What a user gets who points the pipeline at the wrong things."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import InputError
from boatseg_core.lake import TABLES, Lake
from boatseg_dagster.local import LocalPipeline
from boatseg_dagster.own import _remember, run_own, score


@dataclass
class Recorder:
    """As much of the local pipeline as scoring needs; runs are written down, not done."""

    settings: Settings
    lake: Lake
    ran: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"score_batch": 0.0})

    def run(self, job: str, batch: str) -> None:
        self.ran.append((job, batch))


def put(lake: Lake, table: str, row: dict[str, object]) -> None:
    data = pa.Table.from_pylist([row], TABLES[table].schema)
    lake.replace_batch(table, str(row["batch_id"]), data)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("BOATSEG_HOME", "")
    monkeypatch.delenv("BOATSEG_HOME")
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    drop(tmp_path / "images", "a.jpg", encoded(texture(1)))
    return tmp_path / "images"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return drop(tmp_path, "masks.csv", b"ImageId,EncodedPixels\na.jpg,1 3\n")


def test_a_missing_images_folder(settings: Settings, tmp_path: Path, masks: Path) -> None:
    with pytest.raises(InputError, match="nowhere is not a folder"):
        run_own(settings, tmp_path / "nowhere", masks)


def test_an_empty_images_folder(settings: Settings, tmp_path: Path, masks: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no file that ends in \.jpg"):
        run_own(settings, tmp_path / "empty", masks)


def test_a_missing_csv(settings: Settings, tmp_path: Path, images: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv does not exist"):
        run_own(settings, images, tmp_path / "nothing.csv")


def test_a_csv_without_the_two_columns(settings: Settings, tmp_path: Path, images: Path) -> None:
    wrong = drop(tmp_path, "wrong.csv", b"picture,rle\na.jpg,1 3\n")
    with pytest.raises(InputError, match=r"wrong\.csv.*EncodedPixels"):
        run_own(settings, images, wrong)


def test_a_home_that_belongs_to_other_images(
    settings: Settings, tmp_path: Path, images: Path, masks: Path
) -> None:
    settings.paths.create()
    settings.paths.config_file.write_text('[landing]\nimages = "/elsewhere"\n')
    with pytest.raises(InputError, match="takes its images from /elsewhere"):
        run_own(settings, images, masks)


@pytest.mark.parametrize(
    "name", ["🚢", 'a "quoted" \\ name', "tab\tnew\nline\x01\x1f", "del\x7f", "Küste ñ"]
)
def test_any_name_is_remembered(settings: Settings, tmp_path: Path, name: str, masks: Path) -> None:
    (tmp_path / name).mkdir()

    found = _remember(settings, tmp_path / name, masks)

    assert found.images_folder == tmp_path / name
    assert load_settings(home=settings.paths.root).labels_path == masks
    assert not list(settings.paths.root.glob(".*.part"))


def test_a_name_that_is_no_text(settings: Settings, tmp_path: Path, masks: Path) -> None:
    with pytest.raises(InputError, match="not valid UTF-8"):
        _remember(settings, tmp_path / "\udcff", masks)
    assert not settings.paths.config_file.exists()


@pytest.mark.parametrize(
    ("name", "version", "wanted"),
    [("boatseg", 1, ["b3"]), ("boatseg", 2, ["b1", "b2", "b3"]), ("ships", 1, ["b1", "b2", "b3"])],
)
def test_what_another_model_scored_is_scored_again(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    version: int,
    wanted: list[str],
) -> None:
    """Batches b1 and b2 were scored by version 1 of boatseg, b3 by none."""
    lake = Lake(str(settings.paths.lake))
    for batch in ("b1", "b2", "b3"):
        row = {"image_id": f"{batch}.jpg", "batch_id": batch}
        put(lake, "image_quality", row | {"passed": True})
        if batch != "b3":
            put(lake, "predictions", row | {"model_name": "boatseg", "model_version": 1})
    pipeline = Recorder(
        load_settings(home=settings.paths.root, registry={"model_name": name}), lake
    )
    monkeypatch.setattr("boatseg_dagster.own.version_of", lambda _: version)

    score(cast(LocalPipeline, pipeline))

    assert pipeline.ran == [("score_batch", batch) for batch in wanted]


def test_too_few_images_to_train_on(settings: Settings, images: Path, masks: Path) -> None:
    from boatseg_dagster.local import StageError

    with pytest.raises(StageError, match=r"split of gold version \d+ is empty"):
        run_own(settings, images, masks)
