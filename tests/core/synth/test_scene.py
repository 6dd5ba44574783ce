from __future__ import annotations

import numpy as np
import pytest

from boatseg_core.synth.boats.fleet import hulls_overlap
from boatseg_core.synth.boats.ships import KINDS, Boat
from boatseg_core.synth.plan import MAX_BOATS, MIN_MASK_PIXELS, STRIDE, WINDOW, plan_scene
from boatseg_core.synth.scene import render_scene, render_windows
from boatseg_core.synth.windows import Window, cut_windows

SEED = 11


def find_scene(windows: int, *, boats: bool) -> int:
    return next(
        index
        for index in range(500)
        if (plan := plan_scene(SEED, index, 0.5)).windows == windows and plan.boats == boats
    )


@pytest.fixture(scope="module")
def mosaic() -> list[Window]:
    return render_windows(SEED, find_scene(4, boats=True), empty_share=0.5)


def test_windows_have_the_shape_and_type_of_a_picture(mosaic: list[Window]) -> None:
    assert len(mosaic) == 4
    for window in mosaic:
        assert window.image.shape == (WINDOW, WINDOW, 3)
        assert window.image.dtype == np.uint8
        assert window.image.std() > 1


def test_neighbouring_windows_share_their_pixels_exactly(mosaic: list[Window]) -> None:
    left, right, lower = mosaic[0], mosaic[1], mosaic[2]
    assert (left.top, left.left, right.left, lower.top) == (0, 0, STRIDE, STRIDE)
    assert np.array_equal(left.image[:, STRIDE:], right.image[:, : WINDOW - STRIDE])
    assert np.array_equal(left.image[STRIDE:], lower.image[: WINDOW - STRIDE])
    assert not np.array_equal(left.image, right.image)


def test_a_window_holds_the_part_of_each_boat_inside_it() -> None:
    scene = render_scene(SEED, find_scene(9, boats=True), empty_share=0.5)
    for window in cut_windows(scene):
        expected = []
        for boat in scene.instances:
            whole = boat.full(*scene.image.shape[:2])
            part = whole[window.top : window.top + WINDOW, window.left : window.left + WINDOW]
            if part.sum() >= MIN_MASK_PIXELS:
                expected.append(part)
        assert len(window.instances) == len(expected)
        for instance, part in zip(window.instances, expected, strict=True):
            assert np.array_equal(instance.full(), part)


def test_no_pixel_belongs_to_two_boats() -> None:
    for index in range(16):
        if not plan_scene(SEED, index, 0.0).boats:
            continue
        for window in render_windows(SEED, index, empty_share=0.0)[:1]:
            total = sum((boat.full().astype(np.int32) for boat in window.instances), np.int32(0))
            assert np.max(total) == 1
            assert 1 <= len(window.instances) <= MAX_BOATS


def test_the_same_scene_twice_is_the_same_and_its_neighbour_is_not() -> None:
    one, again = render_windows(3, 2)[0], render_windows(3, 2)[0]
    other_scene, other_seed = render_windows(3, 1)[0], render_windows(4, 2)[0]
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other_scene.image)
    assert not np.array_equal(one.image, other_seed.image)


def test_asking_for_no_empty_windows_puts_a_boat_in_every_window() -> None:
    index = find_scene(9, boats=True)
    assert all(window.instances for window in render_windows(SEED, index, empty_share=0.0))


def test_asking_for_empty_windows_only_draws_no_boat() -> None:
    assert not any(plan_scene(SEED, index, 1.0).boats for index in range(200))
    assert not any(window.instances for window in render_windows(SEED, 0, empty_share=1.0))


def test_boats_stand_out_from_the_water_around_them() -> None:
    # A label without a visible boat would teach the model nothing: compare hull and surroundings.
    contrasts = []
    for index in range(12):
        scene = render_scene(SEED, index, empty_share=0.0)
        luma = scene.image.mean(2)
        for boat in scene.instances:
            rows, columns = boat.mask.shape
            top, left = max(boat.top - 6, 0), max(boat.left - 6, 0)
            around = luma[top : boat.top + rows + 6, left : boat.left + columns + 6]
            inside = luma[boat.top : boat.top + rows, boat.left : boat.left + columns][boat.mask]
            contrasts.append(np.abs(inside - np.median(around)).mean() / max(around.std(), 1))
    assert np.median(contrasts) > 0.8


def boat(x: float, y: float, heading: float) -> Boat:
    return Boat(KINDS[0], x, y, heading, 100.0, 20.0, False)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (boat(0, 0, 0.7), True),
        (boat(0, 30, 0), False),
        (boat(0, 30, np.pi / 2), True),
        (boat(90, 0, 0), True),
        (boat(111, 0, 0), False),
        (boat(55, 55, np.pi / 4), False),
    ],
)
def test_overlap_of_hulls_is_that_of_their_rectangles(other: Boat, expected: bool) -> None:
    assert hulls_overlap(boat(0, 0, 0), other, 0.0) is expected
    assert hulls_overlap(other, boat(0, 0, 0), 0.0) is expected
