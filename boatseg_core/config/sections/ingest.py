"""From the landing to bronze, and the verdicts on what arrived."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from boatseg_core.config.sections.base import Section, setting


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
        "A batch with a lower pass rate is broken and stays out of gold.",
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
