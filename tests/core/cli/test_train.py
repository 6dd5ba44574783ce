from __future__ import annotations

import fcntl
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_model import write_model

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import InputError
from boatseg_core.imaging import rle
from boatseg_core.inference.predictor import Predictor
from boatseg_core.registry.promote import promote
from boatseg_core.registry.register import register
from boatseg_core.synth import write_dataset
from boatseg_core.training import presets as presets_module
from boatseg_core.training import run as run_module
from boatseg_core.training.presets import Preset, Scenes
from boatseg_core.training.result import TrainResult
from boatseg_core.training.run import TrainedModel

METRICS = {"boat_iou": 0.6, "per_image_iou": 0.9, "floor_per_image_iou": 0.78, "f2": float("nan")}
SMALL = Preset("small", "To test.", {"crop": 64}, Scenes(count=6, seed=8, empty_share=0.5))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What trainings were asked for; instead of one, a model of bright pixels is registered."""
    seen: list[Any] = []

    def train_and_register(lake: Any, gold: Any, settings: Any, **options: Any) -> TrainedModel:
        seen.append(SimpleNamespace(lake=lake, gold=gold, settings=settings, **options))
        folder = tmp_path / f"model-{len(seen)}"
        write_model(folder, cut=0.7, metrics=METRICS)
        params = {"architecture": "tiny", "encoder": "none"}
        result = TrainResult(folder, [], METRICS, params, gold.version, 3.0, 40)
        model = register(folder, settings)
        seen[-1].decision = promote(lake, settings, model.version)
        return TrainedModel(result, model, seen[-1].decision, "", "", "s")

    monkeypatch.setattr(run_module, "train_and_register", train_and_register)
    monkeypatch.setattr(presets_module, "PRESETS", (SMALL,))
    return seen


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep what is registered out of the home that tests share."""
    monkeypatch.setenv("BOATSEG_REGISTRY__TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.usefixtures("registry")
def test_options_reach_the_training_and_its_end_is_told(boatseg, home: Path, asked) -> None:
    args = ("train", "--architecture", "FPN", "--steps", 7, "--home", home)
    result = boatseg(*args)
    assert result.exit_code == 0, result.output
    (one,) = asked
    assert one.overrides == {"architecture": "FPN", "max_steps": 7} and one.use_tuned
    assert one.gold.version == one.lake.table("gold_dataset").version()
    assert "boatseg version 1, alias production" in result.stdout
    assert f"promoted: {one.decision.reason}" in result.stdout
    facts = json.loads(boatseg(*args, "--json", "--no-tuned").stdout)
    assert not asked[1].use_tuned
    assert (facts["version"], facts["action"], facts["metrics"]["f2"]) == (2, "promoted", None)


@pytest.mark.parametrize(
    "command", [("train",), ("train", "--dry-run"), ("tune",), ("gallery",), ("requalify",)]
)
def test_a_home_that_nothing_came_into_says_what_to_do_first(
    boatseg, tmp_path: Path, command: tuple[str, ...]
) -> None:
    home = tmp_path / "home"
    for _ in range(2):  # before and after an ingest of nothing
        result = boatseg(*command, "--home", home)
        assert result.exit_code == 1 and result.stderr.count("\n") == 1
        assert "nothing here yet" in result.stderr and "run `boatseg ingest`" in result.stderr
        assert boatseg("ingest", "--home", home).exit_code == 0


def test_presets_are_listed_and_a_misspelt_one_is_named(boatseg, tmp_path: Path) -> None:
    assert "real-transfer" in boatseg("train", "--list-presets").stdout
    rows = json.loads(boatseg("train", "--list-presets", "--json").stdout)
    assert {row["name"]: row["scenes"] and row["scenes"]["count"] for row in rows} == {
        "quick": None,
        "real-transfer": 1500,
    }
    result = boatseg("train", "--preset", "quik", "--home", tmp_path)
    assert result.exit_code == 2 and "did you mean quick" in result.stderr


def test_a_dry_run_says_where_each_value_is_from(boatseg, home: Path, asked, monkeypatch) -> None:
    monkeypatch.setenv("BOATSEG_TRAIN__MAX_STEPS", "77")
    monkeypatch.setattr("boatseg_core.training.plan.check_splits", lambda gold, splits: None)
    text = boatseg("train", "--dry-run", "--crop", 96, "--home", home).stdout
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if "train." in line}
    assert rows["train.crop"] == ["96", "command", "line"]
    assert rows["train.max_steps"] == ["77", "settings"]
    assert rows["train.loss"] == ["bce_dice", "default"]
    small = json.loads(boatseg("train", "--preset", "small", "--dry-run", "--json").stdout)
    assert small["data"]["scenes"] == 6 and small["train"]["crop"] == 64
    assert not asked


def pairs(folder: Path) -> Path:
    """A folder with pictures and masks as a landing area has them; one picture is empty."""
    write_dataset(folder, count=5, seed=3, empty_share=0.3).csv.rename(folder / "masks.csv")
    image = Image.fromarray(np.full((768, 768, 3), 30, np.uint8))
    image.save(folder / "images" / "flat.jpg")
    with (folder / "masks.csv").open("a") as file:
        file.write("flat.jpg,\n")
    return folder


