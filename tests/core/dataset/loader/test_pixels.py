from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import golds

from boatseg_core.dataset import GoldDataset
from boatseg_core.errors import ImageError
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.lake import Lake


def all_of(loader: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        name: (image, mask)
        for batch in loader
        for name, image, mask in zip(
            batch["image_id"].to_pylist(), batch["image"], batch["mask"], strict=True
        )
    }


def test_the_native_size_is_the_stored_pixels(gold: GoldDataset) -> None:
    found = all_of(gold.loader(size=golds.SIDE, batch_size=4))
    for name, (image, mask) in found.items():
        expected, inside = golds.picture(int(name[:4]))
        assert image.dtype == mask.dtype == np.uint8
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(mask, inside)


@pytest.mark.parametrize(("size", "factor"), [(32, 2), (16, 4), ((16, 32), None)])
def test_image_and_mask_are_scaled_alike(
    gold: GoldDataset, size: int | tuple[int, int], factor: int | None
) -> None:
    for name, (image, mask) in all_of(gold.loader(size=size, batch_size=4)).items():
        height, width = (size, size) if isinstance(size, int) else size
        assert image.shape == (height, width, 3)
        _, inside = golds.picture(int(name[:4]))
        if factor:  # boats lie on the grid: their pixels are wholly inside or outside
            np.testing.assert_array_equal(mask, inside[::factor, ::factor])
        if inside.any():  # and inside the boat, away from the filter's reach, all is white
            core = mask.astype(bool)
            core = core & np.roll(core, 1, 0) & np.roll(core, -1, 0)
            core = core & np.roll(core, 1, 1) & np.roll(core, -1, 1)
            assert core.any() or height == 16
            assert (image[core] > 250).all()


@pytest.mark.parametrize("centred", [0.0, 1.0])
@pytest.mark.parametrize("crop", [16, 40, 80])
def test_crops_are_pixels_of_the_image_with_its_mask(
    gold: GoldDataset, crop: int, centred: float
) -> None:
    """The boat is exactly where the image is white: a crop that is not aligned shows it."""
    boats = 0
    for batch in gold.loader(crop=crop, batch_size=6, boat_share=0.5, centred=centred):
        assert batch["image"].shape == (6, crop, crop, 3)
        np.testing.assert_array_equal(
            (batch["image"] == 255).all(axis=3), batch["mask"].astype(bool)
        )
        shown = batch["mask"].any(axis=(1, 2))
        has_boat = [int(name[:4]) % 3 == 0 for name in batch["image_id"].to_pylist()]
        boats += sum(has_boat)
        if centred:
            assert shown.tolist() == has_boat
    assert boats == 30


def test_crops_are_the_same_for_any_number_of_threads_and_differ_by_epoch(
    gold: GoldDataset,
) -> None:
    one, four = (gold.loader(crop=24, batch_size=6, threads=threads) for threads in (1, 4))
    first = all_of(one)
    for name, (image, mask) in all_of(four).items():
        np.testing.assert_array_equal(first[name][0], image)
        np.testing.assert_array_equal(first[name][1], mask)
    assert any((first[name][0] != image).any() for name, (image, _) in all_of(four).items())


@pytest.mark.parametrize("column", ["image", "mask"])
@pytest.mark.parametrize("kind", [{"size": 32}, {"crop": 32, "centred": 0.0}])
@pytest.mark.parametrize("harm", [b"no picture", None])
def test_a_damaged_row_names_its_image(
    tmp_path: Any, column: str, kind: dict[str, Any], harm: bytes | None
) -> None:
    rows = golds.mixed(20)
    rows[7] |= {column: harm}
    gold = golds.write(Lake(str(tmp_path / "l"), durable=False), rows)
    with pytest.raises(ImageError, match=f"gold image 0007.png of version {gold.version}"):
        list(gold.loader(batch_size=4, **kind))


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Any) -> None:
    rows = golds.mixed(5)
    rows[2] |= {"mask": encode_mask(np.zeros((8, 8), bool))}
    gold = golds.write(Lake(str(tmp_path / "l"), durable=False), rows)
    with pytest.raises(ImageError, match=r"0002.png .*its mask has \(8, 8\) rows and columns"):
        list(gold.loader(crop=8, batch_size=2))
