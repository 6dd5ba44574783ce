from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import polars as pl
import pytest
from PIL import Image
from support.pictures import encoded, texture

from boatseg_core.dataset.overlap import MAX_IMAGES, TileGrid, overlapping_images
from boatseg_core.imaging.fingerprint import tile_fingerprints
from boatseg_core.synth import render_windows
from boatseg_core.synth.plan import plan_scene


@dataclass(frozen=True)
class Cut:
    """A compressed window: its scene, its place in the scene in tiles, its fingerprints [3, 3]."""

    scene: int
    row: int
    column: int
    prints: np.ndarray


def fingerprint(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return tile_fingerprints(image.convert("L"))


def grid(prints: Sequence[np.ndarray], columns: int = 3) -> TileGrid:
    return TileGrid.of(
        pl.DataFrame(
            {
                "tiles": [np.ascontiguousarray(one).tobytes() for one in prints],
                "width": [columns * 256] * len(prints),
            },
            schema={"tiles": pl.Binary, "width": pl.Int32},
        )
    )


def pairs(prints: Sequence[np.ndarray], first: int = 0, columns: int = 3) -> set[tuple[int, int]]:
    return {(a, b) for a, b in overlapping_images(grid(prints, columns), first).tolist()}


@pytest.fixture(scope="module")
def cuts() -> list[Cut]:
    """Windows of generated scenes, every one at a JPEG quality of its own from 75 to 95."""
    rng = np.random.default_rng(0)
    # Those of 3 x 3 windows have pairs that share no more than a corner.
    scenes = [i for i in range(30) if plan_scene(11, i).windows in (2, 4)]
    scenes += [i for i in range(200) if plan_scene(11, i).windows == 9][:3]
    return [
        Cut(
            scene,
            window.top // 256,
            window.left // 256,
            fingerprint(encoded(window.image, quality=int(rng.integers(75, 96)))).reshape(3, 3, -1),
        )
        for scene in scenes
        for window in render_windows(11, scene)
    ]


def shared(a: Cut, b: Cut) -> int:
    """Tiles with texture that two windows share."""
    if a.scene != b.scene:
        return 0
    down, right = b.row - a.row, b.column - a.column
    return sum(
        bool(a.prints[y, x].any() and b.prints[y - down, x - right].any())
        for y in range(max(0, down), min(3, 3 + down))
        for x in range(max(0, right), min(3, 3 + right))
    )


def test_windows_that_share_a_textured_tile_are_found_whatever_their_compression(
    cuts: list[Cut],
) -> None:
    """The pairs themselves, without a third window to lead from one to the other."""
    truth = {(i, j) for i, j in combinations(range(len(cuts)), 2) if shared(cuts[i], cuts[j])}

    found = pairs([cut.prints for cut in cuts])

    assert len(truth) > 60
    assert len(found & truth) >= 0.99 * len(truth)
    assert len(found - truth) < 0.001 * len(found)


def test_two_windows_that_share_no_more_than_a_corner_are_found(cuts: list[Cut]) -> None:
    lone = [(a, b) for a, b in combinations(cuts, 2) if shared(a, b) == 1]

    assert lone
    assert all(pairs([a.prints, b.prints]) == {(0, 1)} for a, b in lone)


def test_unlike_images_are_not_joined_by_one_tile_that_looks_alike() -> None:
    """A place is not believed on one tile when the tiles around it say otherwise."""
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 256, (2, 9, 32), dtype=np.uint8)
    other[4] = one[4]

    assert pairs([one, other]) == set()
    other[[3, 5]] = one[[3, 5]]
    assert pairs([one, other]) == set()


def test_a_shared_corner_is_believed_when_nothing_speaks_against_it() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 256, (2, 9, 32), dtype=np.uint8)
    other[0] = one[8]  # shifted by two tiles down and right: no other tile is shared

    assert pairs([one, other]) == {(0, 1)}
    other[0] = np.packbits(np.unpackbits(one[8]) ^ (np.arange(256) < 70))
    assert pairs([one, other]) == set()


