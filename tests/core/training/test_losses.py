from __future__ import annotations

import math

import pytest
import torch  # noqa: TID253
from hypothesis import given, settings
from hypothesis import strategies as st

from boatseg_core.config.sections import Train
from boatseg_core.training.losses import build_loss
from boatseg_core.training.losses.bce_dice import bce_dice
from boatseg_core.training.losses.dice import dice
from boatseg_core.training.losses.focal_dice import focal_dice

NAMES = ["bce_dice", "focal_dice"]
LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=8, max_size=8)
TARGET = st.lists(st.integers(0, 1), min_size=8, max_size=8)


def slow(logits: list[float], target: list[int], *, focal: bool) -> float:
    """The same from plain floats."""
    p = [1 / (1 + math.exp(-x)) for x in logits]
    parts = []
    for pi, t in zip(p, target, strict=True):
        right = pi if t else 1 - pi
        entropy = -math.log(right)
        weight = (0.75 if t else 0.25) * (1 - right) ** 2 * 10 if focal else 1.0
        parts.append(weight * entropy)
    both = sum(pi * t for pi, t in zip(p, target, strict=True))
    overlap = 1 - (2 * both + 1) / (sum(p) + sum(target) + 1)
    return sum(parts) / len(parts) + overlap


@settings(deadline=None)
@given(LOGITS, TARGET)
def test_agree_with_plain_arithmetic(logits, target):
    x, t = torch.tensor(logits).view(2, 1, 2, 2), torch.tensor(target).view(2, 1, 2, 2)
    assert float(bce_dice(x, t)) == pytest.approx(slow(logits, target, focal=False), rel=1e-3)
    assert float(focal_dice(x, t)) == pytest.approx(slow(logits, target, focal=True), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_right_is_better_than_wrong_and_gradients_are_finite(name):
    loss = build_loss(name)
    target = torch.zeros(2, 1, 8, 8)
    target[0, :, 2:5, 2:5] = 1
    right = ((target * 2 - 1) * 12).requires_grad_()
    wrong = ((1 - target * 2) * 100).requires_grad_()
    assert loss(right, target).item() < 0.02 < 1 < loss(wrong, target).item()
    loss(wrong, target).backward()
    assert torch.isfinite(wrong.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_computed_in_single(name):
    loss = build_loss(name)
    logits = torch.full((1, 1, 256, 256), -11.0, dtype=torch.float16)
    target = torch.zeros(1, 1, 256, 256)
    found = loss(logits, target)
    # 65536 probabilities of 1.7e-5: in half precision each would be cut to steps of 6e-8 and
    # the sum of the pixels would overflow.
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(logits.float(), target))


def test_dice_is_defined_without_objects():
    nothing = torch.zeros(1, 1, 4, 4)
    assert float(dice(nothing, nothing)) == 0
    assert float(dice(torch.ones_like(nothing), nothing)) > 0.9


def test_every_loss_of_the_settings_exists():
    from typing import get_args

    for name in get_args(Train.model_fields["loss"].annotation):
        assert build_loss(name) is not None
    with pytest.raises(ValueError, match="unknown loss"):
        build_loss("hinge")
