"""False alarms and real shifts, counted over many seeded batches."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from boatseg_core.config.sections import History
from boatseg_core.monitoring.history import (
    Arrivals,
    Shift,
    ks_p_value,
    mix_p_value,
    mix_shifts,
    value_shifts,
)

FORMATS = np.array(["JPEG RGB", "JPEG L", "PNG RGB", "PNG RGBA", "TIFF I;16", "WEBP RGB"])
SHARES = [0.7, 0.1, 0.1, 0.06, 0.03, 0.01]
SIZES = np.array(["768x768", "1024x768", "about 512x512", "about 2048x1448"])


def images(
    rng: np.random.Generator, count: int, *, shift: float = 0.0, spread: float = 0.0
) -> pl.DataFrame:
    """Images of one batch; ``spread`` is how far batches as a whole lie from one another."""
    offset = shift + rng.normal(0, spread) if spread else shift
    return pl.DataFrame(
        {
            "kind/format": rng.choice(FORMATS, count, p=SHARES),
            "kind/size": rng.choice(SIZES, count, p=[0.85, 0.1, 0.04, 0.01]),
            "brightness": rng.gamma(6.0, 15.0, count) + offset,
            "contrast": rng.gamma(4.0, 8.0, count) + offset / 4,
        }
    )


def arrive(batch: pl.DataFrame, earlier: list[pl.DataFrame], seed: int) -> Arrivals:
    named = [b.with_columns(batch_id=pl.lit(f"b{i:03}")) for i, b in enumerate(earlier)]
    return Arrivals(f"new-{seed}", batch, pl.concat(named))


def compare(found: Arrivals, history: History) -> list[Shift]:
    return [*mix_shifts(found, history), *value_shifts(found, history)]


def alarms(runs: int, count: int, *, spread: float = 0.0, batches: int = 12) -> list[str]:
    history = History()
    raised = []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        earlier = [images(rng, count, spread=spread) for _ in range(batches)]
        found = arrive(images(rng, count, spread=spread), earlier, seed)
        raised += [f"{seed}:{s.what}" for s in compare(found, history) if s.shifted]
    return raised


@pytest.mark.parametrize("count", [30, 300])
def test_batches_of_one_distribution_hardly_ever_warn(count: int) -> None:
    raised = alarms(200, count)

    assert len({name.partition(":")[0] for name in raised}) <= 3, raised  # of 200: under 2 %


def test_batches_that_always_differ_are_no_news() -> None:
    """A batch is a flight: some 20 grey levels lie between any two of them."""
    raised = alarms(100, 200, spread=20.0)

    assert len({name.partition(":")[0] for name in raised}) <= 10, raised
    # Without the fence the same batches would warn all the time.
    rng = np.random.default_rng(1)
    few = [
        compare(
            arrive(
                images(rng, 200, spread=20.0),
                [images(rng, 200, spread=20.0) for _ in range(3)],
                seed,
            ),
            History(),
        )
        for seed in range(100)
    ]
    assert sum(any(s.shifted for s in shifts) for shifts in few) > 30


def test_a_real_shift_of_brightness_is_found() -> None:
    found = 0
    for seed in range(50):
        rng = np.random.default_rng(1000 + seed)
        earlier = [images(rng, 100, spread=3.0) for _ in range(10)]
        dark = arrive(images(rng, 100, shift=-40.0, spread=3.0), earlier, seed)
        found += next(s for s in compare(dark, History()) if s.what == "brightness").shifted

    assert found == 50


def test_another_mix_of_formats_and_sizes_is_found_and_named() -> None:
    rng = np.random.default_rng(5)
    batch = images(rng, 200).with_columns(
        pl.when(pl.int_range(200) < 80)
        .then(pl.lit("PNG I;16"))
        .otherwise("kind/format")
        .alias("kind/format"),
        pl.lit("640x480").alias("kind/size"),
    )

    formats, sizes = mix_shifts(arrive(batch, [images(rng, 200) for _ in range(6)], 0), History())

    assert formats.shifted and sizes.shifted
    assert formats.distance == pytest.approx(0.4, abs=0.08)
    assert next(iter(formats.shares)) == "PNG I;16"
    assert formats.shares["PNG I;16"] == (0.4, 0.0)
    assert sizes.distance == 1.0


def test_few_images_are_reported_and_not_judged() -> None:
    rng = np.random.default_rng(6)
    shifts = compare(arrive(images(rng, 8, shift=-80), [images(rng, 500)], 0), History())

    assert not any(s.judged or s.shifted for s in shifts)
    assert max(s.distance for s in shifts) > 0.5


def test_without_a_history_nothing_is_judged() -> None:
    rng = np.random.default_rng(7)
    empty = images(rng, 0).with_columns(batch_id=pl.lit("x"))

    shifts = compare(Arrivals("b", images(rng, 500), empty), History())

    assert not any(s.judged or s.shifted for s in shifts)
    assert {s.distance for s in shifts} == {0.0}


def test_one_odd_batch_in_the_history_does_not_hide_the_next() -> None:
    rng = np.random.default_rng(8)
    earlier = [images(rng, 200) for _ in range(11)] + [images(rng, 200, shift=-60)]

    brightness = value_shifts(arrive(images(rng, 200, shift=-60), earlier, 0), History())[0]

    assert brightness.shifted


@pytest.mark.parametrize(("first", "second"), [(40, 60), (200, 1000), (35, 2000)])
@pytest.mark.parametrize("distance", [0.1, 0.2, 0.3, 0.4])
def test_the_p_value_agrees_with_scipys_exact_one(first: int, second: int, distance: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    # A pair of samples at this distance: the second evenly spread, the first moved up.
    step = round(distance * first)
    a = np.concatenate([np.arange(first - step) / first, np.full(step, 2.0) + np.arange(step)])
    b = (np.arange(second) + 0.5) / second
    exact = stats.ks_2samp(a, b, method="exact")

    ours = ks_p_value(float(exact.statistic), first, second)

    assert ours == pytest.approx(exact.pvalue, rel=0.3, abs=1e-4)


def test_the_permutation_p_value_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(9)
    kinds = len(FORMATS)
    values = []
    for i in range(300):
        a = np.bincount(rng.choice(kinds, 60, p=SHARES), minlength=kinds)
        b = np.bincount(rng.choice(kinds, 400, p=SHARES), minlength=kinds)
        values.append(mix_p_value(a, b, draws=500, seed=str(i)))

    for level in (0.05, 0.2, 0.5):
        share = float(np.mean(np.array(values) <= level))
        assert share <= level + 3 * (level * (1 - level) / 300) ** 0.5
    assert np.mean(np.array(values) <= 0.5) > 0.35
    assert mix_p_value(a, b, draws=500, seed="x") == mix_p_value(a, b, draws=500, seed="x")
