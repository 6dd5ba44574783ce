from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import _common

    return _common  # type: ignore[no-any-return]


def test_the_last_line_is_the_result_and_memory_is_the_childs(common: ModuleType) -> None:
    code = "x = bytearray(120_000_000); print('noise'); print('{\"images\": 3}')"
    finished = common.run_json([sys.executable, "-c", code])
    assert finished.result == {"images": 3}
    assert 120 < finished.peak_rss_mb < 2000


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise SystemExit('out of luck')", "out of luck"),
        ("print('no result')", "no result"),
        ("pass", "printed no result"),
    ],
)
def test_a_contestant_that_fails_stops_the_race(common: ModuleType, code: str, says: str) -> None:
    with pytest.raises(common.BenchmarkError, match=says):
        common.run_json([sys.executable, "-c", code])


def test_a_contestant_that_hangs_is_ended(common: ModuleType) -> None:
    with pytest.raises(common.BenchmarkError, match="was ended"):
        common.run_json([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5)


def test_contestants_take_turns_in_both_orders(common: ModuleType) -> None:
    order: list[str] = []
    cases = {name: (lambda name=name: order.append(name)) for name in "abc"}
    turns = common.interleave(cases, 2)
    assert "".join(order) == "abc" + "abc" + "cba"  # the first round is not timed
    assert [len(turns[name].seconds) for name in "abc"] == [2, 2, 2]
    assert turns["a"].best <= turns["a"].median


def test_a_missing_peer_is_said_out_loud(
    common: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert common.peer_python("no-such-peer") is None
    assert "LEFT OUT" in capsys.readouterr().err
