"""Damaged JPEGs from a seed, and a process of its own that reads thousands of them.

Run as ``python -m support.fuzz SEED COUNT`` (from ``tests``): every file is decoded in full by the
library and by us, measured in full and in entropy mode, and one JSON object with the verdicts goes
to standard output. A process of its own, so that a crash is an exit code, a hang a traceback, and
memory a number.
"""

from __future__ import annotations

import faulthandler
import io
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from boatseg_core.errors import ImageError
from boatseg_core.imaging import jpeg, native
from boatseg_core.imaging.decode import REASONS, decode, load_rgb, open_image
from boatseg_core.imaging.measure import measure
from boatseg_core.imaging.reduced import planes_of, reduce
from boatseg_core.imaging.sums import Sums, jpeg_sums, plain_sums
from boatseg_core.imaging.walk import walk
from support.pictures import texture

MAX_PIXELS = 4_000_000
"""Bound of the run: a header that claims more is refused, one that claims less is decoded."""

_LEVELS = np.array([0, 90, 255], np.uint8)
_SECONDS = 20  # for one file; a hang beyond that ends the process with a traceback

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng, list[bytes]], bytes]


def bases() -> list[bytes]:
    """Whole JPEGs of every layout that is met: the seeds of the fuzzer."""
    exif = Image.Exif()
    exif[0x0112] = 6
    options: list[tuple[str, tuple[int, int], dict[str, Any]]] = [
        ("RGB", (64, 64), {"quality": 95, "subsampling": 0}),
        ("RGB", (96, 72), {"quality": 75, "subsampling": 2}),
        ("RGB", (71, 45), {"quality": 40, "subsampling": 1}),
        ("RGB", (65, 43), {"quality": 90, "progressive": True}),
        ("RGB", (80, 80), {"quality": 85, "progressive": True, "subsampling": 0}),
        ("L", (57, 64), {"quality": 80}),
        ("L", (64, 64), {"quality": 80, "progressive": True}),
        ("CMYK", (48, 48), {"quality": 80}),
        ("RGB", (64, 96), {"quality": 80, "restart_marker_rows": 1}),
        ("RGB", (64, 96), {"quality": 80, "restart_marker_blocks": 3}),
        ("RGB", (64, 48), {"quality": 80, "exif": exif}),
        ("RGB", (61, 47), {"quality": 80, "exif": exif, "optimize": True}),
        ("RGB", (64, 64), {"quality": 80, "comment": b"x" * 300, "icc_profile": b"i" * 500}),
        ("RGB", (300, 270), {"quality": 30}),
        ("noise", (56, 40), {"quality": 50, "subsampling": 2}),
    ]
    found = []
    for number, (mode, (width, height), extra) in enumerate(options):
        image = texture(number, height, width)
        if mode == "noise":  # the longest Huffman codes
            mode, image = "RGB", np.random.default_rng(number).choice(_LEVELS, image.shape)
        buffer = io.BytesIO()
        Image.fromarray(image).convert(mode).save(buffer, "JPEG", **extra)
        found.append(buffer.getvalue())
    return found