def test_tiles_without_texture_say_nothing() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 256, (2, 9, 32), dtype=np.uint8)
    one[:6] = other[:6] = 0
    other[6:] = one[6:]

    assert pairs([one, other]) == {(0, 1)}
    assert pairs([np.zeros((9, 32), np.uint8)] * 3) == set()


def test_a_periodic_texture_joins_nothing() -> None:
    stripes = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (768, 3, 3)) // 2
    noisy = [
        stripes + np.random.default_rng(seed).integers(0, 3, stripes.shape).astype(np.uint8)
        for seed in (1, 2)
    ]
    prints = [fingerprint(encoded(image)) for image in noisy]

    assert all(one.any(axis=1).all() for one in prints)
    assert pairs(prints) == set()


def test_a_stamp_on_very_many_images_joins_none_of_them() -> None:
    rng = np.random.default_rng(4)
    prints = rng.integers(0, 256, (MAX_IMAGES + 3, 9, 32), dtype=np.uint8)
    prints[:, 8] = prints[0, 8]
    # In the corners of windows that could be neighbours, so that no other tile speaks against it.
    prints[::2, 0] = prints[0, 8]
    prints[::2, 8] = rng.integers(0, 256, (len(prints[::2]), 32), dtype=np.uint8)

    assert pairs(list(prints)) == set()
    assert pairs(list(prints[:8]))


def test_images_of_other_shapes_meet_at_the_right_tiles() -> None:
    scene = texture(7, 5 * 256, 8 * 256)
    wide = fingerprint(encoded(scene[: 3 * 256, : 7 * 256], quality=80))
    small = fingerprint(encoded(scene[256 : 2 * 256, 6 * 256 : 7 * 256], quality=90))
    apart = fingerprint(encoded(scene[4 * 256 :, : 7 * 256], quality=90))

    frame = pl.DataFrame(
        {
            "tiles": [np.ascontiguousarray(p).tobytes() for p in (wide, small, apart)] + [b""],
            "width": [7 * 256 + 100, 256, 7 * 256, 90],
        },
        schema={"tiles": pl.Binary, "width": pl.Int32},
    )

    assert overlapping_images(TileGrid.of(frame)).tolist() == [[0, 1]]


def test_only_pairs_with_a_new_image_are_listed(cuts: list[Cut]) -> None:
    prints = [cut.prints for cut in cuts]
    everything = pairs(prints)

    for first, last in pairwise([0, len(prints) // 2, len(prints) - 1, len(prints)]):
        assert pairs(prints, first) == {pair for pair in everything if pair[1] >= first}, last


def test_tiles_are_taken_from_any_frame() -> None:
    """Empty, sliced, in several chunks, with nulls."""
    rng = np.random.default_rng(6)
    blobs = [rng.bytes(32 * count) for count in (9, 0, 4, 1, 9)]
    frame = pl.DataFrame(
        {"tiles": [*blobs, None], "width": [768, 100, 512, 300, 800, None]},
        schema={"tiles": pl.Binary, "width": pl.Int32},
    )
    chunked = pl.concat([frame[:2], frame[2:]], rechunk=False)

    for part, expected in ((frame, blobs), (frame[2:4], blobs[2:4]), (chunked[1:], blobs[1:])):
        taken = TileGrid.of(part)
        assert taken.prints.tobytes() == b"".join(expected)
        assert taken.start.tolist()[-1] == len(b"".join(expected)) // 32
    assert TileGrid.of(frame).columns.tolist() == [3, 1, 2, 1, 3, 1]
    assert TileGrid.of(frame).start.tolist() == [0, 9, 9, 13, 14, 23, 23]
    assert overlapping_images(TileGrid.of(frame[:0])).shape == (0, 2)
