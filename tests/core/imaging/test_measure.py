from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded, texture

from boatseg_core.errors import ImageError
from boatseg_core.imaging.decode import decode
from boatseg_core.imaging.fingerprint import BYTES, tile_fingerprints
from boatseg_core.imaging.measure import measure


def test_facts_of_the_file() -> None:
    data = encoded(texture(1, 100, 140), "PNG")

    found = measure(data)

    assert (found.width, found.height, found.mode, found.format) == (140, 100, "RGB", "PNG")
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.size_bytes, found.bits, found.orientation) == (len(data), 8, 1)


def test_figures_equal_those_computed_plainly() -> None:
    image = texture(2, 128, 96)

    found = measure(encoded(image, "PNG"))

    grey = np.asarray(Image.fromarray(image).convert("L")).astype(np.float64)
    assert found.brightness == pytest.approx(grey.mean())
    assert found.contrast == pytest.approx(grey.std())
    laplacian = np.array(
        [
            [
                grey[y - 1, x] + grey[y + 1, x] + grey[y, x - 1] + grey[y, x + 1] - 4 * grey[y, x]
                for x in range(1, 95)
            ]
            for y in range(1, 127)
        ]
    )
    assert found.sharpness == pytest.approx(laplacian.var(), rel=1e-4)
    histogram = np.frombuffer(found.histogram, dtype="<u4").reshape(3, 256)
    for channel in range(3):
        assert (histogram[channel] == np.bincount(image[..., channel].ravel(), minlength=256)).all()


def test_blank_tiles_are_counted_black_and_white_apart() -> None:
    image = np.full((64, 128, 3), 255, np.uint8)
    image[:, :64] = 0
    image[:32, :32] = 120

    found = measure(encoded(image, "PNG"))

    assert found.black_share == pytest.approx(3 / 8)
    assert found.white_share == pytest.approx(4 / 8)


def test_grey_has_no_saturation_and_red_has_all() -> None:
    grey = np.full((32, 32, 3), 99, np.uint8)
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    assert measure(encoded(grey, "PNG")).saturation == 0
    assert measure(encoded(red, "PNG")).saturation == pytest.approx(1)


def test_sizes_are_those_of_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    buffer = io.BytesIO()
    Image.fromarray(texture(3, 40, 70)).save(buffer, "JPEG", exif=exif)

    found = measure(buffer.getvalue())

    assert (found.width, found.height, found.orientation) == (40, 70, 8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 2), (256, 256), (257, 511)])
def test_any_size_is_measured(shape: tuple[int, int]) -> None:
    found = measure(encoded(texture(4, *shape), "PNG"))

    assert (found.height, found.width) == shape
    assert np.isfinite([found.sharpness, found.contrast, found.saturation]).all()
    assert len(found.tiles) == (shape[0] // 256) * (shape[1] // 256) * BYTES


def test_damage_is_an_error_not_a_measurement() -> None:
    data = encoded(texture(5))
    with pytest.raises(ImageError):
        measure(data[: len(data) // 2])


def verdict(read: Callable[[bytes], object], data: bytes) -> str:
    try:
        read(data)
    except ImageError as error:
        return error.reason
    return "fine"


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turned", [False, True])  # a PNG without EXIF is decoded to look for it
def test_measuring_refuses_exactly_what_decoding_refuses(format_name: str, turned: bool) -> None:
    rng = np.random.default_rng(7)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if turned else {}
    data = encoded(texture(9, 48, 64), format_name, **options)
    verdicts = set()
    for _ in range(300):
        broken = bytearray(data)
        broken[int(rng.integers(len(data)))] ^= int(rng.integers(1, 256))
        found = verdict(measure, bytes(broken))
        assert found == verdict(decode, bytes(broken))
        verdicts.add(found)
    assert len(verdicts) > 1  # some were refused


def test_an_orientation_is_read_before_it_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = measure(encoded(texture(3, 40, 70), "TIFF", exif=exif))

    assert (found.width, found.height, found.orientation) == (40, 70, 6)


def test_a_jpeg_with_further_pictures_is_a_jpeg() -> None:
    buffer = io.BytesIO()
    first, second = (Image.fromarray(texture(seed, 64, 64)) for seed in (1, 2))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    assert Image.open(buffer).format == "MPO"

    found = measure(buffer.getvalue())

    assert (found.format, found.width, found.height) == ("JPEG", 64, 64)


def bits_apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.bitwise_count(a ^ b).sum())


def test_a_fingerprint_survives_recompression_and_nothing_else() -> None:
    image = texture(6, 256, 256)
    (first,) = tile_fingerprints(Image.fromarray(image).convert("L"))
    for quality in (60, 75, 95):
        again = Image.open(io.BytesIO(encoded(image, quality=quality))).convert("L")
        assert bits_apart(first, tile_fingerprints(again)[0]) < 40
    (other,) = tile_fingerprints(Image.fromarray(texture(7, 256, 256)).convert("L"))
    assert 80 < bits_apart(first, other) < 176


def test_a_tile_keeps_its_fingerprint_wherever_it_lies() -> None:
    scene = texture(8, 512, 768)
    whole = tile_fingerprints(Image.fromarray(scene).convert("L"))
    part = tile_fingerprints(Image.fromarray(scene[256:, 256:]).convert("L"))

    assert whole.shape == (6, BYTES)
    assert (whole[[4, 5]] == part).all()


def test_a_tile_without_texture_says_nothing() -> None:
    ramp = np.linspace(50, 200, 256, dtype=np.uint8)[None].repeat(256, axis=0)
    for flat in (np.full((256, 256), 77, np.uint8), np.zeros((256, 256), np.uint8)):
        assert not tile_fingerprints(Image.fromarray(flat)).any()
    # A slow gradient is alike everywhere the sun shines.
    assert tile_fingerprints(Image.fromarray(ramp)).shape == (1, BYTES)