def mutants(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Damage the bases, one to three times each.

    Yields:
        The kinds of the damage done, joined by ``+``, and the bytes.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    whole = bases()
    kinds = list(MUTATIONS)
    for number in range(count):
        data, names = whole[number % len(whole)], []
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            name = kinds[int(rng.integers(len(kinds)))]
            data = MUTATIONS[name](data, rng, whole)
            names.append(name)
        yield "+".join(names), data


def _at(data: bytes, rng: Rng) -> int:
    return int(rng.integers(max(len(data), 1)))


def _scan(data: bytes) -> int:
    """Where the first scan's data starts, if there is one."""
    return max(data.find(b"\xff\xda"), 0)


def _flip_bits(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    broken = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if broken:
            broken[_at(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def _flip_in_scan(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    start = _scan(data)
    return data[:start] + _flip_bits(data[start:], rng, whole)


def _overwrite(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    at, size = _at(data, rng), int(rng.integers(1, 40))
    filling = (b"\0", b"\xff", b"\xff\xd8", b"\xff\xd9", rng.bytes(size))[int(rng.integers(5))]
    return data[:at] + (filling * size)[:size] + data[at + size :]


def _truncate(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    return data[: _at(data, rng)]


def _truncate_and_close(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    return data[: _at(data, rng)] + b"\xff\xd9"


def _cut_the_end(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    return data[: len(data) - int(rng.integers(1, 12))]


def _append(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 200)))


def _splice(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    other = whole[int(rng.integers(len(whole)))]
    return data[: _at(data, rng)] + other[_at(other, rng) :]


def _repeat(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    start, end = sorted((_at(data, rng), _at(data, rng)))
    return data[:end] + data[start:]


def _remove(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    at = _at(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 60)) :]


def _damage_header(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    broken = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if broken:
            broken[int(rng.integers(min(len(broken), max(_scan(data), 20))))] = int(
                rng.integers(256)
            )
    return bytes(broken)


def _damage_frame(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    """Change the frame header: sizes, sampling factors, number of components."""
    frames = [data.find(bytes((0xFF, kind))) for kind in (0xC0, 0xC1, 0xC2)]
    at = max(frames)
    if at < 0:
        return data
    broken = bytearray(data)
    where = min(at + int(rng.integers(1, 20)), len(broken) - 1)
    broken[where] = int(rng.choice([0, 1, 2, 3, 4, 0x11, 0x22, 0x41, 255, rng.integers(256)]))
    return bytes(broken)


def _insert_marker(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    at = _at(data, rng)
    marker = bytes((0xFF, int(rng.integers(0xC0, 0x100))))
    body = rng.bytes(int(rng.integers(0, 40)))
    if rng.random() < 0.5:
        marker += (len(body) + 2).to_bytes(2, "big")
    return data[:at] + marker + body + data[at:]


def _insert_restart(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    at = _scan(data) + 12 + int(rng.integers(max(len(data) - _scan(data) - 12, 1)))
    return data[:at] + bytes((0xFF, 0xD0 + int(rng.integers(8)))) + data[at:]


def _repeat_scan(data: bytes, rng: Rng, whole: list[bytes]) -> bytes:
    return data[:-2] + data[_scan(data) :]


MUTATIONS: dict[str, Mutation] = {
    "bits": _flip_bits,
    "scan": _flip_in_scan,
    "overwritten": _overwrite,
    "truncated": _truncate,
    "truncated and closed": _truncate_and_close,
    "end cut": _cut_the_end,
    "appended": _append,
    "spliced": _splice,
    "repeated": _repeat,
    "removed": _remove,
    "header": _damage_header,
    "frame": _damage_frame,
    "marker": _insert_marker,
    "restart": _insert_restart,
    "scan twice": _repeat_scan,
}


def verdict(read: Callable[[], object]) -> str:
    """``fine``, or the reason a picture is refused with."""
    try:
        read()
    except ImageError as error:
        assert error.reason in REASONS, error.reason
        return error.reason
    return "fine"


def walked(data: bytes) -> bool | None:
    """Whether the walker's pixels are those of the library; ``None`` if it leaves it the file.

    What the walker takes, the library has to decode: else this raises.
    """
    try:
        image = open_image(data, max_pixels=MAX_PIXELS)
    except ImageError:
        return None
    planes = walk(data, *image.size) if min(image.size) >= 8 else None
    if planes is None:
        return None
    library_pixels(data)
    assert reduce(image, 1)
    image.load()
    return bool((planes == planes_of(image.convert("RGB"))).all())


def library_pixels(data: bytes) -> np.ndarray:
    """What Pillow makes of a file."""
    return np.asarray(load_rgb(open_image(data, max_pixels=MAX_PIXELS)))


def decoded(data: bytes) -> bool | None:
    """Whether what the decoder gives is the library's; ``None`` if it leaves it the file.

    Compared are all pixels, those of a box, those at half the size, each with every kind of the
    decoder that this machine can run, and the sums. What the decoder takes whole, the library has
    to decode: else this raises.
    """
    try:
        image = open_image(data, max_pixels=MAX_PIXELS)
    except ImageError:
        return None
    if native.pixels is None or not jpeg.is_plain(image):
        return None
    size = width, height = image.size
    box = (width // 3, height // 5, -(-width // 4), -(-height // 2))
    found = [
        _by_kind(data, size, kind, box=each, halved=halved)
        for kind in range(native.pixels.DECODERS)
        for halved, each in ((False, (0, 0, *size)), (False, box), (True, _half(size)))
    ]
    if found[0] is None or found[2] is None:
        return None
    whole = library_pixels(data)
    image.draft(None, (width // 2, max(height // 2, 1)))
    halved = np.asarray(image.convert("RGB"))
    if halved.shape[:2] != _half(size)[:1:-1]:  # too small a picture for Pillow to scale
        halved = None
    left, top, across, down = box
    wanted = [whole, whole[top : top + down, left : left + across], halved]
    sums = jpeg_sums(data, *size)
    return (
        all(
            a is not None and (b is None or bool((a == b).all()))
            for a, b in zip(found, wanted * native.pixels.DECODERS, strict=True)
        )
        and sums is not None
        and _same_sums(sums, plain_sums(Image.fromarray(whole)))
    )


def _half(size: tuple[int, int]) -> tuple[int, int, int, int]:
    return 0, 0, -(-size[0] // 2), -(-size[1] // 2)


def _by_kind(
    data: bytes,
    size: tuple[int, int],
    kind: int,
    *,
    box: tuple[int, int, int, int],
    halved: bool,
) -> np.ndarray | None:
    assert native.pixels is not None
    out = np.full((box[3], box[2], 3), 77, dtype=np.uint8)
    return out if native.pixels.decode(data, *size, *box, halved, out, kind) else None


def _same_sums(one: Sums, other: Sums) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in Sums.__dataclass_fields__
    )


def main(seed: int, count: int) -> dict[str, Any]:
    """Read ``count`` damaged files four ways and collect the verdicts; compare pixels as well."""
    verdicts: Counter[str] = Counter()
    walks: Counter[str] = Counter()
    decodes: Counter[str] = Counter()
    differing: list[dict[str, Any]] = []
    ways: tuple[tuple[str, Callable[[bytes], object]], ...] = (
        ("library", library_pixels),
        ("decode", lambda data: decode(data, max_pixels=MAX_PIXELS)),
        ("full", lambda data: measure(data, max_pixels=MAX_PIXELS)),
        ("entropy", lambda data: measure(data, max_pixels=MAX_PIXELS, mode="entropy")),
    )
    for number, (kind, data) in enumerate(mutants(seed, count)):
        found = {}
        for name, read in ways:
            faulthandler.dump_traceback_later(_SECONDS, exit=True)
            found[name] = verdict(lambda read=read, data=data: read(data))  # type: ignore[misc]
            faulthandler.cancel_dump_traceback_later()
        verdicts[found["decode"]] += 1
        for counter, check in ((walks, walked), (decodes, decoded)):
            same = check(data)
            counter["left" if same is None else "same" if same else "other"] += 1
        if len(set(found.values())) > 1:
            differing.append({"number": number, "kind": kind, **found})
    status = Path("/proc/self/status")
    peak = 0
    if status.exists():
        line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        peak = int(line.split()[1]) // 1024
    return {
        "verdicts": dict(verdicts),
        "walks": dict(walks),
        "decodes": dict(decodes),
        "differing": differing,
        "peak_mib": peak,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # Pillow's, about the damaged EXIF blocks
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
