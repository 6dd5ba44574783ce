from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded, texture

from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.imaging.scaled import image_at, mask_at


def test_a_scaled_jpeg_is_close_to_the_whole_one_made_smaller() -> None:
    large = np.asarray(Image.fromarray(texture(1, 60, 60)).resize((480, 480), Image.BICUBIC))
    data = encoded(large, quality=95)
    for side in (240, 200, 120, 60):
        got = image_at(data, side, side).astype(int)
        whole = Image.open(io.BytesIO(data))
        expected = np.asarray(whole.resize((side, side), Image.BILINEAR)).astype(int)
        assert np.abs(got - expected).mean() < 4


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("size", [(48, 96), (96, 48), (50, 50)])
def test_pictures_are_upright_before_they_are_scaled(
    orientation: int, size: tuple[int, int]
) -> None:
    image = Image.fromarray(np.asarray(texture(2, 24, 48)).repeat(8, 0).repeat(8, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.asarray(image), exif=exif, quality=95)
    turned = {1: None, 3: 3, 6: 4, 8: 2}[orientation]  # Image.Transpose of the same meaning
    upright = image if turned is None else image.transpose(Image.Transpose(turned))
    expected = np.asarray(upright.resize(size[::-1], Image.BILINEAR)).astype(int)
    assert np.abs(image_at(data, *size).astype(int) - expected).mean() < 6


def test_a_mask_pixel_is_boat_where_boats_cover_half_of_it() -> None:
    mask = np.zeros((8, 8), dtype=np.bool_)
    mask[0:2, 0:1] = True  # half of the first pixel of two by two
    mask[2, 2] = True  # a quarter
    small = mask_at(encode_mask(mask), 4, 4)
    assert np.argwhere(small).tolist() == [[0, 0]]
    assert not mask_at(encode_mask(np.zeros((8, 8), bool)), 3, 5).any()
