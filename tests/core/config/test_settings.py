from __future__ import annotations

from pathlib import Path

import pytest

from boatseg_core.config import Settings, load_settings
from boatseg_core.config.settings import provenance
from boatseg_core.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a boatseg.toml."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("BOATSEG_HOME", raising=False)
    return tmp_path / "here"


def origin(settings: Settings, name: str) -> str:
    return next(row[3] for row in provenance(settings) if row[0] == name)


def test_stronger_sources_win(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "boatseg.toml").write_text(
        "[train]\nmax_steps = 1\ncrop = 64\nseed = 5\n[tune]\ntrials = 9\n"
    )
    (elsewhere / "boatseg.toml").write_text("[train]\nmax_steps = 2\ncrop = 96\n")
    monkeypatch.setenv("BOATSEG_TRAIN__MAX_STEPS", "3")
    monkeypatch.setenv("BOATSEG_HOME", str(home))

    settings = load_settings()

    assert settings.train.max_steps == 3
    assert settings.train.crop == 96
    assert settings.train.seed == 5
    assert settings.tune.trials == 9
    assert origin(settings, "train.max_steps") == "environment BOATSEG_TRAIN__MAX_STEPS"
    assert origin(settings, "train.crop") == str(elsewhere / "boatseg.toml")
    assert origin(settings, "train.seed") == str(home / "boatseg.toml")
    assert origin(settings, "train.batch_size") == "default"


def test_the_working_directory_can_name_the_home(tmp_path: Path, elsewhere: Path) -> None:
    (elsewhere / "boatseg.toml").write_text(f'home = "{tmp_path / "there"}"\n')
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "boatseg.toml").write_text("[serve]\nport = 9\n")

    settings = load_settings()

    assert settings.paths.root == tmp_path / "there"
    assert settings.serve.port == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\nmax_stepz = 3\n", "train.max_stepz"),
        ("[train]\nmax_steps = 'many'\n", "train.max_steps"),
        ("[serve]\nport = 70000\n", "serve.port"),
        ("[split]\nvalid_share = 0.6\ntest_share = 0.6\n", "valid_share"),
        ("no toml at all", "not valid TOML"),
        ("[nothing]\nx = 1\n", "nothing"),
    ],
)
def test_a_mistake_is_named(elsewhere: Path, text: str, said: str) -> None:
    (elsewhere / "boatseg.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_settings()


@pytest.mark.parametrize("name", ["formats", "modes"])
def test_criteria_that_nothing_meets_are_refused(elsewhere: Path, name: str) -> None:
    (elsewhere / "boatseg.toml").write_text(f"[quality]\n{name} = []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{name} must not be empty: no image could pass"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BOATSEG_QUALITY__FORMATS", "JPEG", "BOATSEG_QUALITY__FORMATS is not valid"),
        ("BOATSEG_TRAIN", "abc", "BOATSEG_TRAIN is not valid.*has to be JSON"),
        ("BOATSEG_STORAGE_OPTIONS", "key=x", "BOATSEG_STORAGE_OPTIONS is not valid(?!.*key=x)"),
        ("BOATSEG_TRAIN", "[1]", "train: "),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=said):
        load_settings()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no toml at all", "not valid TOML"),
        ('[labels]\nclass_name = "Fähre"\n'.encode("latin-1"), "not UTF-8"),
    ],
)
def test_the_broken_file_of_two_is_named(
    tmp_path: Path, elsewhere: Path, data: bytes, said: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (elsewhere / "boatseg.toml").write_text("[train]\ncrop = 96\n")
    (home / "boatseg.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=said) as raised:
        load_settings(home=home)
    assert str(raised.value).startswith(str(home / "boatseg.toml"))

    (home / "boatseg.toml").unlink()
    (elsewhere / "boatseg.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=said) as raised:
        load_settings(home=home)
    assert str(raised.value).startswith(str(elsewhere / "boatseg.toml"))


def test_a_section_can_come_from_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOATSEG_TRAIN", '{"max_steps": 5, "crop": 64}')
    monkeypatch.setenv("BOATSEG_TRAIN__CROP", "96")
    monkeypatch.setenv("BOATSEG_STORAGE_OPTIONS__ENDPOINT", "somewhere")

    settings = load_settings()

    assert (settings.train.max_steps, settings.train.crop) == (5, 96)
    assert origin(settings, "train.max_steps") == "environment BOATSEG_TRAIN"
    assert origin(settings, "train.crop") == "environment BOATSEG_TRAIN__CROP"
    assert origin(settings, "train.batch_size") == "default"
    assert origin(settings, "storage_options") == "environment BOATSEG_STORAGE_OPTIONS__ENDPOINT"


def test_every_setting_has_a_sentence() -> None:
    for name, _, _, _, sentence in provenance(load_settings()):
        assert sentence.endswith("."), name


def test_a_home_that_cannot_be_created_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="set BOATSEG_HOME"):
        load_settings(home=tmp_path / "file" / "home").paths.create()


def test_a_home_that_a_database_url_would_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cut its path at the question mark; name a home"):
        load_settings(home=tmp_path / "what?" / "home")
    assert load_settings(home=tmp_path / "my home #1").paths.root == tmp_path / "my home #1"
