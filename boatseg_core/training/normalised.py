"""The network with its input normalisation and padding inside. Imported lazily: it needs torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253


class Normalised(nn.Module):
    """What is trained, evaluated and exported: RGB in 0..1 to logits.

    Normalisation lives in here so that no caller can do it differently, and so does padding for
    networks that want more than callers pad to.

    Args:
        network: Takes normalised ``[N, 3, H, W]``, gives logits ``[N, 1, H, W]``.
        mean: Per channel, for input in 0..1.
        std: Per channel.
        multiple: What height and width of the network's input are multiples of, in pixels. What a
            picture lacks at the bottom and the right is filled by repeating its edge; an exported
            graph leaves that to the predictor.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        multiple: int = 32,
    ) -> None:
        super().__init__()
        self.multiple = multiple
        self.scale: Tensor
        self.shift: Tensor
        self.network = network
        # Buffers follow the module to its device and into the exported graph; they come from the
        # settings, so a checkpoint does not repeat them.
        scale = 1 / torch.tensor(std, dtype=torch.float32)
        shift = -torch.tensor(mean, dtype=torch.float32) * scale
        self.register_buffer("scale", scale.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits ``[N, 1, H, W]`` of images ``[N, 3, H, W]`` in 0..1."""
        height, width = image.shape[2:]
        scaled = image * self.scale + self.shift
        exporting = torch.onnx.is_in_onnx_export()
        if not exporting:
            below, beside = -height % self.multiple, -width % self.multiple
            if below or beside:
                scaled = nn.functional.pad(scaled, (0, beside, 0, below), mode="replicate")
        logits: Tensor = self.network(scaled)
        return logits if exporting else logits[:, :, :height, :width]
