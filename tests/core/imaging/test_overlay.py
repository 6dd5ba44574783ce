from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from boatseg_core.errors import ImageError
from boatseg_core.imaging import overlay

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", IEEE TVCG 15(6), 2009: severity 1.0, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
SEAS = {"dark": (20, 40, 55), "turquoise": (60, 140, 140), "silver": (150, 160, 165)}
INKS = {"agreement": overlay.AGREEMENT, "truth": overlay.TRUTH, "prediction": overlay.PREDICTION}


def lab(colour: tuple[int, int, int], sight: str) -> np.ndarray:
    c = np.array(colour) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x = to_xyz @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart_for_every_kind_of_sight(sight: str) -> None:
    for (a, first), (b, second) in itertools.combinations(INKS.items(), 2):
        assert np.linalg.norm(lab(first, sight) - lab(second, sight)) > 33, (a, b)
    for (a, ink), (b, sea) in itertools.product(INKS.items(), SEAS.items()):
        assert np.linalg.norm(lab(ink, sight) - lab(sea, sight)) > 33, (a, b)


def square(size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    image = np.full((size, size, 3), 100, dtype=np.uint8)
    mask = np.zeros((size, size), dtype=np.bool_)
    mask[10:30, 20:50] = True
    return image, mask


def test_overlay_tints_inside_outlines_edge_and_leaves_the_rest_alone() -> None:
    image, mask = square()
    before = image.copy()
    out = overlay.draw_overlay(image, mask, colour=(200, 0, 0), alpha=0.5, outline=2)
    assert np.array_equal(image, before)
    assert np.array_equal(out[~mask], image[~mask])
    assert out[20, 35].tolist() == [150, 50, 50]
    for y, x in [(10, 20), (11, 21), (29, 49), (28, 35)]:
        assert out[y, x].tolist() == [200, 0, 0]
    assert out[12, 22].tolist() == [150, 50, 50]


def test_contour_stays_open_where_the_image_cuts_the_boat() -> None:
    mask = np.zeros((10, 10), dtype=np.bool_)
    mask[3:7, 5:] = True
    edge = overlay.contour(mask, 1)
    assert edge[3, 9] and edge[6, 9] and edge[4, 5]
    assert not edge[4:6, 9].any()
    assert not overlay.contour(mask, 0).any()


def test_comparison_gives_each_kind_of_pixel_its_colour() -> None:
    image, truth = square()
    prediction = np.roll(truth, 10, axis=1)
    out = overlay.draw_comparison(image, truth, prediction, alpha=1.0, outline=0)
    assert (out[truth & prediction] == overlay.AGREEMENT).all()
    assert (out[truth & ~prediction] == overlay.TRUTH).all()
    assert (out[prediction & ~truth] == overlay.PREDICTION).all()
    assert np.array_equal(out[~(truth | prediction)], image[~(truth | prediction)])


def test_a_mask_of_another_size_is_refused() -> None:
    image, mask = square()
    with pytest.raises(ValueError, match="the mask is 64x32 pixels, the image 64x64"):
        overlay.draw_overlay(image, mask[:32])


def encoded(array: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_thumbnail_keeps_aspect_and_matches_the_full_picture(kind: str) -> None:
    y, x = np.mgrid[0:300, 0:700]
    image = np.stack([x * 255 // 699, y * 255 // 299, np.full_like(x, 90)], -1).astype(np.uint8)
    small = overlay.thumbnail(encoded(image, kind), 140)
    assert small.shape == (60, 140, 3)
    reference = overlay.thumbnail(image, 140)
    assert np.abs(small.astype(int) - reference).max() <= 8
    assert overlay.thumbnail(image, 5000).shape == image.shape


def test_thumbnail_turns_the_picture_upright() -> None:
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    image[:, :100] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise: left becomes top
    small = overlay.thumbnail(encoded(image, "JPEG", exif=exif.tobytes()), 50)
    assert small.shape == (50, 25, 3)
    assert small[:20].min() > 240 and small[-20:].max() < 15


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0 half"])
def test_thumbnail_of_what_is_no_image_is_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        overlay.thumbnail(data)


def test_a_small_boat_survives_in_the_thumbnail_mask() -> None:
    mask = np.zeros((768, 768), dtype=np.bool_)
    mask[400:406, 300:310] = True
    small = overlay.shrink_mask(mask, 192, 192)
    assert small.shape == (192, 192)
    assert 2 <= small.sum() <= 9
    assert small[100, 76]


def test_contact_sheet_places_pictures_and_survives_odd_captions() -> None:
    red = np.zeros((40, 40, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    blue = np.zeros((20, 40, 3), np.uint8) + np.array([0, 0, 255], np.uint8)
    sheet = overlay.contact_sheet(
        [red, blue, red], columns=2, size=40, gap=4, captions=["a" * 500, "船\n<b>", ""]
    )
    assert sheet.shape[1] == 2 * 44 + 4
    assert sheet[10, 10].tolist() == [255, 0, 0]
    assert sheet[24, 60].tolist() == [0, 0, 255]
    with pytest.raises(ValueError, match="at least one"):
        overlay.contact_sheet([])
    with pytest.raises(ValueError, match="1 captions for 2"):
        overlay.contact_sheet([red, blue], captions=["x"])


@pytest.mark.parametrize("bound", [2_000, 20_000, 150_000])
def test_bounds_hold_for_the_worst_picture(bound: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    for data in (
        overlay.to_jpeg(noise, max_bytes=bound),
        overlay.to_png(noise, max_bytes=bound),
    ):
        assert len(data) <= bound
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert abs(picture.width / picture.height - 1.5) < 0.1
    uri = overlay.jpeg_uri(noise, max_bytes=bound)
    assert bound * (0.3 if bound < 10_000 else 0.4) < len(uri) <= bound
    assert overlay.markdown_image(uri, "noise", max_bytes=bound) == f"![noise]({uri})"


def test_an_impossible_bound_is_an_error_not_a_loop() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="fits into 10 bytes"):
        overlay.to_jpeg(noise, max_bytes=10)
    with pytest.raises(ValueError, match="fits into 10 bytes"):
        overlay.to_png(noise, max_bytes=10)


def test_markdown_escapes_hostile_names_and_refuses_other_addresses() -> None:
    uri = overlay.jpeg_uri(square()[0])
    text = overlay.markdown_image(uri, "](http://evil)\n<script>")
    assert text == f"![\\]\\(http://evil\\) \\<script\\>]({uri})"
    with pytest.raises(ValueError, match="not the data URI"):
        overlay.markdown_image("http://evil/x.png", "x")
    with pytest.raises(ValueError, match="over the bound"):
        overlay.markdown_image(uri, "x", max_bytes=10)


def test_one_bit_masks_become_one_bit_pngs() -> None:
    _, mask = square()
    with Image.open(io.BytesIO(overlay.to_png(mask))) as picture:
        assert picture.mode == "1"
        assert np.array_equal(np.asarray(picture), mask)