def test_a_preset_of_scenes_trains_on_its_own_and_measures_on_pairs(
    boatseg, asked, tmp_path: Path, monkeypatch
) -> None:
    folder = pairs(tmp_path / "pairs")
    monkeypatch.setenv("BOATSEG_REAL_SAMPLE", str(folder))
    home = tmp_path / "own"
    result = boatseg("train", "--preset", "small", "--json", "--home", home)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    (one,) = asked
    assert one.gold.index().height == 6 and not one.use_tuned and one.settings.train.crop == 64
    assert facts["model"] == "boatseg-small"
    assert not one.lake.exists("gold_dataset")  # the home's own lake learns of no scene

    masks: dict[str, np.ndarray] = {}
    for row in (folder / "masks.csv").read_text().splitlines()[1:]:
        name, text = row.split(",")
        masks.setdefault(name, np.zeros((768, 768), np.bool_))
        masks[name] |= rle.decode(text, 768, 768)
    predictor = Predictor.load(tmp_path / "model-1")
    for row in facts["pairs"]["images"]:
        (found,) = predictor.predict([(folder / "images" / row["image_id"]).read_bytes()])
        truth, predicted = masks.pop(row["image_id"]), found.mask()
        union = (truth | predicted).sum()
        assert row["iou"] == (
            pytest.approx((truth & predicted).sum() / union) if truth.any() else None
        )
        assert row["extra"] == (predicted & ~truth).sum()
    assert not masks
    page = Path(facts["pairs"]["report"]["page"])
    assert page.is_relative_to(home / "reports") and page.is_file()
    assert not list((home / "work").glob("pairs-*"))

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("scenes that are there are not drawn again")

    monkeypatch.setattr("boatseg_core.synth.write_dataset", refuse)
    again = boatseg("train", "--preset", "small", "--evaluate-on", folder, "--home", home)
    assert again.exit_code == 0, again.output
    assert asked[1].gold.version == one.gold.version
    assert "flat.jpg" in again.stdout and "false alarms" in again.stdout


def test_what_cannot_be_measured_is_refused(boatseg, home: Path, asked, tmp_path: Path) -> None:
    from boatseg_core.cli.train_scenes import pairs_gold
    from boatseg_core.config import load_settings

    def fails(*args: object) -> str:
        result = boatseg("train", *args)
        assert result.exit_code in (1, 2) and not result.stdout and result.stderr.count("\n") == 1
        return result.stderr

    assert "is not a folder" in fails("--preset", "small", "--evaluate-on", tmp_path)
    assert "scenes of its own" in fails("--preset", "small", "--gold-version", 0)
    assert "multiple of 32" in fails("--preset", "small", "--crop", 100)
    assert "nothing here yet" in fails("--home", tmp_path / "new")
    folder = pairs(tmp_path / "pairs")
    (folder / "images" / ".DS_Store").write_bytes(b"of no interest")
    labels = (folder / "masks.csv").rename(tmp_path / "masks.csv")
    assert "only 0 of 6 pictures" in fails("--evaluate-on", folder, "--home", home)
    assert not asked
    labels.rename(folder / "masks.csv")
    (folder / "images" / "flat.jpg").write_bytes(b"no picture")
    settings = load_settings()
    with (
        pytest.raises(InputError, match=r"only 5 of 6 pictures .* can be used \(flat.jpg: "),
        pairs_gold(settings, folder),
    ):
        raise AssertionError
    for path in (folder / "images").iterdir():
        path.write_bytes(b"no picture")
    judging = load_settings(history={"min_images": 2})  # so few make a broken batch, without gold
    with (
        pytest.raises(InputError, match=r"only 0 of 6 pictures .* can be used \([a-z0-9-]+.jpg: "),
        pairs_gold(judging, folder),
    ):
        raise AssertionError
    assert not list(settings.paths.work.glob("pairs-*"))


@pytest.mark.usefixtures("registry")
def test_scenes_of_other_generators_are_deleted_unless_somebody_uses_them(
    boatseg, asked, tmp_path: Path
) -> None:
    scenes = tmp_path / "home" / "work" / "scenes"
    old, used, other = (
        scenes / name for name in ("6-8-0.5-aaaaaaaaaaaa", "9-1-0-bbbbbbbbbbbb", "my-notes")
    )
    for folder in (old, used, other):
        folder.mkdir(parents=True)
        (folder / "drawn").touch()
    with (scenes / f".{used.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as a training does on what it reads
        result = boatseg("train", "--preset", "small")
    assert result.exit_code == 0, result.output
    assert not old.exists() and used.exists() and other.exists()
    assert f"{old} is deleted" in result.stderr and f"{used} stays" in result.stderr
    mine = asked[0].gold.index()
    assert mine.height == 6


def test_scenes_are_held_while_they_are_used(settings_of_home, monkeypatch) -> None:
    from boatseg_core.cli.train_scenes import scenes_gold

    drawn = Scenes(count=2, seed=1, empty_share=0.0)
    with scenes_gold(settings_of_home, drawn) as first, scenes_gold(settings_of_home, drawn):
        # Two may read the same; a newer generator's delete neither.
        monkeypatch.setattr("boatseg_core.synth.generator_digest", lambda: "f" * 64)
        with scenes_gold(settings_of_home, Scenes(count=2, seed=2, empty_share=0.0)):
            assert first.index().height == 2
    monkeypatch.setattr("boatseg_core.synth.generator_digest", lambda: "e" * 64)
    with scenes_gold(settings_of_home, drawn):
        kept = list((settings_of_home.paths.work / "scenes").glob("[0-9]*"))
    assert [folder.name for folder in kept] == ["2-1-0-eeeeeeeeeeee"]


@pytest.fixture
def settings_of_home(tmp_path: Path) -> Settings:
    """Settings of an empty home."""
    return load_settings(home=tmp_path / "scenes-home")
