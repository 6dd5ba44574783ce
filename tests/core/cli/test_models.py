from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fresh_process import modules_after
from PIL import Image


def test_promotion_prediction_and_rollback(boatseg, model_home: Path, picture: Path) -> None:
    """One story, since each step needs the one before: nothing is in production at first."""

    def run(*args: object) -> tuple[int, str, str]:
        result = boatseg(*args, "--home", model_home)
        return result.exit_code, result.stdout, result.stderr

    assert "no version with the alias production" in run("predict", picture)[2]
    assert run("predict", picture, "--model", "1")[0] == 0

    assert run("promote", "1")[0] == 0
    code, text, _ = run("promote", "2")
    assert code == 1
    assert "version 2: refused (challenger)" in text
    assert "forced" in run("promote", "2", "--force")[1]
    assert run("rollback")[1].startswith("boatseg version 1: rolled back (production)")
    code, _, message = run("rollback")
    assert (code, message.startswith("error: ")) == (1, True)
    code, _, message = run("promote", "9")
    assert (code, message.startswith("error: ")) == (1, True)

    found = json.loads(run("models", "--json")[1])
    assert {v["version"]: v["aliases"] for v in found["versions"]} == {
        1: ["production"],
        2: ["challenger"],
    }
    assert found["versions"][1]["metrics"]["boat_iou"] == 0.6
    actions = [row["action"] for row in found["promotions"]]
    assert actions == ["rolled_back", "forced", "refused", "promoted"]
    text = run("models")[1]
    assert "production" in text and "0.600" in text and "rolled back from version 2" in text

    status = run("status")[1]
    assert "boatseg version 1 in production" in status
    assert "IoU on boat images 0.600 (at least 0.200 is asked for)" in status
    assert "predicting nothing: 0.780" in status

    assert modules_after("predict", str(picture), "--home", str(model_home)) == (0, [])


@pytest.fixture
def version(model_home: Path) -> list[object]:
    """Arguments that do not depend on what is in production."""
    return ["--model", 1, "--home", model_home]


def test_predictions_name_boxes_and_scores(boatseg, version: list, picture: Path) -> None:
    result = boatseg("predict", picture, *version)
    assert result.exit_code == 0
    assert "boatseg version 1" in result.stderr
    assert f"{picture}: 2 boats" in result.stdout
    facts = json.loads(boatseg("predict", picture, "--json", *version).stdout)
    assert (facts["width"], facts["height"], facts["boat_count"]) == (100, 80, 2)
    assert facts["boxes"] == [[10, 20, 12, 6], [60, 40, 5, 5]]
    assert facts["areas"] == [72, 25]


def test_a_bad_picture_does_not_stop_the_others(
    boatseg, version: list, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    bad = [tmp_path / "text.jpg", tmp_path / "gone.jpg", tmp_path]
    result = boatseg("predict", bad[0], picture, bad[1], bad[2], picture, *version)
    assert result.exit_code == 1
    assert result.stdout.count(": 2 boats") == 2
    for path in bad:
        assert f"error: {path}: " in result.stderr
    assert "No such file" in result.stderr
    rows = [
        json.loads(line)
        for line in boatseg("predict", bad[0], picture, "--json", *version).stdout.splitlines()
    ]
    assert [row["image"] for row in rows] == [str(bad[0]), str(picture)]
    assert "error" in rows[0] and rows[1]["boat_count"] == 2


def test_pictures_of_one_name_are_drawn_apart(
    boatseg, version: list, picture: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / picture.name
    other.parent.mkdir()
    other.write_bytes(picture.read_bytes())
    out = tmp_path / "drawn" / "here"
    assert boatseg("predict", picture, other, "--output", out, *version).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["two boats-2.jpg", "two boats.jpg"]
    drawn = np.asarray(Image.open(out / "two boats.jpg"), dtype=int)
    assert drawn.shape == (80, 100, 3)
    # Untouched sea, and a tint on the boat.
    assert np.abs(drawn[70:, 80:] - 40).max() < 12
    assert np.ptp(drawn[20:26, 10:22].mean((0, 1))) > 30


def test_an_original_is_never_written_over(
    boatseg, version: list, picture: Path, tmp_path: Path
) -> None:
    original = tmp_path / "sea.jpg"
    Image.open(picture).convert("RGB").save(original)
    before = original.read_bytes()
    result = boatseg("predict", original, "--output", tmp_path, *version)
    assert result.exit_code == 2
    assert "would be written over" in result.stderr
    assert original.read_bytes() == before


def test_an_unknown_version_is_named(boatseg, model_home: Path, picture: Path) -> None:
    for model in ("7", "nobody"):
        result = boatseg("predict", picture, "--model", model, "--home", model_home)
        assert result.exit_code == 1
        assert model in result.stderr and result.stderr.count("\n") == 1


def test_serve_gets_host_and_port(boatseg, monkeypatch: pytest.MonkeyPatch) -> None:
    from boatseg_core.serving import server

    seen = []
    monkeypatch.setattr(server, "serve", lambda settings: seen.append(settings.serve))
    monkeypatch.setenv("BOATSEG_SERVE__REFRESH_SECONDS", "9")
    boatseg("serve")
    boatseg("serve", "--port", 0)
    boatseg("serve", "--host", "::1", "--port", 81)
    assert [(s.host, s.port) for s in seen] == [("127.0.0.1", 8000), ("127.0.0.1", 0), ("::1", 81)]
    assert {s.refresh_seconds for s in seen} == {9.0}
    assert boatseg("serve", "--port", 70000).exit_code == 2


def test_a_port_that_is_taken_is_named(boatseg) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = boatseg("serve", "--port", taken.getsockname()[1])
    assert result.exit_code == 2
    assert "cannot listen on 127.0.0.1" in result.stderr
