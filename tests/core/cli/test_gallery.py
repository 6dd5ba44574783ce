from __future__ import annotations

from pathlib import Path


def test_a_query_becomes_a_page(boatseg, home: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    query = "select image_id, image, mask, boat_count from gold_dataset order by 1 limit 3"
    result = boatseg("gallery", query, "--output", page, "--home", home)
    assert result.exit_code == 0
    assert result.stdout.strip() == page.as_uri()
    assert page.read_text().count('class="card"') == 3


def test_without_a_query_what_is_labelled_is_shown(boatseg, home: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = boatseg("gallery", "--output", page, "--title", "<Mine>", "--home", home)
    assert result.exit_code == 0
    assert "&lt;Mine&gt;" in page.read_text()


def test_a_query_without_pictures_says_what_is_missing(boatseg, home: Path, tmp_path: Path) -> None:
    result = boatseg("gallery", "select 1 as one", "--output", tmp_path / "x.html", "--home", home)
    assert result.exit_code == 2
    assert "needs the column image" in result.stderr
