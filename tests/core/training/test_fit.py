from __future__ import annotations

import logging
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253

from boatseg_core.dataset.stream import GoldStream
from boatseg_core.errors import ImageError, LakeError, TrainingError
from boatseg_core.inference.predictor import Predictor
from boatseg_core.inference.spec import ModelSpec
from boatseg_core.metrics import IouAccumulator, selection_score
from boatseg_core.training import fit as fit_module
from boatseg_core.training.fit import check_splits, epoch_lengths, fit, resolve, train
from boatseg_core.training.model import Segmenter, pixel_counts
from boatseg_core.training.operating_point import THRESHOLDS


def test_train_gives_a_folder_that_the_predictor_loads(gold, settings, tmp_path, capsys):
    told = []
    result = train(gold, settings, work=tmp_path / "work", on_epoch=told.append)
    assert result.history == told and [entry["step"] for entry in told] == [2, 4]
    assert result.gold_version == gold.version and result.best_step in (2, 4)
    assert result.metrics["images"] == 5 and result.metrics["boat_images"] == 3
    assert result.metrics["floor_per_image_iou"] == pytest.approx(2 / 5)
    assert result.params["max_steps"] == 4 and result.params["threshold"] in THRESHOLDS
    for entry in told:
        assert entry["train_images"] == 2 * 4 and entry["valid_images"] == 5
        assert entry["score"] == pytest.approx(
            selection_score(
                {n: entry[f"valid_{n}"] for n in ("boat_iou", "empty_false_positive_rate")}
            )
        )
        assert math.isfinite(entry["train_loss"]) and entry["seconds"] > 0
    assert told[0]["learning_rate"] > told[1]["learning_rate"] >= 0

    spec = ModelSpec.load(result.folder)
    assert spec.gold_version == gold.version and spec.params["crop"] == 64
    assert spec.threshold == result.params["threshold"]
    assert spec.metric("boat_iou") == pytest.approx(result.metrics["boat_iou"])
    predictions = Predictor.load(result.folder).predict_arrays([np.zeros((100, 70, 3), np.uint8)])
    assert predictions[0].mask().shape == (100, 70)
    # A log file gets one line a validation, with the floor in it.
    lines = [line for line in capsys.readouterr().err.splitlines() if "boat IoU" in line]
    assert len(lines) == 2 and all("predicting nothing 0.400" in line for line in lines)


@pytest.mark.parametrize(("architecture", "side"), [("PSPNet", 32), ("UPerNet", 32), ("PAN", 128)])
def test_networks_that_pool_to_grids_are_trained_and_served(
    architecture, side, gold, settings, tmp_path
):
    result = train(
        gold,
        settings,
        overrides={
            "architecture": architecture,
            "encoder": "tu-test_resnet",
            "pretrained": False,
            "max_steps": 2,
            "validations": 1,
        },
        work=tmp_path,
        progress=False,
    )
    predictor = Predictor.load(result.folder)
    assert (predictor.spec.architecture, predictor.spec.multiple) == (architecture, side)
    assert result.metrics["images"] == 5
    generator = np.random.default_rng(0)
    for shape in ((100, 70, 3), (33, 200, 3), (7, 5, 3)):
        image = generator.integers(0, 256, shape, np.uint8)
        assert predictor.logits(image).shape == shape[:2]
        (answer,) = predictor.predict_arrays([image])
        assert answer.mask().shape == shape[:2]


def test_a_longer_training_finds_the_boats(write_gold, settings, tmp_path):
    gold = write_gold(train=(24, 8), valid=(4, 2), test=(6, 4))
    result = train(
        gold,
        settings,
        overrides={"max_steps": 60, "learning_rate": 3e-3, "batch_size": 8},
        work=tmp_path,
        progress=False,
    )
    assert result.metrics["boat_iou"] > 0.6
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    fitted = ModelSpec.load(result.folder).score_calibration
    assert fitted is not None and fitted.objects >= fitted.true > 0
    metrics = result.metrics
    assert metrics["f2_low"] <= metrics["f2"] <= metrics["f2_high"]


