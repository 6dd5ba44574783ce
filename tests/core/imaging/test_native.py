"""Which compiled module is used, if any."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

import boatseg_core.imaging
from boatseg_core.imaging import native


def loaded_beside(compiled: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load ``native`` once more, as if this were the compiled module that is installed."""
    monkeypatch.setitem(sys.modules, "boatseg_core.imaging._pixels", compiled)
    monkeypatch.setattr(boatseg_core.imaging, "_pixels", compiled, raising=False)
    spec = importlib.util.spec_from_file_location("another_native", native.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_module_of_another_build_is_passed_over_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="install the package again"):
        found = loaded_beside(ModuleType("_pixels"), monkeypatch)
    assert not found.NATIVE
    assert found.pixels is None


def test_a_module_of_this_build_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = ModuleType("_pixels")
    compiled.INTERFACE = native._INTERFACE  # type: ignore[attr-defined]
    found = loaded_beside(compiled, monkeypatch)
    assert found.NATIVE
    assert found.pixels is compiled
