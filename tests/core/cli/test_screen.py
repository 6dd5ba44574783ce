from __future__ import annotations

import doctest
from datetime import UTC, datetime

import pytest

from boatseg_core.cli import screen


def test_the_examples_in_the_docstrings_are_true() -> None:
    done = doctest.testmod(screen)
    assert (done.failed, done.attempted) == (0, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.61237, "0.612"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02 03:04:05"),
        ("a\x07b", "a\\x07b"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert screen.shown(value) == text


def test_a_pipe_gets_whole_lines_and_a_terminal_folded_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "word " * 60
    screen.print_table(("name", "text"), [("[bold]x", long)], fold=("text",))
    piped = capsys.readouterr().out
    assert f"[bold]x   {long.strip()}" in piped
    monkeypatch.setenv("COLUMNS", "60")
    screen.print_table(("name", "text"), [("[bold]x", long)], fold=("text",))
    folded = capsys.readouterr().out.splitlines()
    assert max(map(len, folded)) <= 60
    assert " ".join(folded).split().count("word") == 60
