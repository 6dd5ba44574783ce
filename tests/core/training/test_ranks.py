"""Several processes that train one model, for real: gloo on this machine's CPU."""

from __future__ import annotations

import json
import math
import multiprocessing
import threading
from contextlib import nullcontext, suppress
from itertools import islice

import pytest
import torch  # noqa: TID253
from support import ranks as support

from boatseg_core.config import load_settings
from boatseg_core.errors import ImageError, TrainingError
from boatseg_core.training import ranks
from boatseg_core.training.callbacks import Judge
from boatseg_core.training.data import _crops
from boatseg_core.training.fit import fit, resolve
from boatseg_core.training.model import Segmenter, Tally
from boatseg_core.training.run import train_and_register

STEPS = 4
KEPT_IN = {"statistics": "network", "average": "average"}  # what the first rank writes


@pytest.fixture
def two(settings):
    """Settings of a short training in two processes."""
    changed = {
        "devices": 2, "max_steps": STEPS, "validations": 2, "batch_size": 2, "crop": 32,
        "device": "cpu", "pretrained": False,
    }  # fmt: skip
    train = settings.train.model_dump(exclude_unset=True) | changed
    return load_settings(home=settings.home, train=train)


@pytest.fixture
def unpatched(monkeypatch):
    """Put back what a recorder changes in this process."""
    for owner, name in (
        (Segmenter, "training_step"),
        (Segmenter, "validation_step"),
        (Judge, "on_validation_end"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))


def test_two_processes_train_one_model(gold, two, monkeypatch, unpatched):
    import mlflow

    monkeypatch.setattr(ranks, "run_rank", support.recorded)
    support.record(two.paths.work / "train", 0)
    done = train_and_register(gold.lake, gold, two, use_tuned=False, progress=False)

    folder = two.paths.work / "train"
    first, second = (json.loads((folder / f"rank-{n}.json").read_text()) for n in (0, 1))
    # Taken together they see the batches that one process would, each batch once.
    loader = _crops(gold, resolve(two))
    alone = [batch["image_id"] for batch in islice(loader.forever(), 2 * STEPS)]
    assert first["crops"] == alone[0::2] and second["crops"] == alone[1::2]
    # Each validation image is looked at by one of them, ...
    valid = gold.index("valid")["image_id"].to_list()
    assert sorted(first["whole"] + second["whole"]) == sorted(valid * 2)
    assert not set(first["whole"]) & set(second["whole"])
    # ... and both come to the same figures, of all images and with the same weights.
    assert json.dumps(first["history"]) == json.dumps(second["history"])
    assert first["history"][-1]["valid_images"] == len(valid)
    assert first["history"][-1]["train_images"] == 2 * 2 * STEPS / 2
    assert first["weights"] == second["weights"] and len(first["weights"]) == 2
    # One run, one model, and nothing that stayed behind.
    client = mlflow.MlflowClient(tracking_uri=two.tracking_uri)
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert done.model.version == 1 and done.result.params["devices"] == 2
    assert len(client.get_metric_history(done.model.run_id, "valid_boat_iou")) == 2
    assert not torch.distributed.is_initialized() and not multiprocessing.active_children()


def test_an_interrupted_training_of_two_goes_on(gold, two, tmp_path):
    chosen = resolve(two, {"checkpoint_steps": 1, "ema_decay": 0.9})
    told: list[dict[str, float]] = []

    class Interrupted(BaseException):
        pass

    def stop(entry):
        told.append(entry)
        raise Interrupted

    with pytest.raises(Interrupted):
        fit(gold, two, chosen, work=tmp_path, on_epoch=stop, progress=False, resume=True)
    assert not multiprocessing.active_children() and not torch.distributed.is_initialized()
    # The judge had spoken, the state after that validation was not written yet.
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert state["step"] == 1 and len(state["ranks"]) == 2
    first, second = (rank["segmenter"]["generator"] for rank in state["ranks"])
    assert not torch.equal(first, second)  # each changes its crops in its own way
    for kept in ("statistics", "average"):  # and has its own statistics of them
        first, second = (rank[kept] for rank in state["ranks"])
        assert first.keys() == second.keys() <= state["network"].keys()
        assert any(not torch.equal(value, second[name]) for name, value in first.items())
        assert all(torch.equal(value, {**state, **state["ema"]}[KEPT_IN[kept]][name])
                   for name, value in first.items())  # fmt: skip

    fitted = fit(gold, two, chosen, work=tmp_path, on_epoch=None, progress=False, resume=True)
    assert [entry["step"] for entry in fitted.history] == [2, 4]
    for name in told[0].keys() - {"seconds"}:
        assert fitted.history[0][name] == pytest.approx(told[0][name], rel=1e-6, nan_ok=True), name
    assert {path.name for path in tmp_path.glob("*.pt*")} == {"best.pt", "resume.pt"}


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        (support.unlucky, ImageError, r"scene-3\.png"),
        (support.killed, TrainingError, "a process of the training was killed, as happens when"),
        (support.stillborn, TrainingError, "process 2 of 2 of the training ended with code 3"),
        (support.echo, TrainingError, "process 2 of the training failed: RuntimeError: Connection"),
    ],
)
def test_what_goes_wrong_elsewhere_is_said_here(
    gold, two, tmp_path, monkeypatch, target, error, says
):
    monkeypatch.setattr(ranks, "run_rank", target)
    monkeypatch.setattr(ranks, "member", lambda job, rank: nullcontext())
    with (
        pytest.raises(error, match=says),
        ranks.together(gold, two, resolve(two), work=tmp_path, resume=False),
    ):
        raise RuntimeError("Connection closed by peer")  # what gloo says of it
    assert not multiprocessing.active_children()


