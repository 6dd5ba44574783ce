from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.pictures import encoded, texture

from boatseg_core.dataset.similarity import MAX_DISTANCE, similar_pairs
from boatseg_core.errors import ImageError
from boatseg_core.imaging.decode import decode
from boatseg_core.imaging.fingerprint import BYTES
from boatseg_core.imaging.measure import Measurements, measure
from boatseg_core.imaging.native import NATIVE
from boatseg_core.imaging.reduced import plain_reduced_sums, planes_of, reduced_sums

TESTS = Path(__file__).parents[2]


def both(data: bytes) -> tuple[Measurements, Measurements]:
    return measure(data), measure(data, mode="entropy")


def prints(measured: Measurements) -> np.ndarray:
    return np.frombuffer(measured.tiles, dtype=np.uint8).reshape(-1, BYTES)


def rotated(orientation: int, height: int, width: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(texture(orientation, height, width), exif=exif, **options)


@pytest.mark.parametrize(
    "data",
    [
        encoded(texture(1, 300, 520)),
        encoded(texture(2, 301, 523), progressive=True),
        encoded(texture(3, 259, 263), subsampling=0),
        encoded(texture(4, 8, 8)),
        encoded(texture(5, 9, 300)),
        *(rotated(orientation, 264, 320) for orientation in range(1, 9)),
    ],
)
def test_facts_of_the_file_are_exact(data: bytes) -> None:
    full, fast = both(data)

    assert (full.measured, fast.measured) == ("full", "entropy")
    for name in (
        "sha256",
        "size_bytes",
        "width",
        "height",
        "mode",
        "format",
        "orientation",
        "bits",
    ):
        assert getattr(full, name) == getattr(fast, name), name
    assert len(full.tiles) == len(fast.tiles)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_are_read_too(mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(texture(6, 128, 128)).convert(mode).save(buffer, "JPEG")

    full, fast = both(buffer.getvalue())

    assert (fast.measured, fast.mode) == ("entropy", mode)
    assert fast.brightness == pytest.approx(full.brightness, abs=1)


def test_figures_are_those_of_the_block_averages() -> None:
    image = texture(7, 512, 512)

    full, fast = both(encoded(image, quality=95, subsampling=0))

    assert fast.brightness == pytest.approx(full.brightness, abs=0.5)
    assert fast.saturation == pytest.approx(full.saturation, abs=0.02)
    means = image.reshape(64, 8, 64, 8, 3).mean(axis=(1, 3))
    grey = np.asarray(Image.fromarray(means.round().astype(np.uint8)).convert("L"))
    assert fast.contrast == pytest.approx(grey.std(), abs=0.5)
    assert fast.sharpness is None
    histogram = np.frombuffer(fast.histogram, dtype="<u4").reshape(3, 256)
    assert (histogram.sum(axis=1) == 64 * 64).all()
    assert histogram[0] @ np.arange(256) / 4096 == pytest.approx(image[..., 0].mean(), abs=1)


def test_blank_tiles_are_found_at_an_eighth() -> None:
    image = texture(8, 256, 256)
    image[:, :64] = 0
    image[:32, 64:128] = 255

    full, fast = both(encoded(image, quality=95, subsampling=0))

    assert (fast.black_share, fast.white_share) == (full.black_share, full.white_share)
    assert (fast.black_share, fast.white_share) == (16 / 64, 2 / 64)


@pytest.mark.skipif(not NATIVE, reason="installed without a C compiler")
@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([(0, 256), (0, 4), (251, 256)]),
)
def test_the_compiled_sums_of_the_cells_are_the_plain_ones(
    seed: int, rows: int, columns: int, levels: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(*levels, (rows, columns, 3)).astype(np.uint8)
    rgb[: rows // 2, : columns // 2] = levels[0]
    planes = planes_of(Image.fromarray(rgb))

    found, plain = reduced_sums(planes), plain_reduced_sums(planes)

    for name in found.__slots__:
        assert np.array_equal(getattr(found, name), getattr(plain, name)), name


@pytest.mark.skipif(not NATIVE, reason="installed without a C compiler")
def test_the_compiled_sums_of_the_cells_refuse_buffers_of_another_size() -> None:
    from boatseg_core.imaging import _pixels

    planes, cells, counts = np.zeros(3 * 64, np.uint8), np.zeros(64, np.uint8), np.zeros(768, "<u4")
    assert _pixels.reduced(planes, 8, 8, cells, counts) == (0, 0, 0, 4, 0)
    for arguments in (
        (planes, 8, 9, cells, counts),
        (planes[:-1], 8, 8, cells, counts),
        (planes, 8, 8, cells[:-1], counts),
        (planes, 8, 8, cells, counts[:-1]),
        (planes, -8, -8, cells, counts),
        (planes, 2**62, 2**62, cells, counts),
    ):
        with pytest.raises(ValueError, match="size of the picture"):
            _pixels.reduced(*arguments)


@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP", "BMP"])
def test_other_formats_are_measured_in_full(name: str) -> None:
    full, fast = both(encoded(texture(9, 64, 64), name))
    assert fast == full
    assert fast.measured == "full"


@pytest.mark.parametrize("data", [encoded(texture(1, 7, 90)), rotated(3, 264, 321)])
def test_what_has_no_whole_cells_is_measured_in_full(data: bytes) -> None:
    full, fast = both(data)
    assert fast == full
    assert fast.measured == "full"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("quality", [60, 95])
def test_a_tile_is_recognised_whichever_way_it_was_read(orientation: int, quality: int) -> None:
    full, fast = both(rotated(orientation, 520, 776, quality=quality))

    apart = np.bitwise_count(prints(full) ^ prints(fast)).sum(axis=1)

    assert len(apart) == 6
    assert apart.max() < MAX_DISTANCE / 2


def test_windows_of_one_scene_find_each_other_across_modes() -> None:
    scene = texture(10, 768, 256 * 12)
    windows = [encoded(scene[:, x : x + 768], quality=90) for x in range(0, 256 * 10, 256)]
    strangers = [encoded(texture(seed, 768, 768)) for seed in range(20, 26)]
    expected = {(i, j) for i in range(10) for j in range(i + 1, min(i + 3, 10))}
    for modes in (["full", "entropy"] * 8, ["entropy"] * 16):
        found = [
            prints(measure(data, mode=mode))  # type: ignore[arg-type]
            for data, mode in zip(windows + strangers, modes, strict=True)
        ]
        owner = np.repeat(np.arange(16), [len(tiles) for tiles in found])
        pairs = {tuple(pair) for pair in owner[similar_pairs(np.concatenate(found))].tolist()}
        assert pairs == expected


def test_half_a_picture_is_refused() -> None:
    data = encoded(texture(11, 256, 256))
    for cut in (len(data) // 2, len(data) - 20):
        with pytest.raises(ImageError) as caught:
            measure(data[:cut], mode="entropy")
        assert caught.value.reason == "truncated"
    with pytest.raises(ImageError) as caught:
        measure(data, max_pixels=256 * 256 - 1, mode="entropy")
    assert caught.value.reason == "too_many_pixels"


def test_five_thousand_damaged_jpegs_get_the_same_verdict_every_way() -> None:
    command = [sys.executable, "-m", "support.fuzz", "20181117", "5000"]
    run = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-3000:]  # neither crash nor hang
    found = json.loads(run.stdout.splitlines()[-1])

    verdicts = found["verdicts"]
    assert sum(verdicts.values()) == 5000
    # The fuzzer reaches past the header, and spares some files.
    assert min(verdicts["fine"], verdicts["corrupt"], verdicts["truncated"]) > 200
    assert found["differing"] == []
    # What the walker takes, the library decodes, to the same pixels.
    assert set(found["walks"]) <= {"left", "same"}
    assert found["walks"].get("same", 0) >= 200 * NATIVE
    assert set(found["decodes"]) <= {"left", "same"}
    assert found["decodes"].get("same", 0) >= 200 * NATIVE
    assert found["peak_mib"] < 300


def test_the_fuzzer_would_notice_a_lazy_reader() -> None:
    from support.fuzz import mutants, verdict

    def lazy(data: bytes) -> None:
        try:
            Image.open(io.BytesIO(data), formats=["JPEG"]).verify()
        except Exception as error:
            raise ImageError("corrupt", str(error)) from error

    missed = sum(
        verdict(lambda data=data: lazy(data)) == "fine"  # type: ignore[misc]
        and verdict(lambda data=data: decode(data)) != "fine"  # type: ignore[misc]
        for _, data in mutants(1, 300)
    )
    assert missed > 20


def test_the_first_of_several_pictures_is_read() -> None:
    buffer = io.BytesIO()
    first, second = (Image.fromarray(texture(seed, 256, 264)) for seed in (1, 2))
    first.save(buffer, "MPO", save_all=True, append_images=[second])

    full, fast = both(buffer.getvalue())

    assert (fast.measured, fast.format, fast.width, fast.height) == ("entropy", "JPEG", 264, 256)
    assert fast.brightness == pytest.approx(full.brightness, abs=0.5)
