from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image
from support.pictures import encoded

from boatseg_core.errors import InputError
from boatseg_core.gallery.page import render_page
from boatseg_core.gallery.query import cards_from_frame
from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import encode_mask


def jpeg(height: int = 40, width: int = 60, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (10, 60, 90)).save(buffer, "JPEG", exif=exif.tobytes())
    return buffer.getvalue()


def boat(x: int, height: int = 40, width: int = 60) -> np.ndarray:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[5:15, x : x + 10] = True
    return mask


def frame(**columns: object) -> pl.DataFrame:
    kinds = {"boat_rles": pl.List(pl.String), "image": pl.Binary, "mask": pl.Binary}
    return pl.DataFrame(columns, schema_overrides={k: v for k, v in kinds.items() if k in columns})


def test_rows_become_cards_with_masks_fields_and_iou() -> None:
    truth, first, second = boat(10), boat(15), boat(40)
    cards = list(
        cards_from_frame(
            frame(
                image_id=["a", "b", "c"],
                image=[jpeg()] * 3,
                mask=[encode_mask(truth), encode_mask(truth & False), None],
                boat_rles=[[rle.encode(first), rle.encode(second)], [], [rle.encode(first)]],
                boat_count=[2, 0, 1],
                split=["test", "test", None],
                boat_scores=[[0.9, 0.8], [], [0.7]],
                boat_boxes=[[[1, 2, 3, 4]], [], []],
            )
        )
    )
    assert [card.image_id for card in cards] == ["a", "b", "c"]
    a, b, c = cards
    assert np.array_equal(a.truth, truth)
    assert np.array_equal(a.prediction, first | second)
    assert a.fields["iou"] == pytest.approx(50 / 250)
    assert list(a.fields) == ["boat_count", "split", "boat_scores", "iou"]
    assert b.prediction is not None and not b.prediction.any() and b.fields["iou"] == 1.0
    assert c.truth is None and "iou" not in c.fields
    assert "Compare" in render_page("x", cards)


def test_an_image_alone_is_enough_and_sizes_follow_the_upright_picture() -> None:
    (card,) = cards_from_frame(frame(image=[jpeg()]))
    assert (card.image_id, card.truth, card.prediction) == ("row 1", None, None)
    upright = boat(2, 60, 40)
    (card,) = cards_from_frame(
        frame(image=[jpeg(orientation=6)], boat_rles=[[rle.encode(upright)]])
    )
    assert np.array_equal(card.prediction, upright)


def test_one_damaged_picture_is_a_card_not_an_error() -> None:
    cards = list(
        cards_from_frame(frame(image=[b"no", None, jpeg()], boat_rles=[["1 5"], ["1 5"], []]))
    )
    page = render_page("x", cards)
    assert len(cards) == 3
    assert page.count('class="photo"') == 1
    assert "not a JPEG" in page and "the file has no bytes" in page


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image_id": ["a"]}, "needs the column image"),
        ({"image": ["text"]}, "needs the column image"),
        ({"image": [b""], "mask": ["text"]}, "column mask has to hold mask pictures"),
        ({"image": [b""], "boat_rles": ["1 2"]}, "boat_rles has to hold lists"),
        (
            {"image_id": ["ok", "bad"], "image": [jpeg()] * 2, "boat_rles": [["1 2"], ["1 x"]]},
            r"bad \(row 2 of the result\): 'x' is not a positive whole number",
        ),
        (
            {"image": [jpeg()], "boat_rles": [["2399 9"]]},
            r"row 1 \(row 1 of the result\): a run ends at pixel 2407",
        ),
        ({"image_id": ["m"], "image": [jpeg()], "mask": [b"no"]}, r"m \(row 1.*neither a PNG"),
        (
            {
                "image_id": ["s"],
                "image": [jpeg()],
                "mask": [encode_mask(boat(1, 20, 20))],
                "boat_rles": [["1 2"]],
                "width": [60],
                "height": [40],
            },
            "its mask is 20x20 pixels, its prediction 60x40",
        ),
    ],
)
def test_what_cannot_be_drawn_is_named(columns: dict[str, object], words: str) -> None:
    data = pl.DataFrame(columns, strict=False)
    with pytest.raises(InputError, match=words):
        list(cards_from_frame(data))


def test_run_lengths_of_labels_are_no_prediction() -> None:
    """`SELECT * FROM gold_dataset` has boat_rles, too: they would be a prediction without fault."""
    picture = encoded(np.zeros((4, 4, 3), np.uint8), "PNG")
    mask = encode_mask(np.eye(4, dtype=np.bool_))
    row = {"image": [picture], "mask": [mask], "boat_rles": [["1 2"]], "boat_scores": [[0.5]]}
    labels = pl.DataFrame(row).drop("boat_scores")

    (card,) = cards_from_frame(labels, scored=False)
    assert card.prediction is None and card.truth is not None and "iou" not in card.fields
    # Both, as a join of all columns has them: what follows the scores is the prediction's.
    both = pl.DataFrame(row | {"boat_rles_2": [["1 3"]]})
    (card,) = cards_from_frame(both)
    assert card.prediction is not None and card.prediction.sum() == 3
    (card,) = cards_from_frame(both.select("image", "boat_scores", "boat_rles", "boat_rles_2"))
    assert card.prediction is not None and card.prediction.sum() == 2
