from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch  # noqa: TID253
from torch import nn  # noqa: TID253

from boatseg_core.training import network as networks
from boatseg_core.training.fit import Fitted, fit, resolve
from boatseg_core.training.model import Segmenter
from boatseg_core.training.resume import FILE, load, remaining

STEPS = 7


class Killed(BaseException):
    """Stands in for the kill: nothing in between may catch it."""


def tiny(train: object) -> nn.Module:
    """One convolution, with everything that has a state of its own: buffers and randomness."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.3),
        nn.Conv2d(4, 1, 1),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setattr(networks, "build_network", tiny)


def train(gold, settings, work: Path, *, on_epoch=None, **overrides: object) -> Fitted:
    chosen = resolve(
        settings,
        {"max_steps": STEPS, "validations": 3, "checkpoint_steps": 2, "crop": 32, "batch_size": 2,
         "learning_rate": 0.05, **overrides},
    )  # fmt: skip
    return fit(gold, settings, chosen, work=work, on_epoch=on_epoch, progress=False, resume=True)


def same(left: Fitted, right: Fitted) -> None:
    assert left.best_step == right.best_step
    for one, other in zip(left.history, right.history, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"seconds"}:
            assert one[name] == pytest.approx(other[name], abs=1e-12, nan_ok=True), name
    state = right.network.state_dict()
    for name, value in left.network.state_dict().items():
        assert torch.equal(value, state[name]), name


def kill_at(monkeypatch, batch: int) -> None:
    original, seen = Segmenter.training_step, [0]

    def step(self, *args):
        seen[0] += 1
        if seen[0] == batch:
            raise Killed
        return original(self, *args)

    monkeypatch.setattr(Segmenter, "training_step", step)


@pytest.mark.parametrize(
    "extra", [{}, {"accumulate": 2, "ema_decay": 0.9, "loss": "lovasz"}], ids=["plain", "averaged"]
)
def test_killed_at_any_step_it_ends_the_same(gold, settings, tmp_path, extra):
    whole = train(gold, settings, tmp_path / "whole", **extra)
    for batch in range(1, STEPS * extra.get("accumulate", 1) + 1):
        work = tmp_path / str(batch)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, batch)
            train(gold, settings, work, **extra)
        same(train(gold, settings, work, **extra), whole)


def test_killed_while_validating_and_twice(gold, settings, tmp_path, monkeypatch):
    whole = train(gold, settings, tmp_path / "whole")
    for number in (3, 9):  # images of the first and of the second validation
        original, seen = Segmenter.validation_step, [0]
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):

            def step(self, *args, original=original, seen=seen, number=number):
                seen[0] += 1
                if seen[0] == number:
                    raise Killed
                original(self, *args)

            patch.setattr(Segmenter, "validation_step", step)
            train(gold, settings, tmp_path / "work")
    same(train(gold, settings, tmp_path / "work"), whole)


def test_killed_after_the_last_step_nothing_is_trained_again(gold, settings, tmp_path, monkeypatch):
    whole, told = train(gold, settings, tmp_path), []
    kill_at(monkeypatch, 1)
    again = train(gold, settings, tmp_path, on_epoch=told.append)
    same(again, whole)
    # Whoever listens this time hears all of it.
    assert [pytest.approx(entry, nan_ok=True) for entry in whole.history] == told


def test_only_the_same_training_is_gone_on_with(gold, settings, tmp_path, caplog):
    train(gold, settings, tmp_path)
    other = train(gold, settings, tmp_path, seed=5)
    assert "is of another training" in caplog.text
    same(other, train(gold, settings, tmp_path / "fresh", seed=5))
    (tmp_path / FILE).write_bytes(b"half a fi")
    train(gold, settings, tmp_path)
    assert "cannot be read" in caplog.text
    assert load(tmp_path / "nothing", "x") is None


def test_without_resume_everything_starts_anew(gold, settings, tmp_path, monkeypatch):
    train(gold, settings, tmp_path)
    steps = []
    original = Segmenter.training_step
    monkeypatch.setattr(
        Segmenter, "training_step", lambda s, *a: (steps.append(1), original(s, *a))[1]
    )
    chosen = resolve(settings, {"max_steps": 3, "crop": 32, "batch_size": 2})
    fit(gold, settings, chosen, work=tmp_path, on_epoch=None, progress=False)
    assert len(steps) == 3


@pytest.mark.parametrize(
    ("step", "left"),
    [(0, [2, 3]), (1, [1, 3]), (2, [3]), (4, [1]), (5, [])],
)
def test_what_is_left(step, left):
    assert remaining([2, 3], step) == left


def test_a_process_that_is_killed_is_gone_on_with_by_another(gold, settings, tmp_path):
    """The real thing: SIGKILL between two steps, a new interpreter, the same numbers."""
    whole = train(gold, settings, tmp_path / "whole")
    script = Path(__file__).parents[2] / "support" / "interrupted.py"
    root = str(Path(__file__).parents[3])

    def run(kill: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script), str(settings.home), str(tmp_path / "work"), str(kill)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((root, root + "/tests"))},
            timeout=120,
        )

    killed = run(6)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert load(tmp_path / "work" / FILE, "x") is None  # there, and of another name
    assert (tmp_path / "work" / FILE).exists()
    done = run(0)
    assert done.returncode == 0, done.stderr
    steps, *figures = done.stdout.split()[-4:]
    assert int(steps) < STEPS  # not from the beginning
    assert [float(f) for f in figures] == pytest.approx(
        [whole.history[-1][n] for n in ("train_loss", "valid_loss", "valid_boat_iou")], rel=1e-6
    )


# Early stopping, averaging, accumulation


def test_patience_ends_the_training(gold, settings, tmp_path, monkeypatch):
    scores = iter([0.5, 0.4, 0.5, 0.9, 0.9])
    monkeypatch.setattr("boatseg_core.training.callbacks.selection_score", lambda _: next(scores))
    fitted = train(gold, settings, tmp_path, max_steps=10, validations=5, patience=2)
    # 0.4 and an equal 0.5 are both no better; the equal one is kept, since it has seen more.
    assert [entry["step"] for entry in fitted.history] == [2, 4, 6]
    assert fitted.best_step == 6
    kill_at(monkeypatch, 1)
    again = train(gold, settings, tmp_path, max_steps=10, validations=5, patience=2)
    assert len(again.history) == 3  # it had stopped, and stays so


def test_patience_is_not_given_anew_by_a_kill(gold, settings, tmp_path, monkeypatch):
    scores = {2: 0.5, 4: 0.4, 6: 0.3, 8: 0.9, 10: 0.9}
    told: list[int] = []
    monkeypatch.setattr(
        "boatseg_core.training.callbacks.selection_score", lambda _: scores[2 * len(told) + 2]
    )

    def note(entry):
        told.append(int(entry["step"]))

    patient = {"max_steps": 10, "validations": 5, "patience": 2, "on_epoch": note}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, 6)  # in the stretch after the first validation without a better score
        train(gold, settings, tmp_path, **patient)
    assert told == [2, 4]
    told.clear()
    fitted = train(gold, settings, tmp_path, **patient)
    assert told == [2, 4, 6] and fitted.best_step == 2


def test_the_average_is_what_is_judged_and_kept(gold, settings, tmp_path, monkeypatch):
    seen: list[dict[str, torch.Tensor]] = []
    original = Segmenter.validation_step

    def look(self, *args):
        seen.append({k: v.clone() for k, v in self.network.state_dict().items()})
        original(self, *args)

    weights: list[dict[str, torch.Tensor]] = []
    step = Segmenter.training_step

    def note(self, *args):
        weights.append({k: v.clone() for k, v in self.network.state_dict().items()})
        return step(self, *args)

    monkeypatch.setattr(Segmenter, "validation_step", look)
    monkeypatch.setattr(Segmenter, "training_step", note)
    train(gold, settings, tmp_path, max_steps=3, validations=3, ema_decay=0.5)
    name = "network.0.weight"
    # d is 2/11, 3/12: the ramp of the first steps; weights[k] is before step k.
    average = weights[0][name].lerp(weights[1][name], 1 - 2 / 11)
    torch.testing.assert_close(seen[0][name], average)
    average = average.lerp(weights[2][name], 1 - 3 / 12)
    torch.testing.assert_close(seen[len(seen) // 3][name], average)
    assert not torch.equal(weights[1][name], seen[0][name])  # training went on from the weights


def test_accumulated_gradients_are_those_of_a_larger_batch(gold, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "build_network", lambda train: nn.Conv2d(3, 1, 1))
    monkeypatch.setattr(
        "boatseg_core.training.model.augment", lambda images, masks, generator: (images, masks)
    )
    monkeypatch.setattr(
        "boatseg_core.training.model.build_loss",
        lambda name: nn.BCEWithLogitsLoss(),  # a mean over pixels, so that batches add up
    )

    class Cast(nn.Module):
        def forward(self, logits, target):
            return nn.functional.binary_cross_entropy_with_logits(logits, target.float())

    monkeypatch.setattr("boatseg_core.training.model.build_loss", lambda name: Cast())
    one = train(gold, settings, tmp_path / "1", batch_size=4, max_steps=4, validations=1)
    two = train(
        gold, settings, tmp_path / "2", batch_size=2, accumulate=2, max_steps=4, validations=1
    )
    assert one.history[-1]["step"] == two.history[-1]["step"] == 4
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(value, two.network.state_dict()[name], rtol=1e-4, atol=1e-6)
