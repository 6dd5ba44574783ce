from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boatseg_core.errors import InputError
from boatseg_core.labels.sources import json_stream
from boatseg_core.labels.sources.json_stream import stream

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def flat(members: dict[str, Any]) -> list[tuple[str, int | None, Any]]:
    found: list[tuple[str, int | None, Any]] = []
    for key, value in members.items():
        if isinstance(value, list):
            found.append((key, None, []))
            found += [(key, number, item) for number, item in enumerate(value)]
        else:
            found.append((key, None, value))
    return found


@given(
    members=st.dictionaries(st.text(max_size=4), VALUES, max_size=4),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_any_object_is_read_as_the_whole_would_be(
    tmp_path_factory: pytest.TempPathFactory,
    members: dict[str, Any],
    indent: int | None,
    ascii_only: bool,
    chunk: int,
) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    path.write_text(json.dumps(members, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        assert list(stream(path)) == flat(members)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"a"',
        '{"a":',
        '{"a":1',
        '{"a":1,',
        '{"a":1,}',
        '{"a":[1,]}',
        '{"a":[1 2]}',
        '{"a":[1',
        '{"a":[{"b":}]}',
        '{"a":tru}',
        '{"a":"x}',
        '{"a":1} x',
        "{1:2}",
        "{'a':1}",
        '{"a":[' + "[" * 100_000,
        '{"a":' + "9" * 5000 + "}",
    ],
)
def test_what_is_no_json_is_refused_with_its_position(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.json is not valid JSON at character \d+: "):
        list(stream(path))


def test_the_position_is_that_of_the_mistake(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    text = json.dumps({"a": [{"b": "x" * 100}] * 50_000})
    path.write_text(text[:-3] + "]]}")
    with pytest.raises(InputError) as caught:
        list(stream(path))
    position = int(str(caught.value).split("character ")[1].split(":")[0])
    assert abs(position - len(text)) < 8


def test_a_byte_order_mark_is_no_mistake_and_other_encodings_are(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert list(stream(path)) == [("a", None, 1)]
    path.write_bytes('{"a": "é"}'.encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        list(stream(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(stream(tmp_path / "none.json"))


def test_memory_is_bounded_by_the_longest_element(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    element = json.dumps({"id": 1, "segmentation": [[1.5] * 200]})
    with path.open("w") as file:
        file.write('{"annotations": [')
        for _ in range(20_000):
            file.write(element + ",")
        file.write(element + "]}")
    assert path.stat().st_size > 20e6
    tracemalloc.start()
    assert sum(1 for _ in stream(path)) == 20_002
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6


def test_an_element_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "MAX_ELEMENT", 2**21)
    path = tmp_path / "x.json"
    path.write_text('{"a": ["' + "x" * 2**24)
    with pytest.raises(InputError, match="longer than 2,097,152 characters"):
        list(stream(path))