def test_the_seed_decides_everything(gold, settings, tmp_path):
    first, again, other = (
        fit(
            gold,
            settings,
            resolve(settings, {"seed": seed, "threads": threads, "augment": "strong"}),
            work=tmp_path / str(number),
            on_epoch=None,
            progress=False,
        )
        for number, (seed, threads) in enumerate(((1, 1), (1, 3), (2, 1)))
    )
    drop = {"seconds"}

    def shown(history):
        return [{k: v for k, v in entry.items() if k not in drop} for entry in history]

    assert shown(first.history) == shown(again.history) != shown(other.history)
    weights = again.network.state_dict()
    assert all(torch.equal(v, weights[n]) for n, v in first.network.state_dict().items())


def test_the_best_weights_come_back_and_not_the_last(gold, settings, tmp_path, monkeypatch):
    scores = iter([0.5, 0.1])
    monkeypatch.setattr("boatseg_core.training.callbacks.selection_score", lambda _: next(scores))
    kept = []
    original = Segmenter.reset_train

    def remember(self):
        kept.append({k: v.clone() for k, v in self.network.state_dict().items()})
        original(self)

    monkeypatch.setattr(Segmenter, "reset_train", remember)
    fitted = fit(gold, settings, resolve(settings), work=tmp_path, on_epoch=None, progress=False)
    assert fitted.best_step == 2
    found = fitted.network.state_dict()
    assert all(torch.equal(found[name], kept[0][name]) for name in found)
    assert not all(torch.equal(found[name], kept[1][name]) for name in found)
    assert not fitted.network.training


def test_pixel_counts_are_those_of_the_metrics():
    logits = torch.randn(3, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    masks = (torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(1)) < 0.4).to(
        torch.uint8
    )
    counts = pixel_counts(logits, masks, 0.2)
    by_count, by_mask = IouAccumulator(), IouAccumulator()
    by_count.update_counts(*counts.numpy().T)
    for logit, mask in zip(logits, masks, strict=True):
        by_mask.update((logit[0] > 0.2).numpy(), mask[0].numpy())
    assert by_count.compute() == pytest.approx(by_mask.compute(), nan_ok=True)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({}, "gold version 0 is empty: .*boatseg status.*run `boatseg ingest`"),
        ({"valid": (1, 1), "test": (1, 1)}, "train split .* is empty"),
        ({"train": (0, 3), "valid": (1, 1), "test": (1, 1)}, "train split .* no image with an obj"),
        ({"train": (2, 2), "valid": (0, 2), "test": (1, 1)}, "valid split .* no image with an obj"),
        ({"train": (2, 2), "valid": (1, 1)}, "test split .* is empty.*split.test_share"),
    ],
)
def test_splits_that_teach_nothing_are_refused_before_any_work(
    write_gold, settings, tmp_path, counts, says
):
    with pytest.raises(TrainingError, match=says):
        train(write_gold(**counts), settings, work=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_training_without_empty_images_works(write_gold, settings, tmp_path):
    gold = write_gold(train=(4, 0), valid=(1, 0), test=(1, 0))
    check_splits(gold, ("train", "valid", "test"))
    result = train(gold, settings, work=tmp_path, progress=False)
    assert math.isnan(result.metrics["empty_false_positive_rate"])
    # JSON has no NaN: the model folder says null and can be read again.
    assert math.isnan(ModelSpec.load(result.folder).metric("empty_false_positive_rate"))


def test_a_loss_that_is_no_number_names_step_and_images(gold, settings, tmp_path):
    with pytest.raises(
        TrainingError,
        match=r"loss became .* in batch \d+, at step \d+ \(images scene-.*learning.*no weights",
    ):
        fit(
            gold,
            settings,
            resolve(settings, {"learning_rate": 1e30, "max_steps": 8, "validations": 1}),
            work=tmp_path,
            on_epoch=None,
            progress=False,
        )


def test_the_last_good_weights_outlive_a_loss_that_is_no_number(
    gold, settings, tmp_path, monkeypatch
):
    """Weights are spoilt after the first validation: neither file may ever hold them."""
    original, seen = Segmenter.training_step, [0]

    def step(self, batch, index):
        seen[0] += 1
        if seen[0] == 5:  # the loss is a number, its gradient is none: the step spoils the weights
            next(self.network.parameters()).register_hook(lambda gradient: gradient * math.nan)
        return original(self, batch, index)

    monkeypatch.setattr(Segmenter, "training_step", step)
    chosen = resolve(settings, {"max_steps": 8, "checkpoint_steps": 1})
    with pytest.raises(TrainingError, match=r"best weights so far, of step 4, are kept in .*best"):
        fit(gold, settings, chosen, work=tmp_path, on_epoch=None, progress=False)
    kept = torch.load(tmp_path / "best.pt", weights_only=True)
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert state["step"] == 4
    for weights in (kept, state["network"]):
        assert all(value.isfinite().all() for value in weights.values())


def test_what_on_epoch_raises_ends_the_training(gold, settings, tmp_path):
    class Enough(Exception):
        pass

    def stop(entry):
        raise Enough

    with pytest.raises(Enough):
        train(gold, settings, work=tmp_path, on_epoch=stop, progress=False)


def test_control_c_passes_through_and_works_again(gold, settings, tmp_path):
    def press(entry):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(gold, settings, work=tmp_path, on_epoch=press, progress=False)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_image_that_no_longer_decodes_is_named(gold, settings, tmp_path, monkeypatch):
    from boatseg_core.dataset import reader

    def broken(data, **_):
        raise ImageError("truncated", "the stream ends early")

    monkeypatch.setattr(reader, "decode", broken)
    with pytest.raises(ImageError, match=r"scene-\d+\.png"):
        train(gold, settings, work=tmp_path, progress=False)


def test_a_version_whose_files_are_gone_is_refused(gold, settings, tmp_path):
    for file in Path(gold.lake.root).rglob("*.parquet"):
        file.unlink()
    with pytest.raises(LakeError, match=r"version 1 .* is gone \(vacuumed\?\): use a newer"):
        train(gold, settings, work=tmp_path, progress=False)
    with pytest.raises(LakeError, match=r"version 1 .* is gone"):
        next(gold.samples("valid", threads=1))
    with pytest.raises(LakeError, match=r"version 1 .*\.parquet is gone"):
        GoldStream(gold.lake, gold.version, "valid")


def test_out_of_memory_says_a_batch_size(gold, settings, tmp_path, monkeypatch):
    def greedy(self, batch, batch_idx):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Segmenter, "training_step", greedy)
    monkeypatch.setattr("boatseg_core.training.memory.largest_batch", lambda *_, **__: 3)
    with pytest.raises(TrainingError, match=r"3 fit: set train\.batch_size to 3"):
        train(gold, settings, work=tmp_path, progress=False)


