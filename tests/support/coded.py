"""JPEGs written code by code: legal ones that no encoder would make, from a seed.

What Pillow writes has the usual Huffman tables, steps and sizes of coefficients. These have codes
of up to 16 bits, steps of 1 to 255, blocks that are full or empty, sums that leave the range of
pixels (which libjpeg's C and its SIMD code clamp differently, so that such a file has to be left to
it), pictures of a pixel, and restarts anywhere.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator

_SAMPLINGS = ((1, 1), (2, 1), (1, 2), (2, 2))
_LONGEST = 16  # bits of a code
_MOST_AC = 10  # bits of a coefficient of 8-bit samples
_MOST_DC = 11


@dataclass(frozen=True)
class _Table:
    """A Huffman table: its segment, and of each symbol the code and its length."""

    segment: bytes
    codes: dict[int, tuple[int, int]]


class _Bits:
    def __init__(self) -> None:
        self.value, self.length = 0, 0
        self.out = bytearray()

    def put(self, value: int, length: int) -> None:
        self.value, self.length = self.value << length | value, self.length + length
        while self.length >= 8:
            self.length -= 8
            byte = self.value >> self.length & 255
            self.out += b"\xff\0" if byte == 255 else bytes((byte,))
        self.value &= (1 << self.length) - 1

    def restart(self, marker: int) -> None:
        if self.length:
            self.put((1 << 8 - self.length) - 1, 8 - self.length)
        self.out += bytes((255, marker))


def coded_jpeg(seed: int) -> tuple[bytes, int, int]:
    """Write a JPEG.

    Args:
        seed: Of everything about it.

    Returns:
        Its bytes, width and height.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    width, height = (int(side) for side in rng.integers(1, rng.choice([12, 40, 90], 2)))
    components = int(rng.choice([1, 3, 3, 3]))
    across, down = _SAMPLINGS[int(rng.integers(4))]
    steps = _steps(rng, components)
    dc = [_table(rng, list(range(_MOST_DC + 1)), i) for i in range(2)]
    symbols = [run << 4 | size for run in range(16) for size in range(1, _MOST_AC + 1)]
    ac = [_table(rng, [0x00, 0xF0, *symbols], 0x10 | i) for i in range(2)]
    interval = int(rng.choice([0, 0, 1, 2, 7, 65535]))

    if components == 1:
        across_mcus, down_mcus, blocks = -(-width // 8), -(-height // 8), [0]
    else:
        across_mcus, down_mcus = -(-width // (8 * across)), -(-height // (8 * down))
        blocks = [0] * (across * down) + [1, 2]
    bits, last = _Bits(), [0, 0, 0]
    calm, density = float(rng.choice([1, 1, 1, 0.3])), float(rng.choice([0, 0.02, 0.15, 1]))
    for mcu in range(across_mcus * down_mcus):
        if interval and mcu and mcu % interval == 0:
            bits.restart(0xD0 + (mcu // interval - 1) % 8)
            last = [0, 0, 0]
        for c in blocks:
            values = _coefficients(rng, steps[c], density, wild=rng.random() > calm)
            _put_block(bits, values, last[c], dc[c > 0], ac[c > 0])
            last[c] = int(values[0])
    bits.restart(0xD9)

    parts = [b"\xff\xd8"]
    parts += [_segment(0xDB, bytes((c,)) + steps[c].tobytes()) for c in range(components)]
    parts += [_segment(0xC4, table.segment) for table in (*dc, *ac)]
    if interval:
        parts.append(_segment(0xDD, struct.pack(">H", interval)))
    frame = struct.pack(">BHHB", 8, height, width, components)
    scan = bytes((components,))
    for c in range(components):
        frame += bytes((c + 1, 0x11 if c else across << 4 | down, c))
        scan += bytes((c + 1, 0x11 * (c > 0)))
    parts += [_segment(0xC1, frame), _segment(0xDA, scan + b"\0\x3f\0"), bytes(bits.out)]
    return b"".join(parts), width, height


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 255, marker, len(body) + 2) + body


def _steps(rng: Rng, components: int) -> list[np.ndarray]:
    """In zigzag order: flat, steep, or anything."""
    flat = np.full(64, int(rng.integers(1, 40)))
    steep = np.minimum(1 + np.arange(64) * int(rng.integers(1, 6)), 255)
    return [
        (flat, steep, rng.integers(1, 256, 64))[int(rng.integers(3))].astype(np.uint8)
        for _ in range(components)
    ]


def _table(rng: Rng, symbols: list[int], destination: int) -> _Table:
    """Codes of random lengths for all symbols; none of them all ones."""
    order = [int(symbol) for symbol in rng.permutation(symbols)]
    left, counts, free = len(order), [], 1
    early = float(rng.choice([0.05, 0.3, 0.6]))
    for length in range(1, _LONGEST + 1):
        free *= 2
        if length == _LONGEST:
            count = left
        else:
            # The rest has to find room below what stays free, less the code of all ones.
            room = free - 1 - -(-left // 2 ** (_LONGEST - length))
            count = int(rng.binomial(max(min(left - 1, room), 0), early))
        counts.append(count)
        free, left = free - count, left - count
    codes, code, at = {}, 0, 0
    for length, count in enumerate(counts, start=1):
        for symbol in order[at : at + count]:
            codes[symbol] = (code, length)
            code += 1
        at, code = at + count, code * 2
    return _Table(bytes((destination, *counts, *order)), codes)


def _coefficients(rng: Rng, steps: np.ndarray, density: float, *, wild: bool) -> np.ndarray:
    """In zigzag order; tame ones add up to pixels, wild ones to anything."""
    values = np.zeros(64, dtype=np.int64)
    some = rng.random(64) < density
    if wild:
        size = 2 ** rng.integers(0, _MOST_AC + 1, 64) - 1
        values[some] = rng.integers(-size[some], size[some] + 1)
        values[0] = rng.integers(-1023, 1024)
        return values
    # 8 times a pixel's range is the mean's; what the others share keeps their sum below it.
    size = np.minimum(900 / max(density * 8, 1) / steps, 2**_MOST_AC - 1)
    values[some] = np.rint(rng.uniform(-size, size)[some])
    if some[63] and rng.random() < 0.5:  # a block without an end
        values[63] = 1
    values[0] = round(float(rng.uniform(-1000, 1000)) / int(steps[0]))
    return values


def _put_block(bits: _Bits, values: np.ndarray, last: int, dc: _Table, ac: _Table) -> None:
    _put_value(bits, dc, 0, int(values[0]) - last)
    run = 0
    for value in values[1:].tolist():
        if value == 0:
            run += 1
            continue
        while run > 15:
            bits.put(*ac.codes[0xF0])
            run -= 16
        _put_value(bits, ac, run, value)
        run = 0
    if run:
        bits.put(*ac.codes[0x00])


def _put_value(bits: _Bits, table: _Table, run: int, value: int) -> None:
    size = abs(value).bit_length()
    bits.put(*table.codes[run << 4 | size])
    bits.put(value if value > 0 else value + (1 << size) - 1, size)
