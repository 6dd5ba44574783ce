"""How the demo begins and what it ends with; the pipeline between is tested on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from boatseg_core.config import load_settings
from boatseg_dagster import demo


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh working directory, and a demo that draws and learns nothing."""
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    for name in ("BOATSEG_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for step in ("_draw", "ingest", "learn", "score"):
        monkeypatch.setattr(demo, step, lambda *_, **__: None)


def test_in_the_default_home_make_is_all_one_has_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # the second time the settings file is there already
        demo.run_demo(load_settings(), images=1, seed=1)

        said = capsys.readouterr().out
        assert "Try next    make dev\n" in said
        assert "--home" not in said
        # As in the next process: opening Dagster's instance names the home in this one.
        monkeypatch.delenv("BOATSEG_HOME", raising=False)
    assert (tmp_path / "clone" / ".boatseg" / "boatseg.toml").is_file()
    assert load_settings().train.max_steps == 250


def test_another_home_is_named_so_that_it_can_be_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "my home"

    demo.run_demo(load_settings(home=home), images=1, seed=1)

    said = capsys.readouterr().out
    assert f"boatseg dev --home '{home}'\n" in said
    assert said.count(f"--home '{home}'") == 3
    assert "make dev" not in said
