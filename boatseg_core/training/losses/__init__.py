"""Losses by the name the settings use; one a file, a function under a class.

Importing this package is free; torch comes with :func:`build_loss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def build_loss(name: str) -> nn.Module:
    """Make the loss that ``train.loss`` names.

    Args:
        name: ``bce_dice``, ``focal_dice``, ``tversky`` or ``lovasz``.

    Raises:
        ValueError: There is no such loss.
    """
    from boatseg_core.training.losses.bce_dice import BceDiceLoss
    from boatseg_core.training.losses.focal_dice import FocalDiceLoss
    from boatseg_core.training.losses.lovasz import LovaszHingeLoss
    from boatseg_core.training.losses.tversky import TverskyLoss

    losses: dict[str, type[nn.Module]] = {
        "bce_dice": BceDiceLoss,
        "focal_dice": FocalDiceLoss,
        "lovasz": LovaszHingeLoss,
        "tversky": TverskyLoss,
    }
    if name not in losses:
        raise ValueError(f"unknown loss {name!r}: choose one of {sorted(losses)}")
    return losses[name]()
