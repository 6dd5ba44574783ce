from __future__ import annotations

from pathlib import Path

from boatseg_core.cli.summary import print_summary
from boatseg_core.config import load_settings
from boatseg_core.lake import Lake


def test_what_was_refused_is_named_once(home: Path, capsys) -> None:
    settings = load_settings(home=home)
    lake = Lake.from_settings(settings)
    print_summary(lake, settings, seconds={}, page=None)
    lines = capsys.readouterr().out.splitlines()
    refused = lake.read("quarantine", ["path", "message"])
    issues = lake.read("label_issues", ["source_file", "line", "image_id"])
    assert refused.height and issues.height
    for path, message in refused.iter_rows():
        (line,) = [line for line in lines if line.startswith(path)]
        assert line.count(path) == 1 and line.rstrip().endswith(message.removeprefix(f"{path}: "))
    for file, number, image_id in issues.iter_rows():
        assert any(line.startswith(f"{file}:{number} ") and image_id in line for line in lines)
