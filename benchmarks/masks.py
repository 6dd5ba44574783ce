"""Run lengths to mask pictures, and mask pictures to arrays, on one core.

Ours is the whole work of ``rasterized_masks``: parse, validate, join, count overlaps, measure
areas, boxes, centroids and orientations, write each object's run lengths, and encode the 1-bit
PNG. The peers only draw: ``kernel`` is what notebooks do (a NumPy slice per run, reshape,
transpose, 8-bit PNG by Pillow), ``pycocotools`` is COCO's library with Pillow (8-bit or 1-bit,
whichever is faster).

The limit is the compression alone: the packed rows of the very same masks, ready in memory, given
to DEFLATE at the same level with its checksums. No writer of these PNGs can be faster. For reading
it is inflating them and checking their checksums.

Masks are those of the images with boats in the sample that BOATSEG_REAL_SAMPLE names
(masks_500_images.csv), repeated; without it they are generated with the same numbers of boats per
image and the same distribution of runs. Empty masks, which are four in five in the real data, are
timed apart. Every picture is compared with a decoder that paints pixel by pixel.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    BenchmarkError,
    Turns,
    arguments,
    interleave,
    peak_rss_mb,
    peer_python,
    report,
    run_json,
    say,
    scratch,
)
from PIL import Image

from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.labels.raster import rasterize

SIDE = 768
# Images with 1, 2, 3, ... boats in the sample of 500.
_BOATS = (71, 21, 14, 4, 0, 3, 0, 2)
# Natural logarithm of a boat's area in the sample: mean and standard deviation, pixels.
_LOG_AREA = (6.04, 1.76)
_ELONGATION = (2.0, 5.0)


def sample() -> list[list[str]] | None:
    """Run lengths of the sample's images with boats, or ``None`` without the sample."""
    folder = os.environ.get("BOATSEG_REAL_SAMPLE")
    if not folder:
        return None
    by_image: dict[str, list[str]] = defaultdict(list)
    with (Path(folder) / "masks_500_images.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            by_image[row["ImageId"]].append(row["EncodedPixels"])
    return [rles for rles in by_image.values() if any(rles)]


def generate(rng: np.random.Generator) -> list[list[str]]:
    """As many images and boats as in the sample: rotated boxes of the same areas."""
    return [
        [boat(rng) for _ in range(boats)]
        for boats, images in enumerate(_BOATS, start=1)
        for _ in range(images)
    ]


def boat(rng: np.random.Generator) -> str:
    """One rotated box somewhere in the image."""
    area = float(np.clip(np.exp(rng.normal(*_LOG_AREA)), 4, 20_000))
    ratio = rng.uniform(*_ELONGATION)
    length, breadth = np.sqrt(area * ratio), np.sqrt(area / ratio)
    angle = rng.uniform(0, np.pi)
    x, y = rng.uniform(0, SIDE, 2)
    columns, rows = np.meshgrid(np.arange(SIDE) - x, np.arange(SIDE) - y)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    mask = (np.abs(along) <= length / 2) & (np.abs(across) <= breadth / 2)
    return rle.encode(mask) or boat(rng)


def pixel_by_pixel(rles: list[str]) -> np.ndarray:
    """Paint a mask without sharing a line with the code under test."""
    mask = [[0] * SIDE for _ in range(SIDE)]
    for text in rles:
        numbers = [int(token) for token in text.split()]
        for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
            for pixel in range(start - 1, start - 1 + length):
                mask[pixel % SIDE][pixel // SIDE] = 1
    return np.array(mask, dtype=bool)


def kernel(rles: list[str]) -> bytes:
    """What notebooks do."""
    flat = np.zeros(SIDE * SIDE, dtype=np.uint8)
    for text in rles:
        numbers = np.asarray(text.split(), dtype=int)
        for start, length in zip(numbers[0::2] - 1, numbers[1::2], strict=True):
            flat[start : start + length] = 255
    out = io.BytesIO()
    Image.fromarray(flat.reshape(SIDE, SIDE).T).save(out, "PNG")
    return out.getvalue()


def each(work: Callable[[Any], object], items: list[Any]) -> Callable[[], None]:
    def run() -> None:
        for item in items:
            work(item)

    return run


def deflate(lines: bytes) -> bytes:
    """Compress and checksum prepared rows: all that a PNG costs when its bits are there."""
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9)
    data = packer.compress(lines) + packer.flush()
    zlib.crc32(data)
    return data


def check(masks: list[list[str]], pictures: list[bytes]) -> str:
    """Compare every picture with the slow decoder; the hash of all pixels."""
    digest = hashlib.sha256()
    for rles, picture in zip(masks, pictures, strict=True):
        expected = pixel_by_pixel(rles)
        with Image.open(io.BytesIO(picture)) as image:
            ok = image.mode == "1" and np.array_equal(np.asarray(image), expected)
        if not ok or not np.array_equal(decode_mask(picture), expected):
            raise BenchmarkError("a mask is not bit-exact")
        digest.update(np.packbits(expected).tobytes())
    return digest.hexdigest()


def coco_rate(masks: list[list[str]], digest: str, repeat: int) -> float | None:
    python = peer_python("pycocotools")
    if python is None:
        return None
    script = Path(__file__).parent / "peers" / "pycocotools_masks.py"
    with scratch("masks") as folder:
        given = folder / "masks.json"
        given.write_text(json.dumps({"height": SIDE, "width": SIDE, "masks": masks}))
        result = run_json([python, script, given, str(repeat)]).result
    if result["sha256"] != digest:
        raise BenchmarkError("pycocotools draws other masks")
    return float(result["rate"])


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    repeat = options.repeat or (3 if options.quick else 9)
    real = sample()
    masks = real or generate(np.random.default_rng(11))
    objects = sum(len([text for text in rles if text]) for rles in masks)
    runs = sum(len(text.split()) // 2 for rles in masks for text in rles)
    say(f"{len(masks)} masks of {SIDE}x{SIDE}, {objects} boats, {runs} runs; real: {bool(real)}")

    def ours(rles: list[str]) -> bytes:
        return rasterize(rles, SIDE, SIDE).encode()

    pictures = [ours(rles) for rles in masks]
    digest = check(masks, pictures)
    lines = []
    for rles in masks:
        packed = np.zeros((SIDE, SIDE // 8 + 1), dtype=np.uint8)
        packed[:, 1:] = rasterize(rles, SIDE, SIDE).packed
        lines.append(packed.tobytes())
    deflated = [deflate(line) for line in lines]
    eight_bit = [kernel(rles) for rles in masks]
    turns = interleave(
        {
            "ours": each(ours, masks),
            "limit": each(deflate, lines),
            "kernel": each(kernel, masks),
            "empty": each(ours, [[""]] * len(masks)),
            "read": each(decode_mask, pictures),
            "read_limit": each(lambda data: zlib.crc32(zlib.decompress(data)), deflated),
            "read_kernel": each(lambda data: np.asarray(Image.open(io.BytesIO(data))), eight_bit),
        },
        repeat,
    )

    def rate(name: str) -> float:
        found: Turns = turns[name]
        return round(len(masks) / found.best, 1)

    peers = {"kernel": rate("kernel")}
    coco = coco_rate(masks, digest, repeat)
    if coco is not None:
        peers["pycocotools"] = round(coco, 1)
    report(
        {
            "name": "masks",
            "unit": "masks/s",
            "ours": rate("ours"),
            "limit": rate("limit"),
            "of_limit": round(rate("ours") / rate("limit"), 3),
            "peers": peers,
            "times_peer": {name: round(rate("ours") / peer, 1) for name, peer in peers.items()},
            "empty": rate("empty"),
            "png_to_array": {
                "ours": rate("read"),
                "limit": rate("read_limit"),
                "of_limit": round(rate("read") / rate("read_limit"), 3),
                "peers": {"pillow_8_bit": rate("read_kernel")},
            },
            "bytes_per_mask": round(sum(map(len, pictures)) / len(pictures)),
            "bytes_per_mask_8_bit": round(sum(map(len, eight_bit)) / len(eight_bit)),
            "masks": len(masks),
            "boats": objects,
            "real": bool(real),
            "bit_exact": True,
            "peak_rss_mb": round(peak_rss_mb(), 1),
        },
        as_json=options.json,
    )


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"benchmark failed: {error}")
