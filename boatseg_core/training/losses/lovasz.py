"""Lovász hinge. Imported lazily: it needs torch."""

from __future__ import annotations

from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253


def lovasz_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """Lovász hinge of each image, averaged over the batch (Berman et al. 2018, algorithm 1).

    The convex surrogate of ``1 - IoU``: margins of all pixels are sorted, the largest error first,
    and each is weighted by how much the IoU would fall if that pixel, too, were wrong. An image
    without objects is charged its largest error alone, since one false pixel already takes its IoU
    from 1 to 0.

    Args:
        logits: ``[N, 1, H, W]``, any float type; computed in float32.
        target: 0 or 1, same shape.

    Returns:
        Scalar float32, 0 where every pixel is right by a margin of 1.
    """
    logits, target = logits.float().flatten(1), target.float().flatten(1)
    errors = 1 - logits * (2 * target - 1)
    errors, order = errors.sort(dim=1, descending=True)
    ordered = target.gather(1, order)
    weights = _jaccard_steps(ordered)
    return (functional.relu(errors) * weights).sum(1).mean()


def _jaccard_steps(ordered: Tensor) -> Tensor:
    """How much ``1 - IoU`` rises with each further pixel in error: ``[N, P]`` for 0/1 ``[N, P]``.

    Counted in float64: in float32 the ratios of neighbouring counts no longer differ where an
    image has millions of pixels.
    """
    truth = ordered.double()
    total = truth.sum(1, keepdim=True)
    left = total - truth.cumsum(1)
    union = total + (1 - truth).cumsum(1)
    lost = 1 - left / union
    return (
        functional.pad(lost[:, 1:] - lost[:, :-1], (1, 0))
        .add(functional.pad(lost[:, :1], (0, ordered.shape[1] - 1)))
        .float()
    )


class LovaszHingeLoss(nn.Module):
    """See :func:`lovasz_hinge`."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return lovasz_hinge(logits, target)
