"""The sections of the settings, one model per room of the house.

Every field carries a unit (empty where it has none) and one sentence for ``boatseg config``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


def setting(default: Any, unit: str, sentence: str, **bounds: Any) -> Any:
    """Declare a field with its unit and the sentence that explains it."""
    return Field(default, description=sentence, json_schema_extra={"unit": unit}, **bounds)


class Section(BaseModel):
    """Base of the sections: immutable, and a misspelt name is an error rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Upkeep(Section):
    """How the tables are kept safe, small and fast."""

    durable: bool = setting(
        True, "", "A commit on this machine waits until it is on the disk (fsync)."
    )
    keep_days: float = setting(
        30.0, "days", "Files that no table version of these days needs are vacuumed.", ge=0
    )
    log_days: float = setting(
        365.0, "days", "Older log entries are cleaned up once a checkpoint stands for them.", ge=1
    )
    small_bytes: int = setting(
        32 * 2**20, "bytes", "Data files below this size are compacted into larger ones.", ge=1
    )


class Landing(Section):
    """Where images and label files arrive."""

    images: str = setting(
        "",
        "path or URI",
        "Folder of the images, or s3://bucket/prefix; empty means landing/images in the home.",
    )
    labels: str = setting(
        "",
        "path",
        "Label file (CSV, COCO or GeoJSON), or folder of them with its subfolders; empty means "
        "landing in the home.",
    )
    masks: str = setting(
        "",
        "path",
        "Folder of mask pictures, one an image, matched by stem; empty means landing/masks in the "
        "home.",
    )
    suffixes: tuple[str, ...] = setting(
        (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"),
        "",
        "File name endings that are taken for images, in lower case.",
    )
    settle_seconds: float = setting(
        2.0, "s", "A file younger than this may still be being written and waits.", ge=0
    )
    max_bytes: int = setting(
        512 * 2**20,
        "bytes",
        "A larger file, or member of an archive, is refused before it is read.",
        ge=1,
        lt=2**31,
    )
    archives: bool = setting(
        True, "", "Read the images inside .zip, .tar, .tar.gz, .tgz, .tar.bz2 and .tar.xz files."
    )
    archive_max_bytes: int = setting(
        64 * 2**30, "bytes", "An archive that unpacks to more is refused as a bomb.", ge=1
    )
    archive_max_ratio: float = setting(
        200.0, "", "An archive that unpacks to more times its own size is refused as a bomb.", gt=1
    )
    archive_max_members: int = setting(  # Kaggle's archive of ship images has 208,163
        500_000, "files", "An archive with more members is refused.", ge=1
    )


class Seal(Section):
    """How new files become batches."""

    max_files: int = setting(1000, "files", "Most files in one batch.", ge=1, le=10_000)
    max_bytes: int = setting(256 * 2**20, "bytes", "Most bytes in one batch.", ge=1)
    tick_files: int = setting(
        20_000, "files", "Most new files one look of the sensor seals; 0 means no limit.", ge=0
    )
    tick_seconds: float = setting(
        30.0, "s", "Longest listing of one look of the sensor; 0 means no limit.", ge=0
    )
    tick_runs: int = setting(
        100,
        "runs",
        "Most runs of batches that wait or run at a time; further ones are asked for later.",
        ge=1,
    )


class Decode(Section):
    """How image bytes are read."""

    threads: int = setting(0, "threads", "Decoding threads; 0 means one per core.", ge=0)
    max_pixels: int = setting(
        80_000_000, "px", "A picture with more pixels is refused before it is decoded.", ge=1
    )
    mode: Literal["full", "entropy"] = setting(
        "full", "", "entropy measures JPEGs at 1/8 of their size: faster, without sharpness."
    )


class Quality(Section):
    """Criteria an image has to meet; judged on stored measurements."""

    min_width: int = setting(128, "px", "Narrower images fail.", ge=1)
    min_height: int = setting(128, "px", "Lower images fail.", ge=1)
    max_width: int = setting(20_000, "px", "Wider images fail.", ge=1)
    max_height: int = setting(20_000, "px", "Higher images fail.", ge=1)
    formats: tuple[str, ...] = setting(
        ("JPEG", "PNG", "TIFF", "WEBP"), "", "File formats that pass, by their Pillow name."
    )
    modes: tuple[str, ...] = setting(
        ("RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16"), "", "Pixel modes that pass."
    )
    min_brightness: float = setting(
        2.0, "0-255", "Darker images fail (mean luminance).", ge=0, le=255
    )
    max_brightness: float = setting(
        250.0, "0-255", "Brighter images fail (mean luminance).", ge=0, le=255
    )
    min_contrast: float = setting(
        0.5, "0-255", "Flatter images fail (standard deviation of luminance).", ge=0
    )
    max_contrast: float = setting(
        127.5,
        "0-255",
        "Harsher images fail (standard deviation of luminance; half black, half white is 127.5).",
        ge=0,
    )
    max_blank_share: float = setting(
        0.9, "share", "Images with more all-black or all-white tiles fail.", ge=0, le=1
    )
    min_sharpness: float = setting(
        0.0,
        "",
        "Blurrier images fail (variance of the Laplacian of luminance; not known in mode entropy).",
        ge=0,
    )
    max_pixels: int = setting(
        400_000_000,
        "px",
        "Images with more pixels fail; decode.max_pixels refuses them before they are decoded.",
        ge=1,
    )
    min_pass_rate: float = setting(
        0.9, "share", "A batch with a lower pass rate raises a warning.", ge=0, le=1
    )
    broken_pass_rate: float = setting(
        0.5,
        "share",
        "A batch with a lower pass rate is broken: its run in Dagster stops before gold.",
        ge=0,
        le=1,
    )
    max_duplicate_share: float = setting(
        0.05, "share", "A batch with more duplicates of other images raises a warning.", ge=0, le=1
    )

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Quality:
        for low, high in (
            ("min_width", "max_width"),
            ("min_height", "max_height"),
            ("min_brightness", "max_brightness"),
            ("min_contrast", "max_contrast"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must not be above {high}: no image could pass")
        for name in ("formats", "modes"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty: no image could pass")
        return self


class History(Section):
    """Comparison of a new batch with the batches before it."""

    batches: int = setting(20, "batches", "How many earlier batches are looked back on.", ge=1)
    min_images: int = setting(
        30,
        "images",
        "A batch, or a history, with fewer images is reported but not judged.",
        ge=2,
    )
    false_alarms: float = setting(
        0.01,
        "share",
        "Bound on the batches that warn by chance alone, over all comparisons together.",
        gt=0,
        lt=1,
    )
    max_mix_shift: float = setting(
        0.15,
        "share",
        "A warning needs this share of the images to have another size or format than before.",
        gt=0,
        le=1,
    )
    max_shift: float = setting(
        0.2,
        "KS distance",
        "A warning needs this Kolmogorov-Smirnov distance of brightness or contrast.",
        gt=0,
        le=1,
    )


class Labels(Section):
    """What the masks mean and how they are stored."""

    class_name: str = setting(
        "boat", "", "What one object is called in pages and reports.", min_length=1
    )
    image_column: str = setting("ImageId", "", "CSV column with the image's name.", min_length=1)
    mask_column: str = setting(
        "EncodedPixels", "", "CSV column with the run lengths.", min_length=1
    )
    mask_format: Literal["png", "jpeg"] = setting(
        "png", "", "Stored mask image: lossless 1-bit PNG, or JPEG thresholded at 128 when read."
    )
    categories: tuple[str, ...] = setting(
        (), "", "Categories of COCO and GeoJSON files that are objects; empty means all."
    )
    image_property: str = setting(
        "image", "", "GeoJSON property with the image's name.", min_length=1
    )
    category_property: str = setting(
        "category", "", "GeoJSON property with the category.", min_length=1
    )
    mask_values: Literal["auto", "values", "components"] = setting(
        "auto",
        "",
        "Objects of a mask picture: one per value, one per connected region, or auto: per value "
        "where there are several.",
    )
    mask_stem_ending: str = setting(
        "", "", "Ending of a mask picture's stem that the image's has not, for example _mask."
    )
    conflict_iou: float = setting(
        0.5,
        "IoU",
        "Two label files whose masks of an image overlap less are in conflict; 0 turns it off.",
        ge=0,
        le=1,
    )
    max_unlabelled_share: float = setting(
        0.05, "share", "A batch with more images without a label raises a warning.", ge=0, le=1
    )
    max_balance_gap: float = setting(
        0.1,
        "share",
        "A split whose part of images with objects differs more from all raises a warning.",
        ge=0,
        le=1,
    )


class Split(Section):
    """How groups of images are shared out between training, validation and test."""

    valid_share: float = setting(
        0.15, "share", "Part of the groups used for validation.", ge=0, lt=1
    )
    test_share: float = setting(
        0.15, "share", "Part of the groups kept for the final test.", ge=0, lt=1
    )
    salt: str = setting(
        "boatseg", "", "Changes the split of every group; leave it alone once trained."
    )

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Split:
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share + test_share must stay below 1")
        return self


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
    batch_size: int = setting(8, "images", "Crops in one training step.", ge=1)
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
    loss: Literal["bce_dice", "focal_dice", "lovasz", "tversky"] = setting(
        "bce_dice", "", "What the training minimises."
    )
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
    compile: bool = setting(
        False, "", "Compile the network for the crops with torch.compile before the first step."
    )
    checkpoint_steps: int = setting(
        200,
        "steps",
        "A killed training loses at most so many; 0 keeps its state after validations only.",
        ge=0,
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
        "A trial that is still running so long after max_seconds ends at its next validation.",
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
    losses: tuple[Literal["bce_dice", "focal_dice", "lovasz", "tversky"], ...] = setting(
        ("bce_dice", "focal_dice", "lovasz", "tversky"),
        "",
        "Losses the study may choose.",
        min_length=1,
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


class Registry(Section):
    """Where models are governed."""

    tracking_uri: str = setting(
        "", "URI", "MLflow's SQL store or server; empty means mlflow.db in the home."
    )
    experiment: str = setting(
        "boatseg", "", "MLflow experiment of the training runs.", min_length=1
    )
    model_name: str = setting("boatseg", "", "Name of the registered model.", min_length=1)
    min_boat_iou: float = setting(
        0.2,
        "IoU",
        "Gate: a version whose mean IoU on test images with objects is lower is never promoted.",
        ge=0,
        le=1,
    )


class Predict(Section):
    """The predictor, wherever it runs."""

    threshold: float = setting(
        0.5, "probability", "A pixel above it belongs to an object.", gt=0, lt=1
    )
    min_area: int = setting(30, "px", "Smaller connected regions are dropped.", ge=0)
    split_neck: float = setting(
        0.0,
        "share",
        "Regions are cut at necks narrower than this share of the narrower part; 0 never cuts.",
        ge=0,
        lt=1,
    )
    batch_size: int = setting(4, "images", "Images in one forward pass.", ge=1)
    threads: int = setting(0, "threads", "Threads of one forward pass; 0 means one per core.", ge=0)


class Serve(Section):
    """The REST service."""

    host: str = setting(
        "127.0.0.1", "address", "Address the service listens on; loopback by default."
    )
    port: int = setting(8000, "port", "TCP port the service listens on.", ge=0, le=65_535)
    refresh_seconds: float = setting(
        5.0, "s", "How often the service looks for a newly promoted version.", gt=0
    )
    max_body_bytes: int = setting(64 * 2**20, "bytes", "Larger requests are refused.", ge=1)
    max_pixels: int = setting(
        16_000_000,
        "px",
        "A picture with more pixels is refused: a few kilobytes can hold minutes of work.",
        ge=1,
    )


class Drift(Section):
    """Monitoring of new batches against the training reference."""

    max_shift: float = setting(
        0.35,
        "KS distance",
        "A larger Kolmogorov-Smirnov distance from the training reference raises a warning.",
        gt=0,
        le=1,
    )
    min_images: int = setting(20, "images", "Smaller batches are reported but not judged.", ge=1)
