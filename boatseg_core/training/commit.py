"""Which commit of this code is running."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path


def git_commit() -> str:
    """Commit this code is from: that of its checkout, or the one pip installed it from.

    Empty where there is none, as for a release.
    """
    root = _checkout()
    return _installed_from() if root is None else (_git(root, "rev-parse", "HEAD") or "").strip()


def uncommitted_changes() -> bool | None:
    """Whether the package's files differ from :func:`git_commit`; None outside of a checkout."""
    root = _checkout()
    found = None if root is None else _git(root, "status", "--porcelain", "--", "boatseg_core")
    return None if found is None else bool(found.strip())


def _checkout() -> Path | None:
    here = Path(__file__).resolve()
    root = next((parent for parent in here.parents if (parent / ".git").exists()), None)
    # An environment that lies inside some other checkout is not a checkout of this code.
    if root is None or here.relative_to(root).parts[0] != "boatseg_core":
        return None
    return root


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _installed_from() -> str:
    """Commit that pip has noted of an installation from a repository (PEP 610)."""
    with suppress(metadata.PackageNotFoundError, ValueError):
        note = json.loads(metadata.distribution("boatseg").read_text("direct_url.json") or "{}")
        return str(note.get("vcs_info", {}).get("commit_id", ""))
    return ""