def test_nobody_waits_for_a_rank_that_was_killed_in_a_step(gold, two, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "run_rank", support.killed_between_steps)
    with pytest.raises(TrainingError, match="a process of the training was killed"):
        fit(gold, two, resolve(two), work=tmp_path, on_epoch=None, progress=False)
    assert not multiprocessing.active_children() and not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("target", "wait", "aborted"),
    [(support.killed, 30.0, 1), (support.killed, 0.0, 0), (support.done, 1.0, 0)],
    ids=["waits", "notices", "ended well"],
)
def test_what_waits_for_a_rank_that_is_gone_is_aborted(
    gold, two, tmp_path, monkeypatch, target, wait, aborted
):
    """As nccl would wait; gloo notices by itself."""
    calls, ended = [], threading.Event()
    monkeypatch.setattr(ranks, "abort", lambda: calls.append(ended.set()))
    monkeypatch.setattr(ranks, "_LOOK", 0.02)
    monkeypatch.setattr(ranks, "_NOTICE", 0.2 if wait else 30.0)
    monkeypatch.setattr(ranks, "run_rank", target)
    monkeypatch.setattr(ranks, "member", lambda job, rank: nullcontext())
    with (
        suppress(TrainingError),
        ranks.together(gold, two, resolve(two), work=tmp_path, resume=False),
    ):
        ended.wait(wait)
        for process in multiprocessing.active_children() if aborted else []:
            process.join()
    assert len(calls) == aborted


def test_of_a_failure_and_its_echo_the_failure_is_said(gold, two, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "run_rank", support.echo_and_failure)
    monkeypatch.setattr(ranks, "member", lambda job, rank: nullcontext())
    with (
        pytest.raises(ImageError, match=r"scene-3\.png"),
        ranks.together(gold, two, resolve(two, {"devices": 3}), work=tmp_path, resume=False),
    ):
        raise RuntimeError("Connection closed by peer")


def test_what_the_first_rank_fails_with_is_said_as_it_is(gold, two, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "_LAST_WORDS", 2.0)

    def full(entry):
        raise RuntimeError("file write failed")

    with pytest.raises(RuntimeError, match="file write failed"):
        fit(gold, two, resolve(two), work=tmp_path, on_epoch=full, progress=False)
    assert not multiprocessing.active_children() and not torch.distributed.is_initialized()


def test_what_ends_the_first_rank_ends_the_others(gold, two, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "run_rank", support.endless)
    monkeypatch.setattr(ranks, "member", lambda job, rank: nullcontext())
    threads = torch.get_num_threads()
    with (
        pytest.raises(KeyboardInterrupt),
        ranks.together(gold, two, resolve(two), work=tmp_path, resume=False) as mine,
    ):
        assert mine.threads == 1 and len(multiprocessing.active_children()) == 1
        raise KeyboardInterrupt
    assert not multiprocessing.active_children() and torch.get_num_threads() == threads


def test_devices_that_are_not_there_are_refused(settings, monkeypatch):
    def asked(**train):
        return ranks.device_kind(resolve(settings, train))

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert asked() == asked(devices=2) == "cpu"
    with pytest.raises(TrainingError, match=r"finds no GPU here: set it to auto"):
        asked(device="cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert asked() == "cuda" and asked(device="cpu") == "cpu"
    with pytest.raises(TrainingError, match=r"this machine has 2 GPUs: set it to 2"):
        asked(devices=3)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(TrainingError, match=r"one of 4 .*torchrun.*set train\.devices"):
        ranks.check_launch(resolve(settings))


def test_what_was_counted_goes_on_where_the_network_is():
    told = {"counts": [torch.zeros(2, 3, dtype=torch.int64)], "losses": [torch.zeros(())]}
    tally = Tally()
    tally.restore(told, torch.device("meta"))
    assert {t.device.type for each in tally.state().values() for t in each} == {"meta"}


def test_a_mean_over_no_images_is_none():
    assert math.isnan(Tally().read()["loss"])
