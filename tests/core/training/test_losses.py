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
from boatseg_core.training.losses.lovasz import lovasz_hinge
from boatseg_core.training.losses.tversky import tversky

NAMES = ["bce_dice", "focal_dice", "lovasz", "tversky"]
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


def slow_tversky(logits: list[float], target: list[int], alpha: float, beta: float) -> float:
    p = [1 / (1 + math.exp(-x)) for x in logits]
    both = sum(pi for pi, t in zip(p, target, strict=True) if t)
    extra = sum(pi for pi, t in zip(p, target, strict=True) if not t)
    missed = sum(1 - pi for pi, t in zip(p, target, strict=True) if t)
    return 1 - (both + 1) / (both + alpha * extra + beta * missed + 1)


@settings(deadline=None)
@given(LOGITS, TARGET)
def test_tversky_agrees_with_plain_arithmetic(logits, target):
    x, t = torch.tensor(logits).view(2, 1, 2, 2), torch.tensor(target).view(2, 1, 2, 2)
    assert float(tversky(x, t)) == pytest.approx(slow_tversky(logits, target, 0.3, 0.7), abs=1e-5)
    as_dice = float(tversky(x, t, alpha=0.5, beta=0.5, smooth=0.5))
    assert as_dice == pytest.approx(float(dice(x.sigmoid(), t.float())), abs=1e-5)


def slow_lovasz(logits: list[float], target: list[int]) -> float:
    """The Lovász extension by its definition: sets that grow in order of their errors."""
    errors = [1 - x * (2 * t - 1) for x, t in zip(logits, target, strict=True)]
    order = sorted(range(len(errors)), key=lambda i: -errors[i])

    def jaccard_loss(wrong: set[int]) -> float:
        # Prediction that is wrong at exactly these pixels.
        truth = {i for i, t in enumerate(target) if t}
        predicted = truth ^ wrong
        union = truth | predicted
        return 1 - len(truth & predicted) / len(union) if union else 0.0

    total, wrong = 0.0, set()
    for i in order:
        before = jaccard_loss(wrong)
        wrong.add(i)
        total += max(errors[i], 0) * (jaccard_loss(wrong) - before)
    return total


@settings(deadline=None)
@given(LOGITS, TARGET)
def test_lovasz_agrees_with_its_definition(logits, target):
    x, t = torch.tensor(logits).view(2, 1, 2, 2), torch.tensor(target).view(2, 1, 2, 2)
    expected = (slow_lovasz(logits[:4], target[:4]) + slow_lovasz(logits[4:], target[4:])) / 2
    assert float(lovasz_hinge(x, t)) == pytest.approx(expected, abs=1e-4)


def test_lovasz_is_the_iou_lost_where_logits_are_plus_or_minus_one():
    # At the corners of the cube the extension equals the set function: margins are 2 or 0.
    target = torch.zeros(1, 1, 8, 8)
    target[..., 2:6, 2:6] = 1
    predicted = torch.zeros_like(target)
    predicted[..., 3:7, 2:6] = 1
    assert float(lovasz_hinge(predicted * 2 - 1, target)) == pytest.approx(2 * (1 - 12 / 20))


def test_lovasz_charges_an_empty_image_its_worst_pixel():
    logits = torch.full((1, 1, 4, 4), -3.0)
    logits[0, 0, 1, 2] = 0.5
    assert float(lovasz_hinge(logits, torch.zeros_like(logits))) == pytest.approx(1.5)


def test_lovasz_gradient_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 3, 3, generator=generator, dtype=torch.float32)
    target = (torch.rand(2, 1, 3, 3, generator=generator) < 0.4).float()
    x = logits.clone().requires_grad_()
    lovasz_hinge(x, target).backward()
    for at in range(logits.numel()):
        step = torch.zeros(logits.numel())
        step[at] = 1e-3
        step = step.view_as(logits)
        slope = (lovasz_hinge(logits + step, target) - lovasz_hinge(logits - step, target)) / 2e-3
        assert float(x.grad.view(-1)[at]) == pytest.approx(float(slope), abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e4, 1e30])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_extremes_keep_the_gradient_finite(name, size, share):
    generator = torch.Generator().manual_seed(1)
    logits = ((torch.rand(2, 1, 8, 8, generator=generator) - 0.5).sign() * size).requires_grad_()
    target = (torch.rand(2, 1, 8, 8, generator=generator) < share).float()
    build_loss(name)(logits, target).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_bf16_is_computed_in_single(name):
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 1, 64, 64, generator=generator).bfloat16()
    target = (torch.rand(2, 1, 64, 64, generator=generator) < 0.1).to(torch.uint8)
    loss = build_loss(name)
    found = loss(logits, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(logits.float(), target))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss(logits, target), found)


@pytest.mark.parametrize("name", NAMES)
def test_right_is_better_than_wrong_and_gradients_are_finite(name):
    loss = build_loss(name)
    target = torch.zeros(2, 1, 8, 8)
    target[0, :, 2:5, 2:5] = 1
    right = ((target * 2 - 1) * 12).requires_grad_()
    wrong = ((1 - target * 2) * 100).requires_grad_()
    assert loss(right, target).item() < 0.02 < 0.9 < loss(wrong, target).item()
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
