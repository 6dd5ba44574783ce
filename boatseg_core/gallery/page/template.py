"""The files the page is made of, and filling them in."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

__all__ = ["asset", "fill", "policy_hash"]


def policy_hash(text: str) -> str:
    """Hash a style or script as the content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def asset(name: str) -> str:
    """Read one of the page's own files."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def fill(template: str, /, **values: str) -> str:
    """Put values where the template names them in double braces."""
    # One pass: braces inside a value are text, not another placeholder.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)
