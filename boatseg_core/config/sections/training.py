"""The network, its training, and the study of its settings."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from boatseg_core.config.sections.base import Section, setting

Loss: TypeAlias = Literal["bce_dice", "focal_dice", "lovasz", "tversky"]


class Train(Section):
    """The network and its training."""

    architecture: str = setting("Unet", "", "Any architecture of segmentation-models-pytorch.")
    encoder: str = setting(
        "tu-tf_efficientnet_lite0", "", "Any encoder of segmentation-models-pytorch."
    )
    pretrained: bool = setting(True, "", "Start from ImageNet weights.")
    decoder_channels: tuple[int, ...] = setting(
        (128, 64, 32, 16, 16), "channels", "Width of the five decoder stages (Unet family)."
    )
    crop: int = setting(192, "px", "Side of the square training crops, a multiple of 32.", ge=32)
    batch_size: int = setting(8, "images", "Crops in one training step of one device.", ge=1)
    max_steps: int = setting(1500, "steps", "Length of the training.", ge=1)
    validations: int = setting(5, "", "Validations spread evenly over the training.", ge=1)
    valid_images: int = setting(
        200, "images", "Most validation images looked at each time; 0 means all.", ge=0
    )
    positive_share: float = setting(
        0.75, "share", "Part of the training crops that are centred near an object.", ge=0, le=1
    )
    learning_rate: float = setting(1e-3, "", "Peak of the one-cycle schedule.", gt=0)
    weight_decay: float = setting(1e-3, "", "AdamW's decay.", ge=0)
    loss: Loss = setting("bce_dice", "", "What the training minimises.")
    augment: Literal["light", "strong"] = setting(
        "light",
        "",
        "light: symmetries, light, colour, haze; strong: also any angle, scale, blur and JPEG.",
    )
    accumulate: int = setting(
        1, "batches", "Batches whose gradients are summed before one step.", ge=1
    )
    ema_decay: float = setting(
        0.0,
        "share",
        "Share of the averaged weights kept at each step, such as 0.998; 0 does not average.",
        ge=0,
        lt=1,
    )
    patience: int = setting(
        0,
        "validations",
        "The training stops after so many without a better score; 0 never stops early.",
        ge=0,
    )
    cautious: bool = setting(
        False,
        "",
        "Of the thresholds and sieves that validation cannot tell from the best, take that with "
        "the fewest false alarms.",
    )
    compile: bool = setting(
        False,
        "",
        "Compile the network for the crops with torch.compile; on a CPU it does not pay off.",
    )
    checkpoint_steps: int = setting(
        200,
        "steps",
        "A killed training loses at most so many; 0 keeps its state after validations only.",
        ge=0,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "", "What computes; auto means GPUs where there are any."
    )
    devices: int = setting(
        1,
        "processes",
        "GPUs of this machine to train on (on a CPU: processes), with train.batch_size crops each.",
        ge=1,
    )
    precision: Literal["auto", "32", "bf16"] = setting(
        "auto", "", "Number format; auto means bf16 on a GPU that has it, else 32."
    )
    seed: int = setting(17, "", "Seeds weights, crops and augmentation.", ge=0)
    threads: int = setting(0, "threads", "Threads that decode images; 0 means one per core.", ge=0)


class Tune(Section):
    """The Optuna study."""

    trials: int = setting(
        6, "trials", "Most trials of one study; those of an earlier run of it count.", ge=1
    )
    max_seconds: float = setting(600.0, "s", "No trial starts after this.", gt=0)
    grace_seconds: float = setting(
        60.0,
        "s",
        "A trial that is still running so long after max_seconds ends at its next step.",
        ge=0,
    )
    workers: int = setting(
        1, "processes", "Trials that run at the same time; they share the cores.", ge=1
    )
    steps: int = setting(300, "steps", "Length of one trial's training.", ge=1)
    validations: int = setting(
        4, "", "Validations of one trial; at each but the last it may be pruned.", ge=1
    )
    valid_images: int = setting(
        64, "images", "Most validation images a trial is judged on; 0 means all.", ge=0
    )
    pruner: Literal["median", "hyperband", "none"] = setting(
        "median", "", "Which trials end early: those below the median, Hyperband's, or none."
    )
    architectures: tuple[str, ...] = setting(
        ("Unet", "FPN", "DeepLabV3Plus", "UnetPlusPlus"),
        "",
        "Architectures the study may choose.",
        min_length=1,
    )
    encoders: tuple[str, ...] = setting(
        (), "", "Encoders the study may choose; empty means train.encoder alone."
    )
    losses: tuple[Loss, ...] = setting(
        get_args(Loss), "", "Losses the study may choose.", min_length=1
    )
    crops: tuple[int, ...] = setting(
        (128, 192, 256),
        "px",
        "Crops the study may choose, multiples of 32; empty means train.crop alone.",
    )
    learning_rate_low: float = setting(1e-4, "", "Lower end of the learning rates tried.", gt=0)
    learning_rate_high: float = setting(5e-3, "", "Upper end of the learning rates tried.", gt=0)
    positive_share_low: float = setting(
        0.5, "share", "Lower end of the shares of crops near an object that are tried.", ge=0, le=1
    )
    positive_share_high: float = setting(
        0.9, "share", "Upper end of the shares of crops near an object that are tried.", ge=0, le=1
    )
    storage: str = setting(
        "",
        "URL",
        "Database of the studies, such as postgresql://host/name; empty means a journal file in "
        "the home.",
    )
    study: str = setting(
        "", "", "Name of the study; empty derives it from the data, the space and the settings."
    )
    stale_seconds: float = setting(
        90.0,
        "s",
        "A trial of another machine that gave no sign of life for so long is taken for dead.",
        gt=0,
    )