def test_out_of_memory_on_whole_images_names_their_size(gold, settings, tmp_path, monkeypatch):
    original = Segmenter.forward

    def greedy(self, images):
        original(self, images)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Segmenter, "forward", greedy)
    with pytest.raises(TrainingError, match=r"whole validation images .*128x128 px.*max_width"):
        fit(gold, settings, resolve(settings), work=tmp_path, on_epoch=None, progress=False)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"crop": 100}, "multiple of 32: set it to 96"),
        ({"los": "bce_dice"}, "train.los"),
        ({"learning_rate": -1}, "train.learning_rate"),
    ],
)
def test_overrides_are_checked(settings, overrides, says):
    with pytest.raises(TrainingError, match=says):
        resolve(settings, overrides)


@pytest.mark.parametrize(
    ("steps", "validations", "lengths"),
    [(10, 3, [3, 3, 4]), (2, 5, [1, 1]), (100, 1, [100]), (1, 1, [1])],
)
def test_validations_are_spread_and_the_last_is_at_the_end(steps, validations, lengths):
    assert epoch_lengths(steps, validations) == lengths


def test_lightning_stays_quiet(gold, settings, tmp_path, capfd, recwarn):
    fit(gold, settings, resolve(settings), work=tmp_path, on_epoch=None, progress=False)
    out, err = capfd.readouterr()
    assert out == "" and err == ""
    assert logging.getLogger("pytorch_lightning").level != logging.ERROR
    assert [str(w.message) for w in recwarn if "lightning" in str(w.filename)] == []


def test_importing_the_entrance_is_cheap():
    code = (
        "import sys, boatseg_core.training.fit, boatseg_core.training.tune, "
        "boatseg_core.training.tracking, boatseg_core.training.export, "
        "boatseg_core.training.operating_point, boatseg_core.training.network, "
        "boatseg_core.training.losses\n"
        "heavy = {'torch', 'pytorch_lightning', 'mlflow', 'optuna', 'onnxruntime', 'timm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(fit_module.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"
