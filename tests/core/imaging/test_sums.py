from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.pictures import texture

from boatseg_core.imaging import native
from boatseg_core.imaging import sums as module
from boatseg_core.imaging.fingerprint import cell_fingerprints, plain_fingerprints
from boatseg_core.imaging.native import NATIVE
from boatseg_core.imaging.sums import Sums, plain_sums, sums

needs_native = pytest.mark.skipif(not NATIVE, reason="installed without a C compiler")


def assert_equal(found: Sums, expected: Sums) -> None:
    for field in fields(Sums):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        assert np.array_equal(left, right), f"{field.name}: {left} is not {right}"


def picture(seed: int, width: int, height: int, kind: str) -> Image.Image:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    if kind == "extreme":
        pixels = rng.choice(np.array([0, 2, 3, 252, 253, 255], np.uint8), (height, width, 3))
    elif kind == "tiles":  # some black, some white, some one level beside
        side = rng.choice(np.array([0, 2, 3, 252, 253, 255], np.uint8), (height, width))
        blocks = side[::32, ::32].repeat(32, axis=0).repeat(32, axis=1)[:height, :width]
        pixels = np.stack([blocks] * 3, axis=2)
    elif kind == "smooth":
        pixels = texture(seed, height, width)
    return Image.fromarray(pixels)


@needs_native
@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 150),
    st.integers(1, 150),
    st.sampled_from(["noise", "extreme", "tiles", "smooth"]),
)
@example(1, 1, 1, "noise")
@example(2, 2, 2, "noise")
@example(3, 3, 3, "extreme")
@example(4, 33, 33, "tiles")
@example(5, 32, 64, "tiles")
def test_the_compiled_sums_are_the_plain_ones(
    seed: int, width: int, height: int, kind: str
) -> None:
    image = picture(seed, width, height, kind)
    assert_equal(sums(image), plain_sums(image))


@needs_native
@pytest.mark.parametrize(
    "size", [(1024, 5), (1025, 40), (1023, 33), (2049, 64), (3, 1100), (1026, 513)]
)
def test_no_seam_shows_between_panels_strips_and_bands(size: tuple[int, int]) -> None:
    image = picture(7, *size, "noise")
    assert_equal(sums(image), plain_sums(image))


@needs_native
def test_a_picture_in_several_pieces_of_memory_gives_the_same() -> None:
    image = picture(8, 2300, 2000, "noise")  # Pillow splits what is larger than 16 MB
    assert_equal(sums(image), plain_sums(image))


@needs_native
def test_the_compiled_sums_refuse_buffers_of_another_size() -> None:
    from boatseg_core.imaging import _pixels

    pixels, cells = np.zeros(64 * 64 * 4, np.uint8), np.zeros(64, np.uint8)
    counts = np.zeros(768, np.uint32)
    assert len(_pixels.measure(pixels, 64, 64, 4, cells, counts)) == 7
    for arguments in (
        (pixels, 64, 65, 4, cells, counts),
        (pixels, 64, 64, 3, cells, counts),
        (pixels, 64, 64, 4, cells[:-1], counts),
        (pixels, 64, 64, 4, cells, counts[:-1]),
        (pixels, -64, -64, 4, cells, counts),
        (pixels, 0, 0, 4, cells, counts),
        (pixels, 2**62, 2**62, 4, cells, counts),
    ):
        with pytest.raises(ValueError, match="size of the picture"):
            _pixels.measure(*arguments)
    with pytest.raises((TypeError, BufferError)):
        _pixels.measure(pixels, 64, 64, 4, bytes(64), counts)  # cannot be written into


def test_without_a_compiler_numpy_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(9, 70, 50, "smooth")
    expected = plain_sums(image)
    cells = np.asarray(image.resize((64, 64)).convert("L"))
    prints = cell_fingerprints(cells)
    monkeypatch.setattr(native, "pixels", None)
    assert_equal(sums(image), expected)
    assert (cell_fingerprints(cells) == prints).all()


def test_cells_are_the_averages_pillow_makes() -> None:
    # What fingerprints of existing homes were made of.
    image = picture(10, 300, 270, "smooth")
    whole = image.convert("L").crop((0, 0, 296, 264)).reduce(8)
    assert (sums(image).cells == np.asarray(whole)).all()


def test_saturation_is_that_of_block_averages() -> None:
    image = picture(11, 96, 64, "noise")
    small = np.asarray(image.reduce(4)).astype(float)
    expected = ((small.max(axis=2) - small.min(axis=2)) / small.max(axis=2)).mean()
    found = sums(image)
    assert found.saturation / module.SATURATION_SCALE / found.blocks == pytest.approx(
        expected, abs=1e-4
    )


@needs_native
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 100),
    st.integers(0, 100),
    st.sampled_from([0.0, 0.3, 0.55, 0.6, 0.65, 1.0, 20.0, 200.0]),  # texture counts from 0.6
)
def test_the_compiled_fingerprints_are_the_plain_ones(
    seed: int, rows: int, columns: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(rng.integers(0, 256), spread, (rows, columns))
    cells = np.clip(noise, 0, 255).round().astype(np.uint8)
    assert (cell_fingerprints(cells) == plain_fingerprints(cells)).all()
    if rows and columns:
        turned = cells.T  # not contiguous
        assert (cell_fingerprints(turned) == plain_fingerprints(turned)).all()


def test_a_fingerprint_never_changes() -> None:
    # Of a home's first version: a tile must find itself again in whatever was stored.
    y, x = np.mgrid[0:32, 0:32]
    cells = ((x * 37 + y * 101 + x * y * 13) % 251).astype(np.uint8)
    (found,) = cell_fingerprints(cells)
    assert found.tobytes().hex() == (
        "761f0150ab12bf7d303bf66fd62981ccf59fa89d3bb9288ecd9a1cc98ae02b06"
    )
