"""Write the pages of docs/ that follow from the code, or check that they still do.

Run ``make docs`` after a setting or a table changed; ``make test`` fails until it is done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from boatseg_core.config import Settings
from boatseg_core.config.settings import provenance
from boatseg_core.lake import TABLES

DOCS = Path(__file__).parent
NOTE = "<!-- Made by `make docs` from {source}; change it there. -->"


def configuration() -> Iterator[str]:
    """Lines of configuration.md: every setting, by section."""
    yield NOTE.format(source="boatseg_core/config/sections")
    yield """
# Configuration

Strongest first: a command's own option, the environment, `boatseg.toml` in the working directory,
`boatseg.toml` in the home, the default. `boatseg config` prints what is in force and where each
value came from. A name that does not exist is an error, never ignored.

```toml
# boatseg.toml
[labels]
class_name = "weld defect"

[train]
max_steps = 4000
```

is, in the environment, `BOATSEG_LABELS__CLASS_NAME="weld defect"` and
`BOATSEG_TRAIN__MAX_STEPS=4000`."""
    defaults = Settings.model_construct()
    section = None
    for name, value, unit, _, sentence in provenance(defaults):
        head, _, tail = name.rpartition(".")
        if head != section:
            section = head
            yield ""
            yield f"## [{head}]\n" if head else "## At the top\n"
            if head:
                yield f"{(type(getattr(defaults, head)).__doc__ or '').strip()}\n"
            yield "| setting | default | unit | meaning |"
            yield "|---|---|---|---|"
        yield row(f"`{tail}`", default(value), unit, sentence)


def tables() -> Iterator[str]:
    """Lines of tables.md: every table with its columns."""
    yield NOTE.format(source="boatseg_core/lake/schemas")
    yield """
# Tables

Every table is a Delta table in the folder of its name below `lake/` in the home, readable by
anything that reads Delta. `boatseg describe TABLE` prints the same on the command line."""
    yield "\n| table | layer | partitioned by | a row is |"
    yield "|---|---|---|---|"
    for spec in TABLES.values():
        link = f"[`{spec.name}`](#{spec.name})"
        yield row(link, spec.layer, ", ".join(spec.partition_by), spec.description)
    for spec in TABLES.values():
        yield f"\n## {spec.name}\n\n{spec.description}\n"
        yield "| column | type | meaning |"
        yield "|---|---|---|"
        for column in spec.columns:
            yield row(f"`{column.name}`", f"`{column.type}`", column.comment)


def row(*cells: str) -> str:
    """Join the cells of one row of a Markdown table."""
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return "".join(f"| {cell} " if cell else "| " for cell in escaped) + "|"


def default(value: Any) -> str:
    """Write a default as it has to be typed."""
    if isinstance(value, dict) or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "configuration.md": configuration,
    "tables.md": tables,
}


def main(arguments: list[str]) -> str | None:
    """Write the pages, or with ``--check`` name those that are out of date."""
    checking = arguments == ["--check"]
    if arguments and not checking:
        return "usage: python docs/generate.py [--check]"
    stale = []
    for name, lines in PAGES.items():
        path, text = DOCS / name, "\n".join(lines()) + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(f"docs/{name}")
        if not checking:
            path.write_text(text, encoding="utf-8")
    if checking and stale:
        return f"out of date: {', '.join(stale)} (run make docs)"
    print(f"{'written' if stale else 'up to date'}: {', '.join(stale or PAGES)}")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
