"""What to say when memory runs out: the batch size that fits, found by trying. Needs torch.

An estimate from the sizes of activations would have to know every workspace of every kernel. A few
steps at other batch sizes, in the very state the training left the device in, know them all.
"""

from __future__ import annotations

import copy
import gc
import traceback
from collections.abc import Callable
from functools import partial

import torch  # noqa: TID253
from torch import nn  # noqa: TID253

from boatseg_core.config.sections import Train
from boatseg_core.training.allocator import give_back

# The allocator of the CPU has no exception of its own, and CUDA's libraries have theirs.
_SAID = (
    "can't allocate memory",
    "could not create a memory object",
    "could not create a primitive",  # oneDNN, which has no room for its scratch or its code
    "bad_alloc",
    "_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
)


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory, of the device or of the machine, ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)


def release(error: BaseException) -> None:
    """Let go of what the frames of an error still hold, activations above all."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    give_back()  # a heap that holds it all leaves no room for what is not on the heap
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def largest_batch(
    network: nn.Module,
    loss: Callable[..., torch.Tensor],
    train: Train,
    device: torch.device,
    *,
    bf16: bool,
) -> int:
    """Find the largest number of crops, up to ``train.batch_size``, that a step has memory for.

    Args:
        network: As it was trained, wherever it is now; its gradients are dropped.
        loss: Of logits and masks.
        train: Batch size and side of a crop.
        device: Where it was trained.
        bf16: Whether it was trained in bf16.

    Returns:
        Crops; 0 where not even one fits.
    """
    network.zero_grad(set_to_none=True)
    try:
        # A copy, which no hooks of a trainer are attached to.
        model = copy.deepcopy(network).to(device).train()
        # What the optimiser remembers of each weight, whether it had begun to or not.
        moments = [torch.zeros_like(p) for p in model.parameters() for _ in range(2)]
    except Exception as error:
        if not ran_out(error):
            raise
        return 0
    fits, fails = 0, train.batch_size + 1
    while fails - fits > 1:
        count = (fits + fails) // 2 if fails <= train.batch_size else train.batch_size
        if _fits(model, partial(_step, model, loss, train.crop, device, count, bf16)):
            fits = count
        else:
            fails = count
    del moments
    return fits


def _fits(model: nn.Module, step: Callable[[], None]) -> bool:
    try:
        step()
    except Exception as error:
        if not ran_out(error):
            raise
        # Only now: the step's own frame has ended, and what it held is free.
        release(error)
        return False
    finally:
        model.zero_grad(set_to_none=True)
    return True


def _step(
    model: nn.Module,
    loss: Callable[..., torch.Tensor],
    crop: int,
    device: torch.device,
    count: int,
    bf16: bool,
) -> None:
    shape = count, 3, crop, crop
    images = torch.rand(shape, device=device).to(memory_format=torch.channels_last)
    masks = torch.zeros((count, 1, *shape[2:]), dtype=torch.uint8, device=device)
    # Augmentation holds a second copy of the images for a moment, and so does this.
    spare = images.clone()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        value = loss(model(images), masks)
    torch.autograd.backward(value)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    del spare


def advice(train: Train, fits: int) -> str:
    """Say in a sentence what to do about a step that did not fit.

    Args:
        train: How it was trained.
        fits: See :func:`largest_batch`.
    """
    crops = f"{train.batch_size} crops of {train.crop} px"
    if fits == 0:
        return (
            f"memory ran out in a training step of {crops}, and not even one fits: lower "
            "train.crop, or choose a smaller train.encoder or narrower train.decoder_channels"
        )
    if fits >= train.batch_size:
        return (
            f"memory ran out in a training step of {crops}, which fits now that it is tried again: "
            "something else takes memory at times; free some, or lower train.batch_size"
        )
    rounds = -(-train.batch_size * train.accumulate // fits)
    return (
        f"memory ran out in a training step of {crops}; tried just now, {fits} "
        f"fit{'s' if fits == 1 else ''}: set train.batch_size to {fits}, and train.accumulate to "
        f"{rounds} to have as many crops in a step as before"
    )
