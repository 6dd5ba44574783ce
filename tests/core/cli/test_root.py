from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from fresh_process import modules_after

from boatseg_core.cli import lazy, root


def test_help_lists_every_command_under_a_heading(boatseg) -> None:
    result = boatseg("--help")
    assert result.exit_code == 0
    for name, entry in root.CATALOGUE.items():
        assert f"  {name} " in result.stdout
        assert entry.summary in result.stdout
        assert f"{entry.section}:" in result.stdout


@pytest.mark.parametrize("name", [n for n, entry in root.CATALOGUE.items() if entry.target])
def test_every_command_explains_itself_and_takes_a_home(boatseg, name: str) -> None:
    result = boatseg(name, "--help")
    assert result.exit_code == 0
    if "COMMAND [ARGS]" not in result.stdout:
        assert "--home DIR" in result.stdout


def test_where_a_command_writes_is_one_option_everywhere() -> None:
    """The shared one: ``-o``, ``--output``, and ``--out`` as before, which no help shows."""

    def below(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            with click.Context(command) as ctx:
                for name in command.list_commands(ctx):
                    found = command.get_command(ctx, name)
                    if found is not None:
                        yield from below(found, f"{path} {name}")

    written = {}
    for path, command in below(root.root, "boatseg"):
        for param in command.params:
            spellings = set(param.opts)
            assert not spellings & {"--out", "--output", "-o"} or len(spellings) == 3, path
            if "--out" in spellings:
                written[path] = command
    assert {"boatseg sql", "boatseg gallery", "boatseg labels export"} <= written.keys()
    for command in written.values():
        page = command.get_help(click.Context(command))
        assert "-o, --output" in page and not re.search(r"--out\b", page)


def test_a_missing_option_is_named_without_its_old_spelling(boatseg) -> None:
    result = boatseg("data", "synth", "3")
    assert result.exit_code == 2
    assert "'-o' / '--output'" in result.stderr and not re.search(r"--out\b", result.stderr)


def test_a_wrong_option_is_answered_with_none_that_no_help_shows(boatseg) -> None:
    for command, wrong in (("tune", "--plots"), ("tune", "--outpt"), ("sql", "--ou")):
        said = boatseg(command, wrong, "x").stderr
        assert f"No such option '{wrong}'" in said and not re.search(r"--out\b", said)
    assert "Did you mean '--output'?" in boatseg("tune", "--outpt", "x").stderr
    assert "did you mean" not in boatseg("tune", "--plots", "x").stderr.lower()


def test_help_imports_no_room() -> None:
    assert modules_after("--help") == (0, [])


def test_help_answers_within_half_a_second() -> None:
    # Processor time, since a machine that runs other tests stretches every clock.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "boatseg_core.cli", "--help"]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_listing_extensions_does_not_import_them(monkeypatch: pytest.MonkeyPatch, boatseg) -> None:
    point = EntryPoint("farewell", "no_such_module:command", lazy.ENTRY_POINT_GROUP)
    monkeypatch.setattr(lazy, "extensions", lambda: {"farewell": point})
    assert "Added by no_such_module." in boatseg("--help").stdout
    # The catalogue's own extensions are listed only where they are installed.
    assert root.CATALOGUE["demo"].summary not in boatseg("--help").stdout
    result = boatseg("farewell")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: boatseg farewell needs no_such_module")


def test_an_extension_gets_the_home_of_the_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, boatseg
) -> None:
    @click.command()
    @click.option("--home")
    def hello(home: str | None) -> None:
        click.echo(f"home {home}")

    module = type(sys)("boatseg_test_extension")
    module.hello = hello
    monkeypatch.setitem(sys.modules, module.__name__, module)
    points = {"hello": EntryPoint("hello", f"{module.__name__}:hello", lazy.ENTRY_POINT_GROUP)}
    monkeypatch.setattr(lazy, "extensions", lambda: points)
    monkeypatch.setattr(root, "extensions", lambda: points)
    assert boatseg("hello").stdout == "home None\n"
    assert boatseg("--home", tmp_path, "hello").stdout == f"home {tmp_path}\n"
    assert boatseg("--home", tmp_path, "hello", "--home", "b").stdout == "home b\n"


def test_a_misspelt_command_is_answered_with_its_neighbour(boatseg) -> None:
    result = boatseg("tabels")
    assert result.exit_code == 2
    assert "Did you mean tables" in result.stderr


def test_home_is_taken_before_and_after_the_command(boatseg, tmp_path: Path) -> None:
    for args in (["--home", tmp_path / "x", "status"], ["status", "--home", tmp_path / "x"]):
        result = boatseg(*args, "--json")
        assert json.loads(result.stdout)["home"] == str(tmp_path / "x")
    both = boatseg("--home", tmp_path / "x", "status", "--home", tmp_path / "y", "--json")
    assert json.loads(both.stdout)["home"] == str(tmp_path / "y")


def test_version(boatseg) -> None:
    from boatseg_core import __version__

    assert boatseg("--version").stdout == f"boatseg {__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["tables"],
        ["status"],
        ["models"],
        ["quarantine", "list"],
        ["quarantine", "retry"],
        ["quarantine", "export", "folder"],
        ["requalify"],
        ["sql", "select * from files"],
        ["gallery", "select image from raw_images"],
        ["predict", "picture.jpg"],
        ["promote", "1"],
        ["rollback"],
    ],
)
def test_an_empty_home_says_what_to_do_first_and_stays_empty(
    boatseg, tmp_path: Path, args: list[str]
) -> None:
    result = boatseg(*args)
    assert isinstance(result.exception, SystemExit | None)
    assert "boatseg demo" in result.stderr or "`boatseg train`" in result.stderr
    assert not (tmp_path / "home").exists()
