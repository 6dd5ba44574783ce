from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boatseg_core.errors import InputError
from boatseg_core.imaging import rle
from boatseg_core.labels.sources import mask_picture
from boatseg_core.labels.sources.mask_picture import MaskPicture, read_mask

# Two objects that touch (1 and 2), and one in two pieces (3).
INSTANCES = np.array(
    [
        [1, 1, 2, 2, 0, 3],
        [1, 1, 2, 0, 0, 0],
        [0, 0, 0, 0, 0, 3],
    ],
    dtype=np.uint8,
)


def picture(array: np.ndarray, mode: str | None = None, format: str = "PNG", **more: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, format, **more)
    return buffer.getvalue()


def objects(data: bytes, **options: Any) -> list[np.ndarray]:
    rows = read_mask(data, "a", where="mask a.png", **options)
    assert {(row.image_id, row.kind, row.by_stem) for row in rows} == {("a", "mask", True)}
    assert [row.line for row in rows] == list(range(1, len(rows) + 1))
    return [rle.decode(r.text or "", r.height or 0, r.width or 0) for r in rows if r.text]


def per_value(array: np.ndarray) -> list[np.ndarray]:
    return [array == value for value in np.unique(array) if value]


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def indexed(array: np.ndarray) -> bytes:
    image = Image.fromarray(array)
    image.putpalette(bytes(range(256)) * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        picture(INSTANCES),
        picture(INSTANCES.astype(np.uint16) * 300),
        picture(INSTANCES.astype(np.int32) * 70_000, format="TIFF"),
        picture(INSTANCES, format="TIFF", compression="tiff_lzw"),
        indexed(INSTANCES),
        picture(np.stack([INSTANCES * 40, INSTANCES * 0, INSTANCES * 7], axis=-1)),
        picture(np.stack([INSTANCES * 40] * 3, axis=-1)),
        picture(np.stack([INSTANCES * 9] * 3 + [np.full_like(INSTANCES, 255)], axis=-1)),
    ],
    ids=["grey", "16 bit", "32 bit TIFF", "8 bit TIFF", "indexed", "colours", "grey RGB", "RGBA"],
)
def test_several_values_are_one_object_each(data: bytes) -> None:
    same(objects(data), per_value(INSTANCES))


REGIONS = [
    np.isin(INSTANCES, (1, 2)),
    (INSTANCES == 3) & (np.arange(3)[:, None] == 0),
    (INSTANCES == 3) & (np.arange(3)[:, None] == 2),
]


@pytest.mark.parametrize("value", [1, 128, 255])
def test_one_value_is_one_object_per_region(value: int) -> None:
    mask = (INSTANCES > 0).astype(np.uint8) * value
    same(objects(picture(mask)), REGIONS)
    same(objects(picture(mask), values="values"), [INSTANCES > 0])


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_one_bit_masks(format: str) -> None:
    same(objects(picture(INSTANCES > 0, "1", format=format)), REGIONS)


def test_jpeg_goes_through_the_threshold() -> None:
    mask = np.zeros((64, 80), dtype=bool)
    mask[7:25, 13:50] = mask[37:57, 5:24] = True
    data = picture(mask.astype(np.uint8) * 255, "L", format="JPEG", quality=80)
    assert len(np.unique(np.asarray(Image.open(io.BytesIO(data))))) > 2
    found = objects(data)
    assert len(found) == 2
    np.testing.assert_array_equal(found[0] | found[1], mask)


def test_soft_edges_need_a_word_from_the_user() -> None:
    soft = np.array([[0, 90, 255, 140, 0, 0, 200]], dtype=np.uint8)
    assert len(objects(picture(soft))) == 4
    same(
        objects(picture(soft), values="components"),
        [np.array([[0, 0, 1, 1, 0, 0, 0]], bool), np.array([[0, 0, 0, 0, 0, 0, 1]], bool)],
    )


def test_what_is_transparent_is_background() -> None:
    colour = np.stack([INSTANCES * 9] * 3 + [np.where(INSTANCES == 2, 0, 255)], axis=-1)
    same(objects(picture(colour.astype(np.uint8))), [INSTANCES == 1, INSTANCES == 3])


def test_an_empty_mask_is_a_label_without_objects() -> None:
    (row,) = read_mask(picture(np.zeros((5, 7), np.uint8)), "a", where="mask")
    assert (row.text, row.width, row.height, row.element) == ("", 7, 5, None)


def test_exif_orientation_is_applied() -> None:
    image = Image.fromarray(np.zeros((5, 7), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    (row,) = read_mask(buffer.getvalue(), "a", where="mask")
    assert (row.width, row.height) == (5, 7)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is no PNG, JPEG or TIFF"),
        (b"GIF89a" + bytes(50), "is no PNG, JPEG or TIFF"),
        (picture(INSTANCES)[:-30], "is damaged"),
        (picture(np.eye(30, dtype=np.uint8), format="TIFF")[:300], "is damaged|is no PNG"),
        (picture(np.full((2, 2), -1, np.int32), format="TIFF"), "negative values"),
        (picture(np.ones((2, 2), np.float32), format="TIFF"), "kind F"),
        (picture(np.zeros((40, 40), np.uint8)), "40x40, more than 1000 pixels"),
    ],
    ids=["empty", "GIF", "cut", "cut TIFF", "negative", "float", "large"],
)
def test_what_cannot_be_used_says_why(data: bytes, why: str) -> None:
    with pytest.raises(InputError, match=f"^mask a.png .*({why})"):
        read_mask(data, "a", where="mask a.png", limit=1000)


@pytest.mark.parametrize("values", ["values", "components"])
def test_noise_is_no_mask(monkeypatch: pytest.MonkeyPatch, values: Any) -> None:
    monkeypatch.setattr(mask_picture, "MAX_OBJECTS", 10)
    noise = np.zeros((16, 16), np.uint16)
    noise[::2, ::2] = np.arange(1, 65).reshape(8, 8) + 200
    with pytest.raises(InputError, match="has 64 objects, more than 10"):
        read_mask(picture(noise), "a", where="mask", values=values)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png cannot be read"):
        list(MaskPicture(tmp_path / "none.png", "none").rows())
