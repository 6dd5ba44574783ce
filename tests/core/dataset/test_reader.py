from __future__ import annotations

import numpy as np
import pytest
from support.pictures import encoded, texture

from boatseg_core.dataset import reader
from boatseg_core.dataset.stream import GoldRow
from boatseg_core.imaging.decode import decode
from boatseg_core.imaging.mask_png import decode_mask, encode_mask


def test_no_bound_makes_a_picture_of_gold_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = texture(1, 40, 60), np.zeros((40, 60), bool)
    row = GoldRow("a.png", encoded(image, "PNG"), encode_mask(mask), 0, [], [], "a.png")
    for function in (decode, decode_mask):  # as if the picture had more than 80 million pixels
        monkeypatch.setitem(function.__kwdefaults__, "max_pixels", 40 * 60 - 1)

    sample = reader._sample(row)

    assert (sample.image == image).all()
    assert (sample.mask == mask).all()
